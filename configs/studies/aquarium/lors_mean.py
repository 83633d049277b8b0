_base_ = "../../ablations/aquarium/lors.py"

model = dict(bbox_head=dict(query_start="image"))
