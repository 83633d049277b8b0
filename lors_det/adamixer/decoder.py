"""The stack of stages, and the bases that its stages share."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lors_det.adamixer.mixing import Mixing, MixingBase, OutInit
from lors_det.adamixer.queries import QueryState
from lors_det.adamixer.stage import Stage, StageOutput
from lors_det.lors import AdaptiveResidual, LedgerEntry, StaticResidual, ledger
from lors_det.lors.adaptive import FactorInit
from lors_det.ops import FeatureBank


class Decoder(nn.Module):
    """AdaMixer's decoder; with residuals, LORS-AdaMixer's.

    ``share[i]`` is the base of stage i. AdaMixer gives every stage its own, (0, 1, 2, 3, 4, 5), and has no
    residuals; LORS shares one, (0, 0, 0, 0, 0, 0), which each stage corrects; (0, 0, 1, 1, 2, 2) lies between.

    State dict: ``bases.b.{channel,spatial,out}.*`` once for each base, whatever the number of its users, and
    ``stages.i.*``; residuals are ``stages.i.mixing.{channel,spatial}.{left,right,core}.*`` and
    ``stages.i.mixing.out.{down,up,bias}``.

    Args:
        num_classes: N.
        share: base of each stage; every base from 0 to max(share) is used.
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
        out_init: initialisation of the output projections, see :class:`MixingBase`.
        factor_init: initialisation of the adaptive factors, see :class:`AdaptiveResidual`.

    Raises:
        ValueError: if lengths or ranks contradict each other.
    """

    def __init__(
        self,
        num_classes: int,
        share: Sequence[int],
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
        out_init: OutInit = "xavier",
        factor_init: FactorInit = "stacked",
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
        self.share = _checked_share(share)
        self.strides = tuple(strides)
        num_stages = len(self.share)
        adaptive_groups = _checked_groups("adaptive", adaptive_rank, adaptive_groups, num_stages)
        static_groups = _checked_groups("static", static_rank, static_groups, num_stages)
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
            )

        def static(stage: int) -> StaticResidual | None:
            if not static_groups[stage]:
                return None
            in_dim = num_groups * num_out_points * group_dim
            return StaticResidual(in_dim, dim, rank=static_rank, num_groups=static_groups[stage])

        self.bases = nn.ModuleList(
            MixingBase(
                dim,
                num_groups=num_groups,
                num_points=num_points,
                num_out_points=num_out_points,
                out_bias=not static_rank,
                out_init=out_init,
            )
            for _ in range(max(self.share) + 1)
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
        channels = levels[0].shape[1]
        if channels != self.dim:
            raise ValueError(f"features of {channels} channels came to a decoder of dim={self.dim}; make them equal")
        bank = FeatureBank.from_levels(levels, self.strides)
        outputs = []
        for stage, base in zip(self.stages, self.share):
            output = stage(state, bank, self.bases[base])
            outputs.append(output)
            state = QueryState(output.state.content, output.state.xyzr.detach())
        return outputs

    def ledger(self) -> list[LedgerEntry]:
        """Who uses which parameter; names are those of this module's state dict."""
        return ledger(self.bases, self.stages, self.share)


def _checked_share(share: Sequence[int]) -> tuple[int, ...]:
    share = tuple(share)
    if not all(isinstance(base, int) for base in share) or not share or set(share) != set(range(max(share) + 1)):
        raise ValueError(
            f"share={share}; it gives the base of each stage and must use every base from 0 on, "
            "for example (0, 0, 0, 0) to share one base among four stages"
        )
    return share


def _checked_groups(kind: str, rank: int, groups: Sequence[int] | None, num_stages: int) -> tuple[int, ...]:
    """K of each stage; all zeros where there is no residual."""
    if rank < 0:
        raise ValueError(f"{kind}_rank={rank}; it must be 0, for no residual, or positive")
    if rank == 0:
        if groups:
            raise ValueError(f"{kind}_groups={tuple(groups)} has no effect with {kind}_rank=0; set the rank or drop it")
        return (0,) * num_stages
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
