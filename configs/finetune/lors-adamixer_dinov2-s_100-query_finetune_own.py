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
optim_wrapper = dict(
    optimizer=dict(lr=1e-4),  # a decoder of width 256 takes smaller steps
    paramwise_cfg=dict(custom_keys={"backbone.pyramid": dict(lr_mult=1.0)}),  # made anew, though the backbone holds it
)
