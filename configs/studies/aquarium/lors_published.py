_base_ = "../../ablations/aquarium/lors.py"

model = dict(bbox_head=dict(query_start="image"))
custom_hooks = [hook for hook in _base_.custom_hooks if hook["type"] != "EMAHook"]
