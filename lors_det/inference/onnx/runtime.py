"""Run exported files with onnxruntime, behind :class:`lors_det.Detector`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from lors_det.errors import InputError
from lors_det.inference.device import find_device
from lors_det.inference.onnx.facts import KEY, Facts


def open_session(content: bytes | str, device: str | torch.device | None) -> Any:
    """onnxruntime's session of a file's path or content.

    Args:
        content: of the file, or its path.
        device: "cpu", "cuda" or "cuda:1"; None: the GPU, where onnxruntime was built for one.

    Raises:
        InputError: if onnxruntime is not installed, does not know the device, or the file is none of ONNX.
    """
    try:
        runtime = import_module("onnxruntime")
    except ImportError as error:
        raise InputError('an ONNX file needs onnxruntime: pip install "lors_det[onnx]"') from error
    has_gpu = "CUDAExecutionProvider" in runtime.get_available_providers()
    place = find_device(device) if device is not None else torch.device("cuda" if has_gpu else "cpu")
    if place.type not in ("cpu", "cuda"):
        raise InputError(f"device {device!r}: an ONNX file is computed on the CPU or a GPU of CUDA")
    if place.type == "cuda" and not has_gpu:
        raise InputError(f"onnxruntime has no GPU for device {device!r}: pip install onnxruntime-gpu in its place")
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors: it warns of constants that its own optimiser leaves over
    options.intra_op_num_threads = torch.get_num_threads()
    provider: Any = "CPUExecutionProvider"
    if place.type == "cuda":
        provider = ("CUDAExecutionProvider", {"device_id": place.index or 0})
    try:
        return runtime.InferenceSession(content, options, providers=[provider])
    except Exception as error:  # its own classes, of which some derive from Exception alone
        what = content if isinstance(content, str) else "the exported file"
        first = str(error).strip().partition("\n")[0]
        raise InputError(f"{what} cannot be opened by onnxruntime: {first}") from error


class OnnxModel(nn.Module):
    """An exported file in the place of the model it was made of.

    Args:
        path: of the file.
        device: see :func:`open_session`.

    Raises:
        InputError: if the file is not there or none that ``lors-det export`` wrote; it names what is missing.
    """

    def __init__(self, path: Path, device: str | torch.device | None = None) -> None:
        super().__init__()
        if not path.is_file():
            raise InputError(f"{path} is no file")
        self._opened = path, device
        self._session = open_session(str(path), device)
        written = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        if written is None:
            raise InputError(f"{path} is not one that lors-det export wrote: it does not tell its classes")
        try:
            self.facts = Facts.from_json(written)
        except ValueError as error:
            raise InputError(f"{path} says of itself, under {KEY}, what cannot be read: {error}") from error
        _, height, width, _ = self._session.get_inputs()[0].shape
        self.input_size: tuple[int, int] = (width, height)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, or one in another process, opens the file anew: sessions cannot be copied."""
        return OnnxModel, self._opened

    def prepare(self, loaded: dict[str, Any]) -> dict[str, Any]:
        """Scale an image to fit, as mmcv's Resize does.

        Args:
            loaded: "img" (H, W, 3), uint8, BGR.

        Raises:
            InputError: if no pixel is left in one direction.
        """
        image = loaded["img"]
        height, width = image.shape[:2]
        factor = min(self.facts.fit[0] / width, self.facts.fit[1] / height)
        size = tuple(int(side * factor + 0.5) for side in (width, height))
        if not all(size):
            raise InputError(
                f"an image of {width} x {height} pixels cannot be scaled to {size[0]} x {size[1]}; crop it"
            )
        canvas = np.zeros((*self.input_size[::-1], 3), np.uint8)
        canvas[: size[1], : size[0]] = mmcv.imresize(image, size)[..., ::-1]
        info = dict(img_shape=size[::-1], ori_shape=(height, width), scale_factor=(size[0] / width, size[1] / height))
        return {"inputs": canvas, "data_samples": DetDataSample(metainfo=info)}

    def test_step(self, data: dict[str, Sequence[Any]]) -> list[DetDataSample]:
        """Detections of a batch that :meth:`prepare` made, in pixels of the files, as mmdet's models give them."""
        samples = data["data_samples"]
        sizes = np.array([sample.img_shape[::-1] for sample in samples], np.int64)
        boxes, scores, labels = self._session.run(
            ["boxes", "scores", "labels"], {"images": np.stack(data["inputs"]), "sizes": sizes}
        )
        boxes = boxes / np.array([sample.scale_factor * 2 for sample in samples], np.float32)[:, None]
        for sample, *found in zip(samples, boxes, scores, labels):
            box, score, label = (torch.from_numpy(each) for each in found)
            sample.pred_instances = InstanceData(bboxes=box, scores=score, labels=label)
        return list(samples)
