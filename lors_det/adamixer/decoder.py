"""The stack of stages, and the bases that its stages share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from torch import Tensor, nn

from lors_det.adamixer.base import PARTS, OutInit, StageBase
from lors_det.adamixer.mixing import Mixing
from lors_det.adamixer.queries import QueryState
from lors_det.adamixer.stage import Stage, StageOutput
from lors_det.adamixer.structure import checked_groups, checked_share
from lors_det.lors import AdaptiveResidual, LedgerEntry, StaticResidual, ledger
from lors_det.lors.adaptive import FactorInit
from lors_det.ops import FeatureBank


class Decoder(nn.Module):
    """AdaMixer's decoder; with residuals, LORS-AdaMixer's.

    ``share[i]`` is the base of stage i. AdaMixer gives every stage its own, (0, 1, 2, 3, 4, 5), and has no
    residuals; LORS shares one, (0, 0, 0, 0, 0, 0), which each stage corrects; (0, 0, 1, 1, 2, 2) lies between. A stage
    whose base is None has its residuals alone. With ``layer_rank``, stages share attention, feed-forward layer and
    offset generator too, the paper's structure on all of the stack: LORS+.

    State dict: ``bases.b.{channel,spatial,out}.*`` once for each base, whatever the number of its users, and
    ``stages.i.*``; residuals are ``stages.i.mixing.{channel,spatial}.{left,right,core}.*`` and
    ``stages.i.mixing.out.{down,up,bias}``. LORS+ adds ``bases.b.{qkv,attended,expand,contract,offsets}.weight``.

    Args:
        num_classes: N.
        share: base of each stage, or None; every base from 0 on is used.
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
        out_init: initialisation of the output projections, see :class:`StageBase`.
        factor_init: initialisation of the adaptive factors, see :class:`AdaptiveResidual`.
        cache_folds: whether evaluation keeps each stage's folded generators, see :class:`AdaptiveResidual`. It is
            faster, and takes the memory of the generators of an AdaMixer of the same shape.

    Raises:
        ValueError: if lengths or ranks contradict each other.
    """

    def __init__(
        self,
        num_classes: int,
        share: Sequence[int | None],
        *,
        num_groups: int,
        num_points: int,
        num_out_points: int,
        dim: int = 256,
        num_heads: int = 8,
        ffn_dim: int = 2048,
        strides: Sequence[int] = (4, 8, 16, 32),
        adaptive_rank: int = 0,
        adaptive_groups: Sequence[int] | None = None,
        static_rank: int = 0,
        static_groups: Sequence[int] | None = None,
        layer_rank: int = 0,
        out_init: OutInit = "xavier",
        factor_init: FactorInit = "stacked",
        cache_folds: bool = True,
    ) -> None:
        super().__init__()
        sizes = dict(
            num_classes=num_classes,
            num_groups=num_groups,
            num_points=num_points,
            num_out_points=num_out_points,
            dim=dim,
            num_heads=num_heads,
            ffn_dim=ffn_dim,
        )
        for name, value in sizes.items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}={value!r}; it must be a positive integer")
        if dim % 8:
            raise ValueError(f"dim={dim}; it must be a multiple of 8, for the position embedding")
        self.dim = dim
        self.share = checked_share(share)
        self.strides = tuple(strides)
        num_stages = len(self.share)
        adaptive_groups = checked_groups("adaptive", adaptive_rank, adaptive_groups, num_stages)
        static_groups = checked_groups("static", static_rank, static_groups, num_stages)
        if layer_rank < 0:
            raise ValueError(f"layer_rank={layer_rank}; it must be 0, for layers of the stages' own, or positive")
        if None in self.share and (layer_rank or not adaptive_rank or not static_rank):
            raise ValueError(
                f"share={self.share} has stages without a base; they need adaptive_rank and static_rank, "
                "and cannot have layer_rank"
            )
        group_dim = dim // num_groups

        def adaptive(stage: int, kernel_shape: tuple[int, int]) -> AdaptiveResidual | None:
            if not adaptive_groups[stage]:
                return None
            return AdaptiveResidual(
                dim,
                kernel_shape,
                num_groups=num_groups,
                rank=adaptive_rank,
                num_residuals=adaptive_groups[stage],
                factor_init=factor_init,
                alone=self.share[stage] is None,
                cache_fold=cache_folds,
            )

        def static(stage: int) -> StaticResidual | None:
            if not static_groups[stage]:
                return None
            in_dim = num_groups * num_out_points * group_dim
            alone = self.share[stage] is None
            return StaticResidual(in_dim, dim, rank=static_rank, num_groups=static_groups[stage], alone=alone)

        self.bases = nn.ModuleList(
            StageBase(
                dim,
                num_groups=num_groups,
                num_points=num_points,
                num_out_points=num_out_points,
                out_bias=not static_rank,
                out_init=out_init,
                ffn_dim=ffn_dim if layer_rank else None,
            )
            for _ in set(self.share) - {None}
        )
        self.stages = nn.ModuleList(
            Stage(
                dim,
                num_classes,
                num_heads=num_heads,
                ffn_dim=ffn_dim,
                num_groups=num_groups,
                num_points=num_points,
                mixing=Mixing(
                    dim,
                    channel=adaptive(stage, (group_dim, group_dim)),
                    spatial=adaptive(stage, (num_out_points, num_points)),
                    out=static(stage),
                ),
                static_rank=layer_rank,
            )
            for stage in range(num_stages)
        )

    def forward(self, levels: Sequence[Tensor], state: QueryState) -> list[StageOutput]:
        """Run all stages.

        A stage's position is detached before it enters the next one; its content is not.

        Args:
            levels: feature maps (B, D, H_l, W_l).
            state: the queries that enter the first stage.

        Returns:
            The output of each stage, S of them.
        """
        bank = self._bank(levels)
        outputs = []
        for stage, base in self.stages_with_bases():
            output: StageOutput = stage(state, bank, base)
            outputs.append(output)
            state = QueryState(output.state.content, output.state.xyzr.detach())
        return outputs

    def predict(self, levels: Sequence[Tensor], state: QueryState) -> StageOutput:
        """Output of the last stage alone: what :meth:`forward` ends with, without the class heads before it."""
        bank = self._bank(levels)
        *earlier, (last, base) = self.stages_with_bases()
        for stage, stage_base in earlier:
            state = stage.advance(state, bank, stage_base)
            state = QueryState(state.content, state.xyzr.detach())
        output: StageOutput = last(state, bank, base)
        return output

    def stages_with_bases(self) -> list[tuple[Stage, StageBase | None]]:
        """Every stage with the base that it uses, in order."""
        stages, bases = cast(Iterable[Stage], self.stages), list(cast(Iterable[StageBase], self.bases))
        return [(stage, None if base is None else bases[base]) for stage, base in zip(stages, self.share)]

    def _bank(self, levels: Sequence[Tensor]) -> FeatureBank:
        channels = levels[0].shape[1]
        if channels != self.dim:
            raise ValueError(f"features of {channels} channels came to a decoder of dim={self.dim}; make them equal")
        return FeatureBank.from_levels(levels, self.strides)

    def ledger(self) -> list[LedgerEntry]:
        """Who uses which parameter; names are those of this module's state dict."""
        components = {part: place.split(".")[0] for part, place in PARTS.items()}
        return ledger(self.bases, self.stages, self.share, components)
