"""The published decoder as it is measured: this project's, the baseline's, and the latter in float64.

Half precision is what mixed precision trains and evaluates: weights in float32, features in half precision, both
candidates under autocast; coordinates stay in float32.
"""

from __future__ import annotations

import copy
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from benchmarks.baseline import Baseline
from lors_det.adamixer import Decoder
from lors_det.adamixer.published import LORS

NOISE = 1e-3
"""Standard deviation of what is added to the decoder's start."""


class Models:
    """What the cases have in common: the device, the precision, and the published decoder in its three forms."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self.dtype = dtype

    @cached_property
    def decoder(self) -> Decoder:
        """LORS-AdaMixer's decoder, off its start, where residuals are zero.

        But not far: a random stack of stages is chaotic, and would make any rounding error as large as the truth.
        """
        torch.manual_seed(0)
        decoder = Decoder(80, LORS)
        with torch.no_grad():
            for parameter in decoder.parameters():
                parameter.add_(torch.randn_like(parameter) * NOISE)
        return decoder.to(self.device)

    @cached_property
    def folded(self) -> Decoder:
        """A copy for inference, whose weights stay folded, in the precision of its products."""
        decoder = copy.deepcopy(self.decoder).eval()
        self._kept = ExitStack()
        self._kept.enter_context(decoder.folded(self.dtype))  # never left
        return decoder

    @cached_property
    def baseline(self) -> Baseline:
        return Baseline(self.decoder)

    @cached_property
    def baseline_in_precision(self) -> Baseline:
        """The baseline for inference, whose weights are in the precision of its products, as the folded ones are."""
        return self.baseline.kept_in(self.dtype)

    @cached_property
    def exact(self) -> Baseline:
        return Baseline(copy.deepcopy(self.decoder).double())

    def precision(self) -> AbstractContextManager[Any]:
        """Inside, products are made in the cases' precision."""
        return nullcontext() if self.dtype == torch.float32 else torch.autocast(self.device.type, self.dtype)

    def features(self, *shape: int) -> Tensor:
        """Noise in the cases' precision."""
        return torch.randn(*shape, device=self.device, dtype=self.dtype)

    def content(self, num_images: int, num_queries: int) -> Tensor:
        """(B, Q, D), in float32: what passes from norm to norm keeps it under autocast."""
        return torch.randn(num_images, num_queries, 256, device=self.device)
