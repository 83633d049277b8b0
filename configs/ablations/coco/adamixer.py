_base_ = "../../adamixer/adamixer_r50_100-query_1x_coco.py"

default_hooks = dict(early_check=None)  # ablations may be worse
