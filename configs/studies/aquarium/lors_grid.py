_base_ = "../../ablations/aquarium/lors.py"

custom_hooks = [hook for hook in _base_.custom_hooks if hook["type"] != "EMAHook"]
