"""Four-stage decoders of width 96 for two CPU cores; both have the same groups and points."""

_shape = dict(dim=96, num_heads=8, ffn_dim=384, num_groups=4, num_points=9, num_out_points=24)

adamixer = dict(share=(0, 1, 2, 3), **_shape)

lors = dict(
    share=(0, 0, 0, 0),
    adaptive_rank=4,
    adaptive_groups=(1, 1, 2, 2),
    static_rank=8,
    out_init="xavier",  # louder than the published start
    **_shape,
)

# twice the groups, about half the points: AdaMixer's published shape as it stands to that of the published LORS model
adamixer_g8_p5 = dict(share=(0, 1, 2, 3), **{**_shape, "num_groups": 8, "num_points": 5})
