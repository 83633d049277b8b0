_base_ = "lors.py"

model = dict(bbox_head=dict(decoder=dict(share=(0,) * 3, adaptive_groups=(1, 2, 3))))
