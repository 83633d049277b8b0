_base_ = "../../ablations/bccd/adamixer.py"

model = dict(bbox_head=dict(query_start="grid"))
