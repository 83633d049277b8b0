"""Configs that come with a checkpoint, read as data: nothing of them is run."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from lors_det.errors import InputError


def config_of(checkpoint: Mapping[str, Any], where: str) -> Config | None:
    """The config that a checkpoint carries, of this version, of 0.1.0 or of mmengine; None if it carries none.

    Args:
        checkpoint: as it was read.
        where: the config's place, for the message.

    Raises:
        InputError: if it is text that is more than data.
    """
    meta = checkpoint.get("meta") or {}
    if isinstance(meta.get("config_data"), dict):
        return Config(meta["config_data"])
    return None if meta.get("cfg") is None else parse_config(meta["cfg"], where)


def parse_config(text: str, where: str) -> Config:
    """The config in a text of assignments of literals and ``dict(...)``, as mmengine writes them into checkpoints.

    Args:
        text: the config.
        where: its place, for the message.

    Raises:
        InputError: if the text is anything else.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, TypeError, ValueError) as error:
        raise InputError(f"{where} is no config: {error}") from error
    values = {}
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                try:
                    values[name] = _value(value, where)
                except TypeError as error:  # dict(5), or a key that is a list
                    raise InputError(f"{where}, line {statement.lineno}, is no config: {error}") from error
            case _:
                raise InputError(
                    f"{where}, line {statement.lineno}, is more than data, and is not run; name a config file"
                )
    return Config(values)


def _value(node: ast.expr, where: str) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        merged = {}
        for argument in node.args:
            merged.update(_value(argument, where))
        for keyword in node.keywords:
            if keyword.arg is None:
                merged.update(_value(keyword.value, where))
            else:
                merged[keyword.arg] = _value(keyword.value, where)
        return merged
    if isinstance(node, ast.Dict):
        keys = [key for key in node.keys if key is not None]
        if len(keys) == len(node.keys):  # else it unpacks another
            return {_value(key, where): _value(value, where) for key, value in zip(keys, node.values)}
    if isinstance(node, ast.List):
        return [_value(item, where) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(item, where) for item in node.elts)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{where}, line {node.lineno}, is more than data, and is not run; name a config file"
        ) from error
