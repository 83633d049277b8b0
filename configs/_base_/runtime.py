"""Logging, checkpoints and what every run shares."""

_base_ = "trackers.py"

default_scope = "mmdet"
custom_imports = dict(imports=["lors_det.plugin"], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="SafeCheckpointHook", interval=1, max_keep_ckpts=3, save_best="coco/bbox_mAP", rule="greater"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    visualization=dict(type="DetVisualizationHook"),
    # here and not in custom_hooks, a list that a config replaces whole
    num_classes=dict(type="NumClassCheckHook"),
    plain_checkpoint=dict(type="PlainCheckpointHook"),
    checkpoint_guard=dict(type="CheckpointGuardHook"),
    data_guard=dict(type="DataGuardHook"),
    folding=dict(type="FoldingHook"),
)

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
visualizer = dict(type="DetLocalVisualizer", vis_backends=_base_.tensorboard)
log_processor = dict(type="LogProcessor", window_size=50, by_epoch=True)
log_level = "INFO"
load_from = None
resume = False
