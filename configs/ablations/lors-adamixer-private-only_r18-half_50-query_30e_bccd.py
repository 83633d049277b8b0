_base_ = "lors-adamixer_r18-half_50-query_30e_bccd.py"

model = dict(bbox_head=dict(decoder=dict(share=(None, None, None, None))))
