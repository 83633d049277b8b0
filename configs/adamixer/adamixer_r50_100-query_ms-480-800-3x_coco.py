_base_ = [
    "../_base_/model_r50.py",
    "../_base_/decoders.py",
    "../_base_/data_coco_ms.py",
    "../_base_/schedule_3x.py",
    "../_base_/runtime.py",
]

model = dict(bbox_head=dict(num_queries=100, decoder=_base_.adamixer))

# published with the first decay three epochs later than the other 3x recipes
param_scheduler = [
    dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", by_epoch=True, begin=0, milestones=[27, 33], gamma=0.1),
]
