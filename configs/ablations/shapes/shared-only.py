_base_ = "lors.py"

model = dict(bbox_head=dict(decoder=dict(adaptive_rank=0, adaptive_groups=None, static_rank=0)))
