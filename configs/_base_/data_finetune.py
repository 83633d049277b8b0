"""One's own data, given by `lors-det train CONFIG --data DIR`: image side and batch size are chosen from it."""

_base_ = "data_own.py"

train_dataloader = dict(
    batch_size=None,
    batch_sampler=dict(type="AspectRatioBatchSampler"),  # upright and broad images apart: less is padded
    dataset=dict(filter_cfg=dict(filter_empty_gt=False), pipeline=_base_.own_crops),
)
val_dataloader = dict(batch_size=None, dataset=dict(pipeline=_base_.own_test))
test_dataloader = val_dataloader

custom_hooks = [
    dict(type="GentleFinishHook", pipeline=_base_.own_gentle, last=0.2),
    # of ten or so validations; a cosine gains most near its end
    dict(type="PatienceHook", patience=5),
]
