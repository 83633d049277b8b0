_base_ = "../../ablations/aquarium/adamixer.py"

model = dict(bbox_head=dict(query_start="image"))
