"""Parameters by dotted name: of any module, and in a tree of their own."""

from __future__ import annotations

from difflib import get_close_matches

from torch import nn


class ParameterTree(nn.Module):
    """Parameters and modules under dotted names, as they stand in a stage: their names in a state dict are the same."""

    def put(self, name: str, value: nn.Parameter | nn.Module) -> None:
        """Store a parameter or module under a dotted name."""
        *path, last = name.split(".")
        place: nn.Module = self
        for part in path:
            if part not in place._modules:
                place.add_module(part, ParameterTree())
            place = place.get_submodule(part)
        if isinstance(value, nn.Parameter):
            place.register_parameter(last, value)
        else:
            place.add_module(last, value)

    def find(self, name: str) -> nn.Module | None:
        """The module under a dotted name; None where there is none."""
        place: nn.Module | None = self
        for part in name.split("."):
            place = None if place is None else place._modules.get(part)
        return place


def names_of(module: nn.Module, name: str) -> tuple[str, ...]:
    """The parameters that a name stands for: itself, or all of the module of that name, less those of its children.

    Raises:
        ValueError: if the module has neither; it names those that are near. If a parameter has another name too.
    """
    parameters = dict(module.named_parameters(remove_duplicate=False))
    modules = {each: part for each, part in module.named_modules() if each}
    names = [name] if name in parameters else []
    if name in modules:
        names = [f"{name}.{each}" for each, value in modules[name]._parameters.items() if value is not None]
    for each in names:
        for other, value in parameters.items():
            if other != each and value is parameters[each]:
                raise ValueError(f"{each} is {other} too; a parameter of two names cannot be shared")
    if names:
        return tuple(names)
    near = get_close_matches(name, [*parameters, *modules], n=3)
    hint = f"; near it are {', '.join(near)}" if near else ""
    raise ValueError(f"{type(module).__name__} has no parameter {name!r}{hint}")


def parameter_of(module: nn.Module, name: str) -> nn.Parameter:
    """A parameter by its dotted name.

    Raises:
        ValueError: if there is none.
    """
    try:
        return module.get_parameter(name)
    except AttributeError as error:
        raise ValueError(f"{type(module).__name__} has no parameter {name!r}") from error


def remove(module: nn.Module, name: str) -> None:
    """Leave None in a parameter's place: its module knows of it, and no state dict does."""
    path, _, last = name.rpartition(".")
    module.get_submodule(path).register_parameter(last, None)
