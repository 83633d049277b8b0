"""A detector for images from anywhere, from a checkpoint alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from numbers import Real
from pathlib import Path
from threading import Lock
from typing import Any, overload

import numpy as np
import torch
from mmcv.transforms import LoadImageFromFile
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from numpy.typing import NDArray
from torch import nn

from lors_det.adamixer import Decoder
from lors_det.errors import InputError
from lors_det.inference.detections import Detections, known_classes
from lors_det.inference.device import find_device
from lors_det.inference.images import ImageLike, as_rgb, checked_path, swap_red_and_blue
from lors_det.inference.onnx.runtime import OnnxModel
from lors_det.inference.pipeline import build_test_pipeline, decoded, prepared, set_side
from lors_det.inference.stored_model import faults_of, load_stored_model
from lors_det.inference.streaming import batched, call, with_image
from lors_det.plugin.config.data import augment_test_time


class Detector:
    """Finds objects in images.

    ::

        detector = Detector.from_checkpoint("best.pth")
        for box, score, label, name in detector("street.jpg"):
            ...
        detector("street.jpg").save("street_found.jpg")

    The detections are those of ``lors-det test``, to the bit, where the images, their order and the batch size are the
    same: a batch is padded to the largest of its images, and another number of images may be computed by another
    routine, so that another batch size can round differently. The weights of the decoder are corrected once, when the
    detector is made (see :meth:`lors_det.lors.SharedStack.folded`), and must not be changed after. Threads may share a
    detector: it computes one batch at a time.

    Args:
        model: in evaluation mode; its ``test_step`` takes what the pipeline makes.
        loader: transform that reads a file: a dictionary with ``img_path`` gets ``img``, BGR.
        pipeline: transforms from ``img`` to the model's input.
        classes: of the model, in the order of labels.
        score_threshold: detections below it are left out, 0..1.
        wanted: classes of which detections are kept; None: all.

    Raises:
        InputError: if the threshold is no share, or the model has no such class.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        loader: Callable[[dict[str, Any]], dict[str, Any] | None],
        pipeline: Callable[[dict[str, Any]], dict[str, Any] | None],
        classes: Sequence[str],
        score_threshold: float = 0.3,
        wanted: Collection[str] | None = None,
    ) -> None:
        self.classes = tuple(classes)
        self.score_threshold = _share(score_threshold)
        self.wanted = wanted if wanted is None else known_classes(wanted, classes)
        self._model: Any = model
        self._loader, self._pipeline = loader, pipeline
        self._prepare()

    def _prepare(self) -> None:
        """What a copy has of its own: a lock, and its decoders folded."""
        self._computing = Lock()
        self._folded = _folded(self._model)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_computing", "_folded")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        *,
        device: str | torch.device | None = None,
        score_threshold: float = 0.3,
        classes: Collection[str] | None = None,
        tta: bool = False,
        image_side: int | None = None,
        config: str | Path | Config | None = None,
        names: Sequence[str] | None = None,
        trust: bool = False,
    ) -> Detector:
        """A detector from a checkpoint file, which is read as plain data; no other file and no network is needed.

        Args:
            path: a checkpoint of a training, of this version or 0.1.0, or what ``lors-det export`` wrote of one, which
                onnxruntime computes.
            device: such as "cuda:1"; by default the GPU, where there is one.
            score_threshold: detections below it are left out, 0..1; 0 keeps all, as an evaluation does.
            classes: names of which detections are kept; None: all.
            tta: test each image and its mirror image, merged, as ``lors-det test --tta`` does.
            image_side: long side in pixels to which images are scaled, in place of that of the training's evaluation.
            config: the model's, for a checkpoint that carries none, such as a converted one.
            names: the model's classes, in order, for a checkpoint that does not tell them.
            trust: unpickle the file whole, and let its config import and build what lors_det and mmdet do not register;
                any code that is there may run.

        Raises:
            InputError: if the checkpoint or an argument is wrong; it names what, where and the remedy.
        """
        if Path(path).suffix.lower() == ".onnx":
            if tta or trust or any(each is not None for each in (image_side, config, names)):
                raise InputError(
                    f"{path} has its config and names inside; image_side, tta, config, names and trust change nothing"
                )
            exported = OnnxModel(Path(path), device)
            return cls(
                exported,
                loader=LoadImageFromFile(),
                pipeline=exported.prepare,
                classes=exported.facts.classes,
                score_threshold=score_threshold,
                wanted=classes,
            )
        place = find_device(device)
        stored = load_stored_model(path, config=config, names=names, trust=trust)
        cfg, model = stored.cfg, stored.model
        scope = DefaultScope.overwrite_default_scope(cfg.get("default_scope") or "mmdet")
        with scope, faults_of(path, config):
            if image_side is not None:
                set_side(cfg, image_side, tta=tta)
            if tta:
                augment_test_time(cfg)
                model = MODELS.build({**cfg.model, "module": model}).eval()
            loader, pipeline = build_test_pipeline(cfg)
        return cls(
            model.to(place),
            loader=loader,
            pipeline=pipeline,
            classes=stored.classes,
            score_threshold=score_threshold,
            wanted=classes,
        )

    @overload
    def __call__(self, images: ImageLike, *, batch_size: int = 1) -> Detections: ...  # type: ignore[overload-overlap]

    @overload
    def __call__(self, images: Iterable[ImageLike], *, batch_size: int = 1) -> list[Detections]: ...

    def __call__(self, images: Any, *, batch_size: int = 1) -> Detections | list[Detections]:
        """Detections of an image, or a list of them for many.

        Args:
            images: a path, an image of Pillow or an array, RGB, see :data:`ImageLike`; or an iterable of those.
            batch_size: images that are computed together.

        Raises:
            InputError: if an image is missing or none; it names it.
        """
        return call(self.stream, images, batch_size)

    def stream(self, images: Iterable[ImageLike], *, batch_size: int = 1) -> Iterator[Detections]:
        """Detections of one image after the other; no more than a batch is in memory.

        Raises:
            InputError: if an image is missing or none, which it names, or one came in place of several.
        """
        for batch in batched(images, batch_size):
            for image, found in zip(batch, self.detect([self.read(image) for image in batch])):
                yield with_image(found, image)

    def read(self, image: ImageLike) -> NDArray[np.uint8]:
        """An image as an RGB array; files are read as the evaluation reads them.

        Raises:
            InputError: if the image is missing or none; it names it.
        """
        if not isinstance(image, (str, Path)):
            return as_rgb(image)
        return swap_red_and_blue(decoded(self._loader, checked_path(image)))

    @torch.inference_mode()
    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Detections of one batch of RGB arrays (H, W, 3), as :meth:`read` gives them.

        Raises:
            InputError: if an image is too narrow or too flat for the network's input; it names both sizes. If what is
                found is not finite, or the GPU's memory does not suffice.
        """
        if not images:
            return []
        inputs = [prepared(self._pipeline, self._loaded(image, number)) for number, image in enumerate(images)]
        try:
            with self._computing:
                samples = self._model.test_step(pseudo_collate(inputs))
        except torch.OutOfMemoryError as error:
            if len(images) == 1:
                raise InputError("the GPU's memory does not suffice; take another GPU, or the CPU") from error
            raise InputError(f"the GPU's memory does not hold a batch of {len(images)}; make it smaller") from error
        return [self._detections(sample.pred_instances, image) for sample, image in zip(samples, images)]

    def _loaded(self, image: NDArray[np.uint8], number: int) -> dict[str, Any]:
        """What the loader would have given; some pipelines pack the id and the path."""
        pixels = swap_red_and_blue(image)
        if getattr(self._loader, "to_float32", False):
            pixels = pixels.astype(np.float32)
        size = image.shape[:2]
        return {"img": pixels, "img_shape": size, "ori_shape": size, "img_id": number, "img_path": ""}

    def _detections(self, found: Any, image: NDArray[np.uint8]) -> Detections:
        boxes, scores = found.bboxes.float().cpu().numpy(), found.scores.float().cpu().numpy()
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise InputError("the model finds boxes or scores that are not finite; its precision may not suffice")
        return Detections(
            boxes=boxes,
            scores=scores,
            labels=found.labels.cpu().numpy(),
            classes=self.classes,
            image_size=(image.shape[1], image.shape[0]),
            image=image,
        ).select(score_threshold=self.score_threshold, classes=self.wanted)


def _share(value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
        raise InputError(f"score_threshold is {value!r}; it must be a number from 0 to 1")
    return float(value)


def _folded(model: nn.Module) -> ExitStack:
    """Fold all decoders of a model, for as long as what it returns is kept."""
    folded = ExitStack()
    for module in model.modules():
        if isinstance(module, Decoder):
            folded.enter_context(module.folded())
    return folded
