_base_ = "lors_grid.py"

train_cfg = dict(max_epochs=8, val_interval=8)
