"""Where scalars go beside scalars.json, to be chosen by a leaf: visualizer = dict(vis_backends=_base_.wandb)."""

tensorboard = [dict(type="LocalVisBackend"), dict(type="TensorboardTracker")]
wandb = [dict(type="LocalVisBackend"), dict(type="WandbTracker")]
mlflow = [dict(type="LocalVisBackend"), dict(type="MLflowTracker")]
