"""Loading images so that a failure names the file."""

from __future__ import annotations

from typing import Any

from mmcv.transforms import LoadImageFromFile
from mmdet.registry import TRANSFORMS

from lors_det.errors import InputError


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's LoadImageFromFile; a missing or undecodable image is an :class:`InputError` that names it."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        path = results["img_path"]
        try:
            return super().transform(results)
        except FileNotFoundError as error:
            raise InputError(
                f"image {path} does not exist; the annotation file lists it, so check data_root and data_prefix.img"
            ) from error
        except Exception as error:
            raise InputError(
                f"image {path} cannot be decoded: {error}; replace the file or drop it from the set"
            ) from error
