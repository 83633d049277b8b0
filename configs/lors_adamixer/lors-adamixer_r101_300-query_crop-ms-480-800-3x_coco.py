_base_ = [
    "../_base_/model_r101.py",
    "../_base_/decoders.py",
    "../_base_/data_coco_crop-ms.py",
    "../_base_/schedule_3x.py",
    "../_base_/runtime.py",
]

model = dict(bbox_head=dict(num_queries=300, decoder=_base_.lors))
