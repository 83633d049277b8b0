"""Passwords and keys have no place in a config."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from mmengine.config import Config

from lors_det.errors import InputError

_SECRET = re.compile(r"api_?key|password|passwd|secret|access_?token|auth_?token", re.IGNORECASE)


def refuse_secrets(cfg: Config) -> None:
    """Refuse a tracker's password or key in a config, which logs, checkpoints and trackers keep.

    Raises:
        InputError: it names the config key, not its value.
    """
    places: dict[str, Any] = {"vis_backends": cfg.get("vis_backends"), "visualizer": cfg.get("visualizer")}
    for name, value in flat_values(places, ""):
        key = name.rpartition(".")[2]
        has_password = isinstance(value, str) and "://" in value and urlsplit(value).password is not None
        if has_password or (_SECRET.search(key) and value is not None):
            raise InputError(
                f"config key {name} holds a secret, which logs and checkpoints would keep; take it out, and give it "
                "by the environment: WANDB_API_KEY, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )


def flat_values(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(path with dots, value) of what is neither a dictionary nor a list that holds any."""
    inner: list[tuple[Any, Any]]
    if isinstance(value, Mapping):
        inner = list(value.items())
    elif isinstance(value, (list, tuple)) and any(isinstance(item, (Mapping, list, tuple)) for item in value):
        inner = list(enumerate(value))
    else:
        yield path, value
        return
    for key, item in inner:
        yield from flat_values(item, f"{path}.{key}" if path else str(key))
