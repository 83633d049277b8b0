"""The published decoders, to be chosen by a leaf."""

adamixer = dict(share=(0, 1, 2, 3, 4, 5), num_groups=4, num_points=32, num_out_points=128)

lors = dict(
    share=(0, 0, 0, 0, 0, 0),
    num_groups=2,
    num_points=64,
    num_out_points=128,
    adaptive_rank=16,
    adaptive_groups=(1, 1, 2, 2, 3, 3),
    static_rank=8,
    out_init="linear",
)

# AdaMixer in the shape of LORS: the baseline that tells LORS apart from its groups and points
adamixer_g2_p64 = dict(share=(0, 1, 2, 3, 4, 5), num_groups=2, num_points=64, num_out_points=128)
