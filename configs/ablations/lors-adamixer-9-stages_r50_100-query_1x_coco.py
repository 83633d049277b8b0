_base_ = "../lors_adamixer/lors-adamixer_r50_100-query_1x_coco.py"

model = dict(bbox_head=dict(decoder=dict(share=(0,) * 9, adaptive_groups=(1, 1, 1, 2, 2, 2, 3, 3, 3))))
