"""What a stored config may name, so that building it runs nothing but this package and its framework.

mmengine builds whatever importable object a ``type`` names, imports ``<scope>.registry`` of any scope, and evaluates
the type of an NMS as an expression. A checkpoint from a stranger may therefore name registered types alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lors_det.errors import InputError
from lors_det.plugin.config.kinds import registered

SCOPES = ("lors_det", "mmdet", "mmcv", "mmengine")
_OPERATIONS = ("nms", "soft_nms")
"""Types that name a function of mmcv and stand in no registry."""


def check_stored_types(value: Any, where: str) -> None:
    """Refuse a type that no registry knows, and a scope of another package, anywhere in a part of a config.

    Args:
        value: the part, of any depth.
        where: its place, for the message.

    Raises:
        InputError: it names the place, the type and the remedy.
    """
    if isinstance(value, Mapping):
        if "type" in value:
            _check(value["type"], f"{where}.type")
        if "_scope_" in value:
            check_scope(value["_scope_"], f"{where}._scope_")
        for key, item in value.items():
            check_stored_types(item, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            check_stored_types(item, f"{where}.{number}")


def check_scope(scope: Any, where: str) -> None:
    """Refuse a scope of another package, which mmengine would import.

    Raises:
        InputError: it names the place, the scope and the remedy.
    """
    if scope not in SCOPES:
        raise _refusal(scope, where)


def _check(kind: Any, where: str) -> None:
    if kind is None or kind in _OPERATIONS:
        return
    scope, _, name = kind.rpartition(".") if isinstance(kind, str) else ("", "", "")
    if not name or not registered(name) or scope not in ("", *SCOPES):
        raise _refusal(kind, where)


def _refusal(kind: Any, where: str) -> InputError:
    return InputError(
        f"{where} is {kind!r}, which lors_det and mmdet do not register, and is not imported; if you trust the "
        "checkpoint, pass trust=True, which imports what its custom_imports names"
    )
