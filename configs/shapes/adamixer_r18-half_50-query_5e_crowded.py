_base_ = [
    "../_base_/model_r18-half.py",
    "../_base_/decoders_small.py",
    "../_base_/data_crowded.py",
    "../_base_/schedule_scratch.py",
    "../_base_/runtime.py",
]

model = dict(bbox_head=dict(num_queries=50, query_start="grid", decoder=_base_.adamixer))
train_cfg = dict(max_epochs=5, val_interval=5)
