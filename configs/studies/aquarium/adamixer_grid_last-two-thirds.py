_base_ = "adamixer_grid.py"

train_cfg = dict(max_epochs=8, val_interval=8)
# the last three epochs see whole images, as they do of twelve
custom_hooks = [dict(_base_.custom_hooks[0], last=0.3), *_base_.custom_hooks[1:]]
