"""The transforms of an evaluation, for images without annotations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmdet.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose

from lors_det.errors import InputError


def build_test_pipeline(cfg: Config) -> tuple[Callable[..., Any], Compose]:
    """The transform that reads a file, and those that follow it, less those that read annotations.

    Raises:
        InputError: if the pipeline of ``test_dataloader.dataset`` does not begin with a loader of files.
    """
    steps = cfg.test_dataloader.dataset.get("pipeline") or ()
    pipeline = [step for step in steps if not step.type.startswith("LoadAnnotations")]
    if not pipeline or pipeline[0].type.rpartition(".")[2] != "LoadImageFromFile":
        first = pipeline[0].type if pipeline else "nothing"
        raise InputError(
            f"config key test_dataloader.dataset.pipeline begins with {first}; it must begin with LoadImageFromFile"
        )
    return TRANSFORMS.build(pipeline[0]), Compose(pipeline[1:])
