_base_ = "lors.py"

model = dict(bbox_head=dict(decoder=dict(static_rank=16)))
