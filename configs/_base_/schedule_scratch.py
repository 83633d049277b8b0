"""AdamW from scratch for small models: a 50-iteration warm-up, then a cosine over the epochs that the leaf sets."""

optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=5e-4, weight_decay=1e-2, fused=True),
    clip_grad=dict(max_norm=1.0, norm_type=2),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    # without an end, which the Runner then takes from train_cfg.max_epochs
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, eta_min_ratio=0.01, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=8)
train_cfg = dict(type="ExactTrainLoop", val_interval=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
randomness = dict(seed=0)
