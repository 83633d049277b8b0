_base_ = "lors.py"

model = dict(bbox_head=dict(decoder=dict(share=(0, 0, 1, 1, 2, 2))))
