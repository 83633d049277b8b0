_base_ = [
    "../_base_/model_x101-32x4d-dcn.py",
    "../_base_/decoders.py",
    "../_base_/data_coco_crop-ms.py",
    "../_base_/schedule_3x.py",
    "../_base_/runtime.py",
]

model = dict(bbox_head=dict(num_queries=300, decoder=_base_.adamixer))
