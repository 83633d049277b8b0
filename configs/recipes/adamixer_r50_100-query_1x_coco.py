_base_ = "../adamixer/adamixer_r50_100-query_1x_coco.py"

model = dict(bbox_head=dict(query_start="grid", criterion=dict(class_loss="matchability")))
