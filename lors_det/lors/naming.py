"""Parameters by dotted name: of any module, and in a tree of their own."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from lors_det.lors.needs_stack import need


class ParameterTree(nn.Module):
    """Parameters and modules under dotted names, as they stand in a stage: their names in a state dict are the same.

    It has no methods of its own, which names could collide with; see :func:`put` and :func:`find`.
    """

    def register_forward_pre_hook(self, hook: Any, **options: Any) -> Any:
        """Refuse what computes a weight before each call, for this is never called.

        Raises:
            RuntimeError: of pruning, and of norms that are no parametrisations.
        """
        if isinstance(hook, (BasePruningMethod, SpectralNorm, WeightNorm)):
            raise RuntimeError(
                "a base's parameters are in no module that is called, so that no hook of it would run; prune or "
                "normalise the stages before a stack takes them, or use torch.nn.utils.parametrize"
            )
        return super().register_forward_pre_hook(hook, **options)


def put(tree: nn.Module, name: str, value: nn.Parameter | nn.Module) -> None:
    """Store a parameter or module under a dotted name, in trees of its own where the path has no module."""
    *path, last = name.split(".")
    for part in path:
        if part not in tree._modules:
            tree.add_module(part, ParameterTree())
        tree = tree.get_submodule(part)
    if isinstance(value, nn.Parameter):
        tree.register_parameter(last, value)
    else:
        tree.add_module(last, value)


def find(tree: nn.Module, name: str) -> nn.Module | None:
    """The module under a dotted name; None where there is none."""
    place: nn.Module | None = tree
    for part in name.split("."):
        place = None if place is None else place._modules.get(part)
    return place


def names_of(module: nn.Module, name: str) -> tuple[str, ...]:
    """The parameters that a name stands for: itself, or all of the module of that name, less those of its children.

    Raises:
        ValueError: if the module has neither; it names those that are near. As :func:`check_own` besides.
    """
    parameters = dict(module.named_parameters(remove_duplicate=False))
    modules = {each: part for each, part in module.named_modules() if each}
    names = [name] if name in parameters else []
    if name in modules:
        names = [f"{name}.{each}" for each, value in modules[name]._parameters.items() if value is not None]
        if is_parametrized(modules[name]):
            made = [each for each in parameters if each.startswith(f"{name}.parametrizations.")]
            raise ValueError(f"{name} is parametrised; name what is to be shared of it: {', '.join(names + made)}")
    if names:
        check_own(module, names)
        return tuple(names)
    if below := [each for each in parameters if each.startswith(f"{name}.")]:
        parts = dict.fromkeys(each.rpartition(".")[0] for each in below)
        raise ValueError(f"{name} has no parameters but those of its parts; name them: {', '.join(parts)}")
    near = get_close_matches(name, [*parameters, *modules], n=3)
    hint = f"; near it are {', '.join(near)}" if near else ""
    raise ValueError(f"{type(module).__name__} has no parameter {name!r}{hint}")


def check_own(module: nn.Module, names: Sequence[str]) -> None:
    """Parameters, of those names as far as the module has them, can be taken out and put in.

    Raises:
        ValueError: if one has another name too, or is a recurrent layer's, which keeps references to its weights beside
            them.
    """
    parameters = dict(module.named_parameters(remove_duplicate=False))
    for name in names:
        for other, value in parameters.items():
            if other != name and value is parameters.get(name):
                raise ValueError(f"{name} is {other} too; a parameter of two names cannot be shared")
        path = name.rpartition(".")[0]
        owner = dict(module.named_modules()).get(path)
        if isinstance(owner, nn.RNNBase):
            raise ValueError(
                f"{name} is of nn.{type(owner).__name__}, which keeps references to its weights and would compute with "
                "old ones; share other layers"
            )


def parameter_of(module: nn.Module, name: str) -> nn.Parameter:
    """A parameter by its dotted name.

    Raises:
        ValueError: if there is none.
    """
    try:
        return module.get_parameter(name)
    except AttributeError as error:
        raise ValueError(f"{type(module).__name__} has no parameter {name!r}") from error


def value_of(module: nn.Module, name: str) -> Tensor:
    """What stands at a parameter's dotted name: itself, or what torch.func or a parametrisation put there."""
    path, _, last = name.rpartition(".")
    value: Tensor = getattr(module.get_submodule(path), last)
    return value


def remove(module: nn.Module, name: str) -> None:
    """Leave None in a parameter's place: no state dict has it, and all modules around it refuse calls without it.

    Its own may never be called: ``nn.MultiheadAttention`` reads the parameters of its output layer.
    """
    *path, last = name.split(".")
    module.get_submodule(".".join(path)).register_parameter(last, None)
    for depth in range(len(path) + 1):
        need(module.get_submodule(".".join(path[:depth])), ".".join([*path[depth:], last]))
