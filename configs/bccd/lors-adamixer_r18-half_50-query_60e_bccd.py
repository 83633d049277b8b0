_base_ = [
    "../_base_/model_r18-half.py",
    "../_base_/decoders_small.py",
    "../_base_/data_bccd.py",
    "../_base_/schedule_scratch.py",
    "../_base_/runtime.py",
]

model = dict(bbox_head=dict(num_queries=50, decoder=_base_.lors))

train_cfg = dict(max_epochs=60, val_interval=10)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=60, eta_min_ratio=0.01, convert_to_iter_based=True),
]
