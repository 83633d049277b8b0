"""What a decoder is made of, as one value: AdaMixer's, LORS's, and everything between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from lors_det.adamixer.mixing import OutInit
from lors_det.lors import MakeResidual, adaptive, checked_share, static
from lors_det.lors.adaptive import FactorInit

LAYERS = ("attention.qkv", "attention.out", "ffn.layers.0", "ffn.layers.2", "sampling.offsets")
"""Linear layers beside the mixing, whose weights LORS+ shares; biases belong to the stages."""


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
        adaptive_rank: R of the residuals on generated kernels; 0 for none.
        adaptive_groups: K of each stage, S values; needed with ``adaptive_rank``.
        static_rank: R of the residual on the output projection; 0 for none.
        static_groups: K of each stage, S values; one group in every stage where none are given.
        layer_rank: R of static residuals on attention, feed-forward layer and offset generator; 0 for layers that
            belong to the stages.
        out_init: initialisation of the output projections, see :class:`lors_det.adamixer.mixing.Mixing`.
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
    adaptive_rank: int = 0
    adaptive_groups: Sequence[int] | None = None
    static_rank: int = 0
    static_groups: Sequence[int] | None = None
    layer_rank: int = 0
    out_init: OutInit = "xavier"
    factor_init: FactorInit = "stacked"

    def __post_init__(self) -> None:
        for name in ("num_groups", "num_points", "num_out_points", "dim", "num_heads", "ffn_dim"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}={value!r}; it must be a positive integer")
        if self.dim % 8:
            raise ValueError(f"dim={self.dim}; it must be a multiple of 8, for the position embedding")
        if self.dim % self.num_groups:
            raise ValueError(f"num_groups={self.num_groups} does not divide dim={self.dim}")
        share = checked_share(self.share, len(self.share))
        self._set("share", share)
        self._set("strides", tuple(self.strides))
        self._set("adaptive_groups", checked_groups("adaptive", self.adaptive_rank, self.adaptive_groups, len(share)))
        self._set("static_groups", checked_groups("static", self.static_rank, self.static_groups, len(share)))
        if self.layer_rank < 0:
            raise ValueError(f"layer_rank={self.layer_rank}; it must be 0, for layers of the stages' own, or positive")
        if None in share and (self.layer_rank or not self.adaptive_rank or not self.static_rank):
            raise ValueError(
                f"share={share} has stages without a base; they need adaptive_rank and static_rank, "
                "and cannot have layer_rank"
            )

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
            factor_init="stacked",
        )

    def arguments(self) -> dict[str, object]:
        """What differs from the defaults, as a config writes it."""
        values = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        return {name: value for name, (value, default) in values.items() if value != default}

    def residuals(self) -> dict[str, MakeResidual | None]:
        """What stages share, by name, and how it is corrected; see :class:`lors_det.lors.SharedStack`."""
        if self.is_plain:
            return {}
        kernels = {
            "mixing.channel": (self.group_dim, self.group_dim),
            "mixing.spatial": (self.num_out_points, self.num_points),
        }
        shared: dict[str, MakeResidual | None] = dict.fromkeys((*kernels, "mixing.out.weight"))
        if self.adaptive_groups is not None:
            for name, shape in kernels.items():
                shared[name] = adaptive(
                    shape,
                    num_groups=self.num_groups,
                    rank=self.adaptive_rank,
                    num_residuals=self.adaptive_groups,
                    factor_init=self.factor_init,
                )
        if self.static_groups is None:
            shared["mixing.out.bias"] = None
        else:
            shared["mixing.out.weight"] = static(rank=self.static_rank, num_groups=self.static_groups)
        if self.layer_rank:
            shared |= {f"{layer}.weight": static(rank=self.layer_rank) for layer in LAYERS}
        return shared


def checked_groups(kind: str, rank: int, groups: Sequence[int] | None, num_stages: int) -> tuple[int, ...] | None:
    """K of each stage's residuals of a kind, "adaptive" or "static"; None where there is no residual."""
    if rank < 0:
        raise ValueError(f"{kind}_rank={rank}; it must be 0, for no residual, or positive")
    if rank == 0:
        if groups:
            raise ValueError(f"{kind}_groups={tuple(groups)} has no effect with {kind}_rank=0; set the rank or drop it")
        return None
    if groups is None:
        if kind == "adaptive":
            raise ValueError(f"adaptive_rank={rank} needs adaptive_groups, K of each of the {num_stages} stages")
        groups = (1,) * num_stages
    groups = tuple(groups)
    if len(groups) != num_stages:
        raise ValueError(
            f"{kind}_groups={groups} has {len(groups)} values for {num_stages} stages (the length of share); "
            "give one K for each stage"
        )
    if min(groups) < 1:
        raise ValueError(f"{kind}_groups={groups}; each K must be at least 1")
    return groups


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
