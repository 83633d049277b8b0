"""The first third of the steps, at the full learning rate, for a training that goes on from its weights."""

_base_ = "adamixer_grid.py"

param_scheduler = _base_.param_scheduler[:1]  # the warm-up
train_cfg = dict(max_epochs=4, val_interval=4)
custom_hooks = []  # augmentation stays as it is to the end
