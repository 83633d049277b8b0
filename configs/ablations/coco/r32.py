_base_ = "lors.py"

model = dict(bbox_head=dict(decoder=dict(adaptive_rank=32)))
