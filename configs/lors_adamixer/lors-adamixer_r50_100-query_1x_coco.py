_base_ = [
    "../_base_/model_r50.py",
    "../_base_/decoders.py",
    "../_base_/data_coco_1x.py",
    "../_base_/schedule_1x.py",
    "../_base_/runtime.py",
]

model = dict(bbox_head=dict(num_queries=100, decoder=_base_.lors))
# on train2017's images with boxes
_first_epochs = dict(type="EarlyCheckHook", expected=[0.250, 0.303, 0.333], model="AdaMixer", num_images=117266)
default_hooks = dict(early_check=_first_epochs)
