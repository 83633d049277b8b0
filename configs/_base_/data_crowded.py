"""Crowded scenes at their own size: lors-det make-shapes data/crowded-shapes --crowded --image-size 192."""

_base_ = "data_shapes.py"

_data_root = "data/crowded-shapes/"

train_dataloader = dict(dataset=dict(data_root=_data_root, pipeline=_base_.shapes_192x192.train))
val_dataloader = dict(dataset=dict(data_root=_data_root, pipeline=_base_.shapes_192x192.test))
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=_data_root + "annotations/val.json")
test_evaluator = val_evaluator
