_base_ = [
    "../_base_/model_r18-half.py",
    "../_base_/decoders_small.py",
    "../_base_/data_shapes.py",
    "../_base_/schedule_scratch.py",
    "../_base_/runtime.py",
]

model = dict(bbox_head=dict(num_queries=16, decoder=_base_.adamixer))

train_cfg = dict(max_epochs=5, val_interval=1)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=5, eta_min_ratio=0.01, convert_to_iter_based=True),
]
