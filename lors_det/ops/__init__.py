"""Tensor operations with their plain references. Knows torch only."""

from lors_det.ops.mixing import adaptive_mix, adaptive_mix_reference
from lors_det.ops.sampling import FeatureBank, sample_3d, sample_3d_reference

__all__ = ["FeatureBank", "adaptive_mix", "adaptive_mix_reference", "sample_3d", "sample_3d_reference"]
