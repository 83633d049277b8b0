"""A small set of photographs in data/own: train.json, val.json (COCO format) and images/; mirrored half of the time."""

_base_ = "pipelines.py"

_data_root = "data/own/"

train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="CocoDetection",
        data_root=_data_root,
        ann_file="train.json",
        data_prefix=dict(img="images/"),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=_base_.mirrored_384x288.train,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CocoDetection",
        data_root=_data_root,
        ann_file="val.json",
        data_prefix=dict(img="images/"),
        test_mode=True,
        pipeline=_base_.mirrored_384x288.test,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="CocoMetric", ann_file=_data_root + "val.json", metric="bbox")
test_evaluator = val_evaluator
