"""The stack of stages; with LORS, of stages that share weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from lors_det.adamixer.first_version import current_name, is_first_version
from lors_det.adamixer.geometry import refine, xyzr_to_xyxy
from lors_det.adamixer.queries import QuerySets, QueryState
from lors_det.adamixer.sharing import LAYERS, residuals
from lors_det.adamixer.spec import DecoderSpec
from lors_det.adamixer.stage import Stage, StageOutput
from lors_det.lors import LedgerEntry, SharedStack, ledger
from lors_det.ops import FeatureBank


class Decoder(nn.Module):
    """AdaMixer's decoder; with residuals, LORS-AdaMixer's.

    State dict: ``stack.stages.i.*`` of what is a stage's own, and, where stages share, ``stack.bases.b.*`` once for
    each base, whatever the number of its users, and ``stack.residuals.i.*``; names below are those of a stage, see
    :class:`lors_det.lors.SharedStack`.

    Starts as its stages do. A bias beside a corrected weight starts at zero, as in the published LORS-AdaMixer, but
    for that of the sampling points.

    Args:
        num_classes: N.
        spec: what it is made of.

    Raises:
        ValueError: if ``num_classes`` is no positive integer.
    """

    def __init__(self, num_classes: int, spec: DecoderSpec) -> None:
        super().__init__()
        if not isinstance(num_classes, int) or num_classes < 1:
            raise ValueError(f"num_classes={num_classes!r}; it must be a positive integer")
        self.spec = spec
        stages = [
            Stage(
                spec.dim,
                num_classes,
                num_heads=spec.num_heads,
                ffn_dim=spec.ffn_dim,
                num_groups=spec.num_groups,
                num_points=spec.num_points,
                num_out_points=spec.num_out_points,
                out_init=spec.out_init,
            )
            for _ in range(spec.num_stages)
        ]
        if spec.equal_start:
            for stage in stages[1:]:
                stage.mixing.load_state_dict(stages[0].mixing.state_dict())
        corrected = ["mixing.out"] * bool(spec.static_rank) + [*LAYERS[:-1]] * bool(spec.layer_rank)
        for stage in stages:
            for name in corrected:
                nn.init.zeros_(stage.get_parameter(f"{name}.bias"))
        self.stack = SharedStack(stages, share=spec.share, residuals=residuals(spec), mean_gradient=spec.mean_gradient)

    def forward(
        self,
        levels: Sequence[Tensor],
        state: QueryState,
        *,
        beside: QuerySets | None = None,
        last_only: bool = False,
    ) -> list[StageOutput]:
        """Run all stages.

        A stage's position is detached before it enters the next one; its content is not, unless ``gradient_stages``
        says so. In training, ``query_noise`` disturbs the content between stages, and ``recollect_from`` adds sets
        of queries; not where the last output alone is asked for, which is for detection.

        Args:
            levels: feature maps (B, D, H_l, W_l).
            state: the queries that enter the first stage.
            beside: more queries, which neither see these nor are seen by them, and are not recollected. All go through
                each layer together: a stage for both has hardly more operations than for one.
            last_only: give the last stage's output alone; the stages before it then classify nothing.

        Returns:
            The output of each stage, S of them, or of the last; in its ``beside``, that of the queries beside.

        Raises:
            ValueError: if the features have another width than the decoder, or ``beside`` makes no sets of equal size.
        """
        channels = levels[0].shape[1]
        if channels != self.spec.dim:
            raise ValueError(
                f"features of {channels} channels came to a decoder of dim={self.spec.dim}; make them equal"
            )
        bank = FeatureBank.from_levels(levels, self.spec.strides)
        learns = self.training and not last_only
        own = before = QuerySets(state, 1)
        outputs: list[StageOutput] = []
        for number, stage in enumerate(self.stack):
            is_last = number == len(self.stack) - 1
            output = self._through(stage, own, beside, bank, is_first=not number, classify=is_last or not last_only)
            outputs.append(output)
            if is_last:
                break
            after = own._replace(state=output.state)
            if beside is not None and output.beside is not None:
                beside = beside._replace(state=output.beside.state)
            if len(self.stack) - 1 - number == self.spec.gradient_stages:
                after, before, beside = _detached(after), _detached(before), beside and _detached(beside)
            own = after
            first = self.spec.recollect_from if learns else None
            if first is not None and number + 1 >= first:
                own = QuerySets(_joined(after.state, before.state), after.num_sets + before.num_sets)
            before = after
            if learns and self.spec.query_noise:
                own, beside = self._disturbed(own), beside and self._disturbed(beside)
        return outputs[-1:] if last_only else outputs

    def _through(
        self,
        stage: Callable[..., StageOutput],
        own: QuerySets,
        beside: QuerySets | None,
        bank: FeatureBank,
        *,
        is_first: bool,
        classify: bool,
    ) -> StageOutput:
        """What a stage makes of the queries, and of those beside them."""
        parts = [own] if beside is None else [own, beside]
        state = own.state if beside is None else _joined(own.state, beside.state)
        sets = [size for each in parts for size in each.sizes]
        entering = state if is_first else QueryState(state.content, state.xyzr.detach())
        absent = None
        if any(each.absent is not None for each in parts):
            absent = torch.cat([_absent(each) for each in parts], dim=1)
        output = stage(entering, bank, classify=classify, sets=sets, absent=absent)
        if self.training and self.spec.look_forward_twice and output.deltas is not None:
            output = output._replace(boxes_xyxy=xyzr_to_xyxy(refine(state.xyzr, output.deltas)))
        if beside is None:
            return output._replace(num_sets=own.num_sets)
        apart = _parted(output, own.state.content.shape[1])
        return apart[0]._replace(num_sets=own.num_sets, beside=apart[1]._replace(num_sets=beside.num_sets))

    def _disturbed(self, queries: QuerySets) -> QuerySets:
        """With noise on their content."""
        content = queries.state.content
        spread = content.detach().std(dim=-1, keepdim=True)
        noisy = content + self.spec.query_noise * spread * torch.randn_like(content)
        return queries._replace(state=queries.state._replace(content=noisy))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        """As ever; weights that version 0.1.0 named come under today's names first, whoever loads them."""
        own = [name for name in state_dict if name.startswith(prefix)]
        if is_first_version(name.removeprefix(prefix) for name in own):
            for name in own:
                today = prefix + current_name(name.removeprefix(prefix), self.spec)
                state_dict[today] = state_dict.pop(name)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def folded(self, dtype: torch.dtype | None = None) -> AbstractContextManager[None]:
        """For inference: inside, each stage's weights are kept as one, see :meth:`SharedStack.folded`."""
        return self.stack.folded(dtype)

    def folded_state(self) -> dict[str, Tensor]:
        """State dict of the plain decoder that computes the same, of ``spec.folded()``."""
        return dict(self.stack.fold().state_dict(prefix="stack.stages."))

    def ledger(self) -> list[LedgerEntry]:
        """Who uses which parameter; names are those of this module's state dict."""
        return ledger(self.stack, prefix="stack.")


def _detached(queries: QuerySets) -> QuerySets:
    """Through which no gradient flows, by content or by position."""
    return queries._replace(state=QueryState(*(part.detach() for part in queries.state)))


def _absent(queries: QuerySets) -> Tensor:
    """(B, Q), where there are none too."""
    given = queries.absent
    return torch.zeros_like(queries.state.xyzr[..., 0], dtype=torch.bool) if given is None else given


def _joined(*states: QueryState) -> QueryState:
    """One after the other along Q."""
    return QueryState(*(torch.cat(parts, dim=1) for parts in zip(*states)))


def _parted(output: StageOutput, number: int) -> list[StageOutput]:
    """The output of the first ``number`` queries, and that of the others."""
    sizes = [number, output.boxes_xyxy.shape[1] - number]
    deltas = [None, None] if output.deltas is None else output.deltas.split(sizes, dim=1)
    parts = (output.logits, output.boxes_xyxy, *output.state)
    return [
        StageOutput(logits, boxes, QueryState(content, xyzr), moved)
        for logits, boxes, content, xyzr, moved in zip(*(part.split(sizes, dim=1) for part in parts), deltas)
    ]
