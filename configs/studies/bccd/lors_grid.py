_base_ = "../../ablations/bccd/lors.py"

model = dict(bbox_head=dict(query_start="grid"))
