"""Pretrained weights from the network: read as plain data, and a failed download names what to do instead.

They are kept where torch.hub keeps them, under the last part of their address, as mmengine does.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from hashlib import sha256
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.dist import all_gather_object, get_rank
from mmengine.logging import print_log
from mmengine.runner.checkpoint import (
    CheckpointLoader,
    _get_mmengine_home,
    get_deprecated_model_names,
    get_external_models,
    get_torchvision_models,
)

from lors_det.errors import InputError
from lors_det.plugin.saving.safe_loading import is_trusted, load_from_local, trust

SILENCE_S = 15
"""Seconds that a server may be silent; a firewall that drops packets would otherwise hold a run for many minutes."""


def register() -> None:
    """Let mmengine load these addresses and names through this module."""
    schemes = ("http://", "https://", "torchvision://", "modelzoo://", "open-mmlab://", "openmmlab://")
    CheckpointLoader.register_scheme(prefixes=schemes, loader=load_from_network, force=True)


def load_from_network(filename: str, map_location: Any = None) -> Any:
    """The checkpoint at an address, or of a name such as ``torchvision://resnet50``; downloaded once.

    Raises:
        InputError: if the name is unknown, or the file cannot be downloaded or is not plain data.
    """
    url = find_url(filename)
    if "://" not in url:  # a user's own table of names, in mmengine's folder, may also name files there
        return load_from_local(str(Path(_get_mmengine_home(), url)), map_location)
    name = Path(urlparse(url).path).name
    if is_trusted(filename):  # of this address, and not what another one left under the same name
        name = f"{sha256(url.encode()).hexdigest()[:16]}-{name}"
    path = Path(torch.hub.get_dir(), "checkpoints", name)
    for my_turn in (get_rank() == 0, get_rank() != 0):  # the others then find the file of the first
        failures = all_gather_object(_fetch(url, path) if my_turn else None)  # so that none waits for one that failed
        reason = next(filter(None, failures), None)
        if reason is not None:
            raise InputError(_explain(filename, url, path, reason))
    if is_trusted(filename):
        trust(path)
    try:
        return load_from_local(str(path), map_location)
    except InputError as error:
        raise InputError(f"{error}. It comes from {url}; delete it to download it again") from error


def find_url(filename: str) -> str:
    """The address that a name of torchvision or OpenMMLab stands for; an address stands for itself.

    Raises:
        InputError: if mmengine's tables do not have the name.
    """
    scheme, _, name = filename.partition("://")
    if scheme in ("http", "https"):
        return filename
    if scheme in ("torchvision", "modelzoo"):
        urls = get_torchvision_models()
    else:
        urls = get_external_models()
        name = get_deprecated_model_names().get(name, name)
    if name not in urls:
        similar = ", ".join(get_close_matches(name, urls)) or "none"
        raise InputError(f"pretrained weights {filename}: mmengine knows no such name; similar ones: {similar}")
    return urls[name]


def _fetch(url: str, path: Path) -> str | None:
    """Download a file that is not there yet; why that failed, if it did."""
    if path.exists():
        return None
    print_log(f"Downloading {url} to {path}", logger="current")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _silence_limit():
            torch.hub.download_url_to_file(url, str(path), progress=sys.stderr.isatty())
    except (OSError, HTTPException) as error:  # URLError, HTTPError and timeouts are OSErrors
        return f"{type(error).__name__}: {error}"
    return None


@contextmanager
def _silence_limit() -> Iterator[None]:
    """torch.hub sets no limit of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _explain(filename: str, url: str, path: Path, reason: str) -> str:
    named = "" if filename == url else f" ({filename})"
    key = "model.backbone.init_cfg"
    return (
        f"pretrained weights {url}{named} cannot be downloaded: {reason}. Without a network, download {path.name} "
        f"elsewhere and put it into {path.parent}, or pass --cfg-options {key}.checkpoint=/path/to/{path.name} "
        f"(load_from=/path/to/{path.name} if the config loads it from there). Only for a trial, {key}=None starts "
        "from random weights"
    )
