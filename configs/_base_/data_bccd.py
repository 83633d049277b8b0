"""BCCD, photographs of blood cells: its VOC folder at data/bccd/BCCD, converted annotations beside it."""

_base_ = "data_own.py"

_paths = dict(data_root="data/bccd/", data_prefix=dict(img="BCCD/JPEGImages/"))

train_dataloader = dict(dataset=dict(ann_file="annotations/train.json", pipeline=_base_.cells_384x288.train, **_paths))
val_dataloader = dict(dataset=dict(ann_file="annotations/val.json", pipeline=_base_.cells_384x288.test, **_paths))
test_dataloader = val_dataloader

val_evaluator = dict(ann_file="data/bccd/annotations/val.json", classwise=True)
test_evaluator = val_evaluator
