_base_ = [
    "../_base_/model_mobilenetv2.py",
    "../_base_/decoders_small.py",
    "../_base_/data_finetune.py",
    "../_base_/schedule_finetune.py",
    "../_base_/runtime.py",
]

model = dict(
    bbox_head=dict(num_queries=100, query_start="grid", decoder=_base_.lors),
    test_cfg=dict(clip_boxes=True),
)
default_hooks = dict(
    # of ten or so validations; a cosine gains most near its end, so that only a run that is over stops early
    early_stopping=dict(type="EarlyStoppingHook", monitor="coco/bbox_mAP", rule="greater", patience=5),
)
custom_hooks = [
    dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.002, gamma=200, priority=49),
    dict(type="GentleFinishHook", pipeline=_base_.own_gentle, last=0.2),
]
