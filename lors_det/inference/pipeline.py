"""The transforms of an evaluation, for images without annotations."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmdet.registry import TRANSFORMS
from mmengine.config import Config
from mmengine.dataset import Compose
from numpy.typing import NDArray

from lors_det.data.decoding import why_not_decoded
from lors_det.errors import InputError
from lors_det.plugin.config.size_rules import SIDE_STEP_PX


def build_test_pipeline(cfg: Config) -> tuple[Callable[..., Any], Compose]:
    """The transform that reads a file, and those that follow it, less those that read annotations.

    Raises:
        InputError: if the pipeline of ``test_dataloader.dataset`` does not begin with a loader of files, or this gives
            other than colour images, turned as they say.
    """
    steps = cfg.test_dataloader.dataset.get("pipeline") or ()
    pipeline = [step for step in steps if not step.type.startswith("LoadAnnotations")]
    if not pipeline or pipeline[0].type.rpartition(".")[2] != "LoadImageFromFile":
        first = pipeline[0].type if pipeline else "nothing"
        raise InputError(
            f"config key test_dataloader.dataset.pipeline begins with {first}; it must begin with LoadImageFromFile"
        )
    if (colour := pipeline[0].get("color_type", "color")) != "color":
        raise InputError(
            f"config key test_dataloader.dataset.pipeline.0.color_type is {colour!r}; detectors look at images in "
            "'color', which grey ones become: train with that"
        )
    return TRANSFORMS.build(pipeline[0]), Compose(pipeline[1:])


def set_side(cfg: Config, side: int, *, tta: bool = False) -> None:
    """Have the test pipeline scale images to another long side; the other number of a scale changes in proportion.

    Args:
        cfg: changed in place; ``scale=(1333, 800)`` becomes ``(640, 384)`` at a side of 640.
        side: pixels.
        tta: whether :func:`lors_det.plugin.config.data.augment_test_time` comes after.

    Raises:
        InputError: if it is no number of at least ``SIDE_STEP_PX``, the pipeline has more sizes than that of one
            Resize, or the config has a pipeline of its own for test-time augmentation.
    """
    if isinstance(side, bool) or not isinstance(side, Integral) or side < SIDE_STEP_PX:
        raise InputError(f"the image side is {side!r}; it must be a whole number of at least {SIDE_STEP_PX} pixels")
    if tta and cfg.get("tta_pipeline"):
        raise InputError("the config's tta_pipeline has sizes of its own; leave out tta or the image side")
    sizes = [
        (step, key)
        for step in cfg.test_dataloader.dataset.pipeline
        for key in ("scale", "size", "crop_size", "scale_factor", "transforms")
        if step.get(key) is not None
    ]
    steps = [step for step, key in sizes if key == "scale" and isinstance(step.scale, (list, tuple))]
    if not len(sizes) == len(steps) == 1:
        raise InputError(
            f"config key test_dataloader.dataset.pipeline has {len(sizes)} sizes, and an image side takes the place of "
            "one, the scale of a Resize; write the sizes into the config"
        )
    steps[0].scale = tuple(max(1, round(each * side / max(steps[0].scale))) for each in steps[0].scale)


def decoded(loader: Callable[..., Any], path: Path) -> NDArray[np.uint8]:
    """A file as the transform that reads files gives it, (H, W, 3), BGR.

    Raises:
        InputError: if it is no image.
    """
    try:
        loaded = loader({"img_path": str(path)})
    except Exception as error:  # whatever a decoder raises
        raise InputError(f"image {path} cannot be decoded: {why_not_decoded(path)}") from error
    if loaded is None:
        raise InputError(f"image {path} cannot be decoded: {why_not_decoded(path)}")
    image = np.asarray(loaded["img"], np.uint8)
    if image.ndim != 3 or image.shape[2] != 3 or not np.array_equal(image, loaded["img"]):
        raise InputError(f"image {path} is loaded in another form than 8-bit colour, {_form(loaded['img'])}")
    return image


def _form(image: Any) -> str:
    shape = " x ".join(map(str, np.shape(image)))
    return f"{shape} of {np.asarray(image).dtype}"


def prepared(pipeline: Callable[..., Any], loaded: dict[str, Any]) -> Any:
    """The model's input of one image.

    Args:
        pipeline: what :func:`build_test_pipeline` gave, or any transform.
        loaded: what the loader gives: "img" (H, W, 3) and its sizes.

    Raises:
        InputError: if the image has no pixel left in one direction once its long side is the network's.
    """
    height, width = loaded["img"].shape[:2]
    try:
        return pipeline(loaded)
    except cv2.error as error:
        raise InputError(f"an image of {width} x {height} pixels cannot be scaled{_limit(pipeline)}") from error


def _limit(pipeline: Callable[..., Any]) -> str:
    """What scaling allows, in words: half a pixel is rounded down to none."""
    scales = [
        step.scale
        for step in getattr(pipeline, "transforms", ())
        if getattr(step, "keep_ratio", False) and isinstance(getattr(step, "scale", None), tuple)
    ]
    if not scales:
        return " as the config's test pipeline wants it; crop it"
    side = max(scales[0])
    return f" to {side}: its long side may be {2 * side} times the short one at most; crop it"
