_base_ = ["lors.py"]

model = dict(bbox_head=dict(decoder=dict(_delete_=True, **_base_.adamixer)))
