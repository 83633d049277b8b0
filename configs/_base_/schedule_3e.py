"""3 epochs from scratch: a 50-iteration warm-up, then a cosine."""

_base_ = "schedule_scratch.py"

param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type="CosineAnnealingLR", by_epoch=True, begin=0, end=3, eta_min_ratio=0.01, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=3, val_interval=1)
