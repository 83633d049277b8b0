"""BCCD at 256 x 192 pixels, for studies of many runs."""

_base_ = "data_bccd.py"

_size = (256, 192)
_meta_keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="Resize", scale=_size, keep_ratio=True),
            dict(type="RandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
            dict(type="PackDetInputs"),
        ]
    )
)
val_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="LoadImageFromFile"),
            dict(type="Resize", scale=_size, keep_ratio=True),
            dict(type="LoadAnnotations", with_bbox=True),
            dict(type="PackDetInputs", meta_keys=_meta_keys),
        ]
    )
)
test_dataloader = val_dataloader
