_base_ = "lors.py"

model = dict(bbox_head=dict(decoder=dict(layer_rank=8)))
