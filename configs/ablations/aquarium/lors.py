_base_ = ["../../finetune/lors-adamixer_mobilenetv2_100-query_finetune_own.py"]

train_dataloader = dict(batch_size=4)
train_cfg = dict(max_epochs=12, val_interval=12)
