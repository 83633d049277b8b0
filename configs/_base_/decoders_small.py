"""Four-stage decoders of width 128 for two CPU cores; both have the same groups and points."""

_shape = dict(dim=128, num_heads=8, ffn_dim=512, num_groups=2, num_points=16, num_out_points=32)

adamixer = dict(share=(0, 1, 2, 3), **_shape)

lors = dict(
    share=(0, 0, 0, 0),
    adaptive_rank=8,
    adaptive_groups=(1, 1, 2, 2),
    static_rank=8,
    out_init="xavier",  # louder than the published start: short schedules gain from it
    **_shape,
)
