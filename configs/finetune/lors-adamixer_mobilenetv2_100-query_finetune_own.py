_base_ = "../_base_/finetune_mobilenetv2.py"

model = dict(bbox_head=dict(criterion=dict(class_loss="matchability")))
