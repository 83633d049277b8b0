_base_ = "../../adamixer/adamixer-g2-p64_r50_100-query_1x_coco.py"
