"""Write a model as an ONNX file, after onnxruntime was seen to find with it what torch does."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

import lors_det
from lors_det.errors import InputError
from lors_det.files import check_place, write_whole
from lors_det.inference.onnx.facts import KEY, Facts
from lors_det.inference.onnx.graph import DetectionGraph
from lors_det.inference.onnx.parity import TOLERANCE, Parity, compare
from lors_det.inference.onnx.windows import windows_of_any_batch
from lors_det.inference.stored_model import StoredModel

INPUTS, OUTPUTS = ("images", "sizes"), ("boxes", "scores", "labels")
"""Names of the graph's arguments and results, see :class:`DetectionGraph`."""

OPSET = 20
"""Version of ONNX's operators, of December 2023."""

_PIPELINE = "test_dataloader.dataset.pipeline"
_STEPS: dict[str, dict[str, Any]] = {
    "LoadImageFromFile": {"color_type": "color", "to_float32": False, "imdecode_backend": "cv2"},
    "Resize": {"keep_ratio": True, "interpolation": "bilinear", "backend": "cv2"},
    "PackDetInputs": {},
}
"""What an exported file does with an image, and the values that decide it."""


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        path: of the file.
        num_bytes: of the file.
        input_size: width and height of its input.
        facts: what it says of itself.
        parity: how far onnxruntime's detections are from torch's.
    """

    path: Path
    num_bytes: int
    input_size: tuple[int, int]
    facts: Facts
    parity: Parity


def export(stored: StoredModel, path: Path, *, fit: tuple[int, int] | None = None) -> Exported:
    """Write a model's graph for any number of images of one size.

    Shared weights are in the file once, with each stage's residuals beside them: it is as small as the model, and a
    runtime adds them up when it opens the file, since all of it is constant.

    Args:
        stored: the model, on the CPU, and its config.
        path: of the file, which ends in .onnx.
        fit: width and height that images are scaled to fit into; that of the config's test pipeline by default. The
            input is as large, rounded up to what the config pads to.

    Raises:
        InputError: if packages are missing, the model has another head or an operation that ONNX lacks, its images
            are prepared otherwise than :class:`~lors_det.inference.onnx.runtime.OnnxModel` does, or onnxruntime finds
            something else than torch; nothing is written then.
    """
    check_place(path, ".onnx")
    for package in ("onnx", "onnxscript", "onnxruntime"):
        _needed(package)
    model: Any = stored.model
    graph = DetectionGraph(model).eval()
    of_pipeline = _fit_of_pipeline(stored.cfg)
    if (fit := fit or of_pipeline) is None:
        raise InputError(f"config key {_PIPELINE} leaves its scale open; name it: --size WIDTH HEIGHT")
    divisor = model.data_preprocessor.pad_size_divisor
    width, height = (math.ceil(side / divisor) * divisor for side in fit)
    facts = Facts(stored.classes, fit, lors_det.__version__)
    with torch.no_grad():
        content = _content(graph, facts, width, height)
        with model.bbox_head.decoder.folded():
            parity = compare(graph, content, INPUTS, OUTPUTS, (width, height))
    if not parity.num_compared and parity.scores <= TOLERANCE:
        raise InputError(
            f"{path}: the model gives all detections one score, so that onnxruntime's cannot be told apart and "
            "compared with torch's; nothing is written. Is it trained?"
        )
    if not parity.holds:
        raise InputError(
            f"{path}: onnxruntime finds something else than torch, {parity}; nothing is written. Export with other "
            "versions of onnxscript or onnxruntime"
        )
    write_whole(path, lambda file: file.write(content))
    return Exported(path, len(content), (width, height), facts, parity)


def _needed(package: str) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        raise InputError(f'an export needs {package}: pip install "lors_det[onnx]"') from error


def _fit_of_pipeline(cfg: Config) -> tuple[int, int] | None:
    """Width and height of the test pipeline's one resize, None where it has none yet.

    Raises:
        InputError: if the pipeline does anything that the file's own preparation would not; it names the step.
    """
    steps = [
        {**step, "type": str(step.type).rpartition(".")[2]}
        for step in cfg.test_dataloader.dataset.get("pipeline") or ()
    ]
    steps = [step for step in steps if not step["type"].startswith("LoadAnnotations")]
    if [step["type"] for step in steps] != [*_STEPS]:
        raise InputError(
            f"config key {_PIPELINE} is {', '.join(step['type'] for step in steps) or 'empty'}; an exported file "
            f"prepares images by {', '.join(_STEPS)} alone, and would find something else"
        )
    for step in steps:
        for name, usual in _STEPS[step["type"]].items():
            # what is not said is as usual, but for the one value whose default is another
            found = step.get(name, False if name == "keep_ratio" else usual)
            if found != usual:
                raise InputError(
                    f"config key {_PIPELINE}: {step['type']} has {name}={found!r}, and an exported file "
                    f"prepares images with {usual!r}, so that it would find something else"
                )
    scale = steps[1].get("scale")
    if scale is None:
        return None
    if not isinstance(scale, Sequence) or len(scale) != 2:
        raise InputError(f"config key {_PIPELINE}: Resize has scale={scale}; it must be width and height")
    width, height = scale
    return int(width), int(height)


def _content(graph: DetectionGraph, facts: Facts, width: int, height: int) -> bytes:
    """The file's bytes."""
    batch = torch.export.Dim("batch", min=1)
    images = torch.zeros(2, height, width, 3, dtype=torch.uint8)  # torch takes a batch of one for a constant
    sizes = torch.tensor([[width, height]] * 2)
    with _quiet(), windows_of_any_batch():
        try:
            program = torch.export.export(graph, (images, sizes), dynamic_shapes=({0: batch}, {0: batch}), strict=False)
            written: Any = torch.onnx.export(
                program, input_names=INPUTS, output_names=OUTPUTS, opset_version=OPSET, dynamo=True, verbose=False
            )
        except Exception as error:  # whatever a tracer raises of operations that it does not know
            first = str(error).strip().partition("\n")[0]
            raise InputError(f"the model cannot be exported: {type(error).__name__}: {first}") from error
        written.model.producer_name, written.model.producer_version = "lors_det", lors_det.__version__
        written.model.metadata_props[KEY] = facts.to_json()
        for node in written.model.graph.all_nodes():
            node.metadata_props.clear()  # paths and lines of the source on this machine
        return written.model_proto.SerializeToString()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says of its own steps."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
