_base_ = "lors.py"

model = dict(bbox_head=dict(decoder=dict(factor_init="matrix")))
