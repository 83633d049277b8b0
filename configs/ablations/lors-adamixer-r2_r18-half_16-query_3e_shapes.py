_base_ = "lors-adamixer_r18-half_16-query_3e_shapes.py"

model = dict(bbox_head=dict(decoder=dict(adaptive_rank=2)))
