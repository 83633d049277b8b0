"""COCO 2017, mirrored half of the time, short side 480 to 800 pixels (long side at most 1333)."""

_base_ = "data_coco_1x.py"

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="RandomFlip", prob=0.5),
            dict(type="RandomChoiceResize", scales=[(side, 1333) for side in range(480, 801, 32)], keep_ratio=True),
            dict(type="PackDetInputs"),
        ]
    )
)
