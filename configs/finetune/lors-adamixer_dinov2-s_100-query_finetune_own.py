_base_ = [
    "../_base_/model_dinov2-s.py",
    "../_base_/decoders.py",
    "../_base_/data_finetune.py",
    "../_base_/schedule_finetune.py",
    "../_base_/runtime.py",
]

model = dict(
    bbox_head=dict(
        num_queries=100,
        query_start="grid",
        criterion=dict(class_loss="matchability"),
        decoder=_base_.lors,
    ),
    test_cfg=dict(clip_boxes=True),
)
# a decoder of width 256 takes smaller steps
optim_wrapper = dict(optimizer=dict(lr=1e-4))
