"""Fine-tuning MobileNetV2 by the published losses, as the studies and ablations on aquarium do."""

_base_ = [
    "model_mobilenetv2.py",
    "decoders_small.py",
    "data_finetune.py",
    "schedule_finetune.py",
    "runtime.py",
]

model = dict(
    bbox_head=dict(num_queries=100, query_start="grid", decoder=_base_.lors),
    test_cfg=dict(clip_boxes=True),
)
