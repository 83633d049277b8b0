_base_ = "../_base_/finetune_mobilenetv2.py"
