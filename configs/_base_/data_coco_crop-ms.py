"""COCO 2017, mirrored half of the time; then multi-scale 480 to 800, or the same after a random crop."""

_base_ = "data_coco_1x.py"

_multi_scale = dict(type="RandomChoiceResize", scales=[(side, 1333) for side in range(480, 801, 32)], keep_ratio=True)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="RandomFlip", prob=0.5),
            dict(
                type="RandomChoice",
                transforms=[
                    [_multi_scale],
                    [
                        dict(
                            type="RandomChoiceResize", scales=[(400, 1333), (500, 1333), (600, 1333)], keep_ratio=True
                        ),
                        dict(
                            type="RandomCrop",
                            crop_type="absolute_range",
                            crop_size=(384, 600),
                            allow_negative_crop=True,
                        ),
                        _multi_scale,
                    ],
                ],
            ),
            dict(type="PackDetInputs"),
        ]
    )
)
