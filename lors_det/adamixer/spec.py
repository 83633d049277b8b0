"""What a decoder is made of, as one value: AdaMixer's, LORS's, and everything between."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import get_args

from lors_det.adamixer.mixing import OutInit
from lors_det.adamixer.spec_values import (
    check_sequence,
    checked_groups,
    checked_rank,
    checked_strides,
    is_int,
    is_number,
)
from lors_det.lors import checked_share
from lors_det.lors.adaptive import FactorInit


@dataclass(frozen=True, kw_only=True)
class DecoderSpec:
    """Shape and sharing of a decoder.

    ``share[i]`` is the base of stage i. AdaMixer gives every stage its own, (0, 1, 2, 3, 4, 5), and has no
    residuals; LORS shares one, (0, 0, 0, 0, 0, 0), which each stage corrects; (0, 0, 1, 1, 2, 2) lies between. A stage
    whose base is None has its residuals alone. With ``layer_rank``, stages share the weights of attention, feed-forward
    layer and offset generator too, the paper's structure on all of the stack: LORS+.

    Attributes:
        share: base of each stage, S of them, or None; every base from 0 on is used.
        num_groups: G.
        num_points: P.
        num_out_points: O.
        dim: D.
        num_heads: attention heads.
        ffn_dim: width of the feed-forward layer.
        strides: s_l of the feature levels, pixels.
        adaptive_rank: R of the residuals on generated kernels, or that of each stage; 0 for none.
        adaptive_groups: K of each stage, S values; needed with ``adaptive_rank``.
        static_rank: R of the residual on the output projection, or that of each stage; 0 for none.
        static_groups: K of each stage, S values; one group in every stage where none are given.
        layer_rank: R of static residuals on attention, feed-forward layer and offset generator; 0 for layers that
            belong to the stages.
        residual_scale: of all residuals, see :class:`lors_det.lors.StaticResidual`.
        residual_gain: whether residuals scale the rows of what they correct, see the same.
        residual_start: standard deviation of the residuals' corrections at the start, in units of that of weights of
            the stage's own, Xavier's for linear layers; stages then start different. 0: all start equal to their base.
        mean_gradient: whether bases get the mean of their users' gradients, see :class:`lors_det.lors.SharedStack`.
        query_noise: standard deviation of noise on the queries' content between stages, in training alone, in units of
            each query's own standard deviation.
        gradient_stages: last stages whose losses do not reach the stages before them: the queries that enter the first
            of them are detached. Those before learn from losses of their own. By default all losses reach all stages
            before theirs.
        look_forward_twice: whether, in training, the boxes of a stage are those that it makes of the former stage's
            boxes with their gradients, so that its losses move the former stage's boxes too (DINO, section 3.5).
        recollect_from: in training, the first stage, from 1 on, that also gets what the stage two before it gave, or
            the initial queries, and so do all after it, each set of queries by itself: selective query recollection
            (SQR, 2023), by which late stages learn from the queries of early ones too. Sets grow as 1, 2, 3, 5, ...;
            None: never.
        equal_start: whether the mixing of all stages starts as that of the first, as it does where they share it.
        out_init: initialisation of the output projections, see :class:`lors_det.adamixer.mixing.Mixing`; of no effect
            on stages without a base.
        factor_init: initialisation of the adaptive factors, see :class:`lors_det.lors.AdaptiveResidual`.

    Raises:
        ValueError: if a number is out of range, or lengths or ranks contradict each other.
    """

    share: Sequence[int | None]
    num_groups: int
    num_points: int
    num_out_points: int
    dim: int = 256
    num_heads: int = 8
    ffn_dim: int = 2048
    strides: Sequence[int] = (4, 8, 16, 32)
    adaptive_rank: int | Sequence[int] = 0
    adaptive_groups: Sequence[int] | None = None
    static_rank: int | Sequence[int] = 0
    static_groups: Sequence[int] | None = None
    layer_rank: int = 0
    residual_scale: float = 1.0
    residual_gain: bool = False
    residual_start: float = 0.0
    mean_gradient: bool = False
    query_noise: float = 0.0
    gradient_stages: int | None = None
    look_forward_twice: bool = False
    recollect_from: int | None = None
    equal_start: bool = False
    out_init: OutInit = "xavier"
    factor_init: FactorInit = "stacked"

    def __post_init__(self) -> None:
        for name in ("num_groups", "num_points", "num_out_points", "dim", "num_heads", "ffn_dim"):
            value = getattr(self, name)
            if not is_int(value) or value < 1:
                raise ValueError(f"{name}={value!r}; it must be a positive integer")
        for name, values in (("out_init", OutInit), ("factor_init", FactorInit)):
            if getattr(self, name) not in get_args(values):
                raise ValueError(f"{name}={getattr(self, name)!r}; choose from {', '.join(get_args(values))}")
        for name in ("residual_gain", "mean_gradient", "look_forward_twice", "equal_start"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}={getattr(self, name)!r}; it must be True or False")
        if self.dim % 8:
            raise ValueError(f"dim={self.dim}; it must be a multiple of 8, for the position embedding")
        for name in ("num_groups", "num_heads"):
            if self.dim % getattr(self, name):
                raise ValueError(f"{name}={getattr(self, name)} does not divide dim={self.dim}")
        check_sequence("share", self.share)
        share = checked_share(self.share, len(self.share))
        self._set("share", share)
        self._set("strides", checked_strides(self.strides))
        for kind in ("adaptive_rank", "static_rank"):
            self._set(kind, checked_rank(kind, getattr(self, kind), len(share)))
        self._set("adaptive_groups", checked_groups("adaptive", self.adaptive_rank, self.adaptive_groups, len(share)))
        self._set("static_groups", checked_groups("static", self.static_rank, self.static_groups, len(share)))
        if not is_int(self.layer_rank) or self.layer_rank < 0:
            raise ValueError(
                f"layer_rank={self.layer_rank!r}; it must be 0, for layers of the stages' own, or positive"
            )
        if None in share and (self.layer_rank or not self.adaptive_rank or not self.static_rank):
            raise ValueError(
                f"share={share} has stages without a base; they need adaptive_rank and static_rank, "
                "and cannot have layer_rank"
            )
        self._check_training(share)

    def _check_training(self, share: tuple[int | None, ...]) -> None:
        """What changes the training alone, or the correction: in range, and of use."""
        if not is_number(self.residual_scale) or not 0 < self.residual_scale < math.inf:
            raise ValueError(f"residual_scale={self.residual_scale!r}; it must be a positive number")
        for name in ("residual_start", "query_noise"):
            value = getattr(self, name)
            if not is_number(value) or not 0 <= value < math.inf:
                raise ValueError(f"{name}={value!r}; it must be a number from 0 on")
        for name in ("query_noise", "look_forward_twice", "gradient_stages", "recollect_from"):
            if getattr(self, name) not in (None, False, 0) and len(share) == 1:
                raise ValueError(f"{name}={getattr(self, name)!r} has no effect with one stage; drop it")
        stages = self.gradient_stages
        if stages is not None and (not is_int(stages) or not 1 <= stages < len(share)):
            raise ValueError(
                f"gradient_stages={stages!r}; it must be None or from 1 to {len(share) - 1}: fewer than all"
            )
        first = self.recollect_from
        if first is not None and (not is_int(first) or not 1 <= first < len(share)):
            raise ValueError(f"recollect_from={first!r}; it must be None, or a stage from 1 to {len(share) - 1}")
        has_residuals = bool(self.adaptive_rank or self.static_rank or self.layer_rank)
        for name, default in (("residual_scale", 1), ("residual_gain", False), ("residual_start", 0)):
            if getattr(self, name) != default and not has_residuals:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} has no effect without residuals; set a rank or drop it"
                )
        if self.residual_gain and set(share) == {None}:
            raise ValueError("residual_gain=True has no effect without a base, whose rows it would scale; drop it")
        if self.residual_start and set(share) == {None}:
            raise ValueError(
                f"residual_start={self.residual_start!r} has no effect without a base: residuals alone start as whole "
                "weights do; drop it"
            )
        if self.factor_init != "stacked" and not self.adaptive_rank:
            raise ValueError(f"factor_init={self.factor_init!r} has no effect with adaptive_rank=0; drop it")
        if self.look_forward_twice and len(share) == 2 and stages == 1:
            raise ValueError("look_forward_twice=True has no effect: gradient_stages=1 parts the two stages; drop one")
        if self.equal_start and len(set(share) - {None}) < 2:
            raise ValueError("equal_start=True has no effect where no two stages have bases of their own; drop it")
        if self.equal_start and self.residual_start and (self.adaptive_rank or self.static_rank):
            raise ValueError("equal_start=True and residual_start contradict each other; drop one")
        if self.equal_start and None in share:
            raise ValueError(
                f"equal_start=True: share={share} has stages without a base, which start different; drop it"
            )
        if self.mean_gradient and not any(share.count(base) > 1 for base in set(share) - {None}):
            raise ValueError("mean_gradient=True has no effect where no stages share a base; drop it")

    def _set(self, name: str, value: object) -> None:
        """Normalise a field while the value is made, after which it is frozen."""
        object.__setattr__(self, name, value)

    @property
    def num_stages(self) -> int:
        """S."""
        return len(self.share)

    @property
    def group_dim(self) -> int:
        """C."""
        return self.dim // self.num_groups

    @property
    def is_plain(self) -> bool:
        """Whether every stage owns all of its weights, uncorrected: AdaMixer."""
        return len(set(self.share) - {None}) == self.num_stages and not (
            self.adaptive_rank or self.static_rank or self.layer_rank
        )

    def folded(self) -> DecoderSpec:
        """The plain decoder that computes the same: of the same shape, each stage with weights of its own."""
        return replace(
            self,
            share=tuple(range(self.num_stages)),
            adaptive_rank=0,
            adaptive_groups=None,
            static_rank=0,
            static_groups=None,
            layer_rank=0,
            residual_scale=1.0,
            residual_gain=False,
            residual_start=0.0,
            mean_gradient=False,
            equal_start=False,
            factor_init="stacked",
        )

    def arguments(self) -> dict[str, object]:
        """What differs from the defaults, as a config writes it."""
        values = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        return {name: value for name, (value, default) in values.items() if value != default}
