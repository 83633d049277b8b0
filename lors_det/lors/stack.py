"""A stack of stages that share weights: it owns the weights, and puts them into a stage when the stage is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, overload

import torch
from torch import Tensor, nn

from lors_det.lors import plain
from lors_det.lors.lock import OwnLock
from lors_det.lors.naming import (
    ParameterTree,
    check_own,
    find,
    names_of,
    parameter_of,
    put,
    remove,
    value_of,
)
from lors_det.lors.recompute import check_keeps_activations
from lors_det.lors.residual import MakeResidual, Residual, corrected_by, made_residual
from lors_det.lors.scaled_gradient import scaled_gradient
from lors_det.lors.shapes import in_words
from lors_det.lors.share import checked_share
from lors_det.lors.stage import SharedStage

Weights = list[dict[str, Tensor]]
"""Of each stage, its shared parameters by name."""


class SharedStack(nn.Module):
    """Stages of one kind whose weights are shared by bases and corrected by private residuals (LORS, section 3).

    Stage i computes with W_i = residual_i(W_base(i)) for every shared parameter, and with its own for all others. A
    stage knows nothing of it: it is a module like any other, called with its weights put in.

    The stack takes the place of an ``nn.ModuleList``: ``len``, iteration and ``stack[i]`` give the stages as callables,
    ``stack[i](x)``. It takes that of an ``nn.Sequential`` too: ``stack(x)`` calls one stage after the other. Torch's
    ``nn.TransformerEncoder`` looks into its first layer's weights, unless ``enable_nested_tensor=False`` made it.

    State dict, every parameter once: ``bases.b.<name>``, ``stages.i.<name>`` of what is private, and
    ``residuals.i.<name>.*``.

    Threads may call it at once; one stage after the other computes, for its weights are put into it, where a copy or a
    state dict that is taken meanwhile would find them.

    With ``stack.recompute`` a stage's activations are not kept for the backward pass, which computes them again. A
    stage that does so by itself would be without its weights then, and is refused where it says so. A module that is
    called without what it shares raises, whoever calls it: a part of a stage, or a stage but by the stack.

    Starts equal to its bases, if its residuals start at zero; a base starts as the first of its stages, and is frozen
    where that one is, whatever the others are.

    Args:
        stages: S modules of one kind, whole; the stack takes them over.
        share: base of each stage, S of them; every base from 0 on has a user. None: the stage has residuals alone.
        residuals: what is shared, and how it is corrected: the name of a parameter, or of a module for all of its own
            parameters, and what makes a stage's residual of them. None: shared as it is, without one.
        mean_gradient: whether a base gets the mean of its users' gradients, and not their sum. AdamW's step is the same
            for both; what follows the size of gradients, such as clipping by their norm, is not.

    Raises:
        ValueError: if a name is no parameter or module of the stages, or is given twice; if stages that share it have
            it in different shapes or types; if two bases would be one parameter; if a residual has another shape than
            what it corrects; if ``share`` is not as above, or a stage without a base lacks a residual; if a module is
            given as two stages, or recomputes its activations. The stages are then as they were.
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        *,
        share: Sequence[int | None],
        residuals: Mapping[str, MakeResidual | None],
        mean_gradient: bool = False,
    ) -> None:
        super().__init__()
        self.mean_gradient = mean_gradient
        self.recompute = False
        self.share = checked_share(share, len(stages))
        for number, stage in enumerate(stages):
            first = next(other for other, each in enumerate(stages) if each is stage)
            if first != number:
                raise ValueError(f"stage {number} is stage {first}; each stage needs a module of its own")
            check_keeps_activations(stage, number)
        self.names = {name: names_of(stages[0], name) for name in residuals}
        shared = [name for names in self.names.values() for name in names]
        twice = sorted({name for name in shared if shared.count(name) > 1})
        if twice:
            raise ValueError(f"residuals name {', '.join(twice)} more than once; name each parameter once")
        for number, stage in enumerate(stages[1:], start=1):
            check_own(stage, shared)
            for name in shared:
                try:
                    parameter_of(stage, name)
                except ValueError as error:
                    raise ValueError(f"stage {number}: {error}") from error
        corrected = [name for name, make in residuals.items() if make is not None]
        for name in corrected:
            for part in corrected:
                if part.startswith(f"{name}."):
                    raise ValueError(f"residuals of {name} and of its part {part}: a state dict has no place for both")
        self.residuals = nn.ModuleList(
            self._residuals_of(number, stage, residuals) for number, stage in enumerate(stages)
        )
        self.bases = nn.ModuleList(
            self._base_of([stage for stage, used in zip(stages, self.share) if used == base], shared)
            for base in range(len(set(self.share) - {None}))
        )
        self._check_own_bases()
        for stage in stages:
            for name in shared:
                remove(stage, name)
        self.stages = nn.ModuleList(stages)
        self._folds: list[Weights] = []  # the open ones, the last of which is used
        self._kept: Weights | None = None
        self._lock = OwnLock()

    def _residuals_of(
        self, number: int, stage: nn.Module, residuals: Mapping[str, MakeResidual | None]
    ) -> ParameterTree:
        tree, alone = ParameterTree(), self.share[number] is None
        for name, make in residuals.items():
            if make is None and alone:
                raise ValueError(f"stage {number} has no base, and so needs a residual of {name}")
            if make is None:
                continue
            shapes = tuple(parameter_of(stage, each).shape for each in self.names[name])
            residual = made_residual(make, shapes, name, number, alone=alone, num_stages=len(self.share))
            put(tree, name, residual.to(parameter_of(stage, self.names[name][0])))  # its device and type
        return tree

    def _check_own_bases(self) -> None:
        base_of: dict[int, int] = {}
        for number, base in enumerate(self.bases):
            for name, parameter in base.named_parameters():
                if (other := base_of.setdefault(id(parameter), number)) != number:
                    raise ValueError(
                        f"bases {other} and {number} have one {name}: stages that are tied so share one base"
                    )

    @staticmethod
    def _base_of(users: Sequence[nn.Module], shared: Sequence[str]) -> ParameterTree:
        tree = ParameterTree()
        for name in shared:
            shapes = {parameter_of(stage, name).shape for stage in users}
            if len(shapes) > 1:
                raise ValueError(f"stages that share {name} have it in different shapes: {in_words(sorted(shapes))}")
            kinds = {str(parameter_of(stage, name).dtype) for stage in users}
            if len(kinds) > 1:
                raise ValueError(f"stages that share {name} have it of different types: {', '.join(sorted(kinds))}")
            put(tree, name, parameter_of(users[0], name))
        return tree

    def __len__(self) -> int:
        return len(self.stages)

    def __iter__(self) -> Iterator[SharedStage]:
        return (SharedStage(self, number) for number in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> SharedStage: ...
    @overload
    def __getitem__(self, index: slice) -> list[SharedStage]: ...
    def __getitem__(self, index: int | slice) -> SharedStage | list[SharedStage]:
        numbers = range(len(self))[index]
        if isinstance(numbers, range):
            return [SharedStage(self, number) for number in numbers]
        return SharedStage(self, numbers)

    def forward(self, x: Any) -> Any:
        """One stage after the other, each given what the one before it returns."""
        for stage in self:
            x = stage(x)
        return x

    def __getstate__(self) -> dict[str, Any]:
        """A copy or a file of a folded stack is not folded: nothing would end it."""
        return {**self.__dict__, "_folds": [], "_kept": None}

    def weights(self, number: int) -> dict[str, Tensor]:
        """The shared parameters of a stage as it computes with them: corrected, or as :meth:`folded` keeps them."""
        kept = self._kept
        if kept is not None:
            return dict(kept[number])  # a copy: functional_call writes into what it is given
        with self._in_own_precision():
            return self._corrected(number)

    def _in_own_precision(self) -> AbstractContextManager[object]:
        """Without autocast: weights are corrected, and gradients of a base's users added up, in the type they have."""
        device = next((parameter.device.type for parameter in self.parameters()), "meta")
        # nothing is computed, nor cast, on the meta device
        cast = device != "meta" and torch.is_autocast_enabled(device)
        return torch.autocast(device, enabled=False) if cast else nullcontext()

    def _corrected(self, number: int) -> dict[str, Tensor]:
        if len(self.stages) != len(self.share):
            raise RuntimeError(
                f"stack.stages has {len(self.stages)} stages, and bases and residuals are for {len(self.share)}; make "
                "a stack of as many: its fit() takes plain stages, such as those that fold() gave of this one"
            )
        base = self.share[number]
        weights: dict[str, Tensor] = {}
        for name, names in self.names.items():
            full: list[Any] = [None if base is None else self._of_base(base, each) for each in names]
            if self.mean_gradient and base is not None and torch.is_grad_enabled():
                full = [scaled_gradient(parameter, 1 / self.share.count(base)) for parameter in full]
            residual = find(self.residuals[number], name)
            if isinstance(residual, Residual):  # else the name may hold others' residuals: those of its parts
                full = [*corrected_by(residual, full, names, f"the residual of {name} in stage {number}")]
            weights.update(zip(names, full))
        return weights

    def _of_base(self, base: int, name: str) -> Tensor:
        value: Tensor | None = value_of(self.bases[base], name)
        if value is None:
            raise RuntimeError(
                f"this stack's {name} is shared by a stack around it, which puts it in while it calls a stage; call or "
                "fold the outer one"
            )
        return value

    @contextmanager
    def folded(self, dtype: torch.dtype | None = None) -> Iterator[None]:
        """Inside, stages compute with weights that were corrected once, on entering.

        A base or residual that changes inside has no effect on what it corrects until the end, and no gradient
        reaches either, so calls in training mode with gradients are refused; in evaluation mode, what is private and
        the input get theirs. What has no residual is the base's own parameter: changed in place, it has effect at
        once, but not where another takes its place (``load_state_dict(assign=True)``, ``torch.func.functional_call``).

        Of folds that overlap, of threads or of objects that live for a while, the last to begin of those that have not
        ended is used.

        Args:
            dtype: the corrected weights' type, such as that of autocast, which would otherwise cast them in every
                call; their own by default.
        """
        # a parameter is a base's own, uncorrected
        own = [
            {name: w if isinstance(w, nn.Parameter) else w.to(dtype or w.dtype) for name, w in each.items()}
            for each in self.corrected()
        ]
        with self._lock:
            self._folds.append(own)
            self._kept = own
        try:
            yield
        finally:
            with self._lock:
                self._folds = [each for each in self._folds if each is not own]
                self._kept = self._folds[-1] if self._folds else None

    def fold(self) -> nn.ModuleList:
        """Plain stages that compute the same, each with all of its weights: see :func:`lors_det.lors.plain.fold`."""
        return plain.fold(self)

    def fit(self, stages: Sequence[nn.Module]) -> None:
        """Become as near to plain stages as the ranks allow: see :func:`lors_det.lors.plain.fit`."""
        plain.fit(self, stages)

    def corrected(self) -> list[dict[str, Tensor]]:
        """Every stage's shared parameters, corrected now: without gradients, in their own precision."""
        with torch.no_grad(), self._in_own_precision():
            return [self._corrected(number) for number in range(len(self))]
