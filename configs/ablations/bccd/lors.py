_base_ = [
    "../../_base_/model_r18-half.py",
    "../../_base_/decoders_small.py",
    "../../_base_/data_bccd.py",
    "../../_base_/schedule_scratch.py",
    "../../_base_/runtime.py",
]

model = dict(bbox_head=dict(num_queries=50, decoder=_base_.lors))
train_cfg = dict(max_epochs=30, val_interval=10)
train_dataloader = dict(dataset=dict(pipeline=_base_.cells_256x192.train))
val_dataloader = dict(dataset=dict(pipeline=_base_.cells_256x192.test))
test_dataloader = val_dataloader
