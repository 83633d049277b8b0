"""Weights as a safetensors file: tensors, and beside them text with the config and the class names; no code at all."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

import lors_det
from lors_det.errors import InputError
from lors_det.files import write_whole
from lors_det.plugin.saving.not_in_weights import META as NOT_IN_WEIGHTS

SUFFIX = ".safetensors"
_PARTS = {"config": dict, "classes": tuple, "values": dict}
"""Texts of the file that hold Python literals, and what each is; JSON would make lists of tuples."""


def is_weights_file(path: str | Path) -> bool:
    """Whether a name is one of a safetensors file."""
    return Path(path).suffix.lower() == SUFFIX


def write_weights(path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Write a checkpoint's ``state_dict``, and of its ``meta`` what a model is built from, whole or not at all.

    Args:
        path: of the file, ``*.safetensors``.
        checkpoint: ``state_dict``, tensors by name of any dtype and device; ``meta.config_data``,
            ``meta.dataset_meta.classes`` and values that weights do not show, where it has them.

    Raises:
        InputError: if the config holds a value that no literal stands for.
    """
    meta = checkpoint.get("meta") or {}
    classes = (meta.get("dataset_meta") or {}).get("classes")
    parts = {"config": meta.get("config_data"), "classes": classes, "values": meta.get(NOT_IN_WEIGHTS)}
    texts = {"format": "pt", "lors_det_version": lors_det.__version__}
    for name, part in parts.items():
        if part:
            texts[name] = _literal(_PARTS[name](part), f"{name} of the checkpoint")
    # the format holds each name's own bytes: neither tensors that share them nor parts of larger ones
    weights = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in checkpoint["state_dict"].items()}
    content = save(weights, metadata=texts)
    write_whole(path, lambda file: file.write(content))


def read_weights(path: Path, device: Any = None) -> dict[str, Any]:
    """What :func:`write_weights` wrote, or the tensors of any safetensors file, as a checkpoint.

    Args:
        path: of the file.
        device: of the tensors; the CPU by default.

    Raises:
        InputError: if it is no such file, is damaged, or its texts are not what they are to be.
    """
    try:
        with safe_open(str(path), "pt", device=str(device or "cpu")) as file:
            texts: dict[str, str] = file.metadata() or {}
            weights: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"checkpoint {path} cannot be read as safetensors ({error}); it may be truncated or of another format"
        ) from error
    meta: dict[str, Any] = {}
    if "config" in texts:
        meta["config_data"] = _value(texts["config"], dict, f"checkpoint {path}: config")
    if "classes" in texts:
        meta["dataset_meta"] = {"classes": _value(texts["classes"], tuple, f"checkpoint {path}: classes")}
    if "values" in texts:
        meta[NOT_IN_WEIGHTS] = _value(texts["values"], dict, f"checkpoint {path}: values")
    return {"meta": meta, "state_dict": weights}


def _literal(value: Any, where: str) -> str:
    text = repr(value)
    if _value(text, type(value), where) != value:
        raise InputError(f"{where} holds a value that no Python literal stands for")
    return text


def _value(text: str, kind: type, where: str) -> Any:
    try:
        value = ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise InputError(f"{where} is more than plain data, and is not read: {error}") from error
    if type(value) is not kind:
        raise InputError(f"{where} is a {type(value).__name__}, and not a {kind.__name__}")
    return value
