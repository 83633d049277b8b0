"""The decoders of the papers."""

from __future__ import annotations

from dataclasses import replace

from lors_det.adamixer.spec import DecoderSpec

ADAMIXER = DecoderSpec(share=range(6), num_groups=4, num_points=32, num_out_points=128)
"""The published AdaMixer."""

ADAMIXER_G2_P64 = replace(ADAMIXER, num_groups=2, num_points=64)
"""AdaMixer in the shape of the published LORS-AdaMixer."""

LORS = replace(
    ADAMIXER_G2_P64,
    share=(0,) * 6,
    adaptive_rank=16,
    adaptive_groups=(1, 1, 2, 2, 3, 3),
    static_rank=8,
    out_init="linear",
)
"""The published LORS-AdaMixer."""
