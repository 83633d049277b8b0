"""Crowded scenes of synthetic shapes, of tools/make_shapes.py --crowded, in data/crowded-shapes, at their own size."""

_base_ = "data_shapes.py"

_data_root = "data/crowded-shapes/"

train_dataloader = dict(dataset=dict(data_root=_data_root, pipeline=_base_.shapes_192x192.train))
val_dataloader = dict(dataset=dict(data_root=_data_root, pipeline=_base_.shapes_192x192.test))
test_dataloader = val_dataloader

val_evaluator = dict(ann_file=_data_root + "annotations/val.json")
test_evaluator = val_evaluator
