_base_ = [
    "../_base_/model_r18-half.py",
    "../_base_/decoders_small.py",
    "../_base_/data_own.py",
    "../_base_/schedule_scratch.py",
    "../_base_/runtime.py",
]

model = dict(bbox_head=dict(num_queries=50, query_start="grid", decoder=_base_.lors))
# None: it falls after a third of the epochs
param_scheduler = [_base_.param_scheduler[0], {**_base_.param_scheduler[1], "begin": None}]
train_cfg = dict(max_epochs=60, val_interval=10)
