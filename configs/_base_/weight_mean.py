"""The mean of the weights over some hundred steps, which is what is validated and kept: an entry of custom_hooks."""

weight_mean = dict(type="EMAHook", ema_type="ExpMomentumEMA", momentum=0.002, gamma=200, priority=49)
