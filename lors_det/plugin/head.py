"""The AdaMixer head of mmdet's SingleStageDetector: queries, decoder, criterion, post-processing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor

from lors_det.adamixer import Decoder, DecoderSpec, InitialQueries, StageOutput
from lors_det.adamixer.criterion import SetCriterion
from lors_det.adamixer.denoising import Denoising
from lors_det.adamixer.geometry import at_least_float32
from lors_det.adamixer.queries import QueryState, Start
from lors_det.adamixer.selection import QuerySelection
from lors_det.adamixer.spec_values import is_int
from lors_det.adamixer.target import Target
from lors_det.errors import InputError
from lors_det.plugin.head_key import head_key


@MODELS.register_module()
class AdaMixerHead(BaseModule):
    """Hosts the framework-free decoder in mmdet.

    Inference takes the last stage only: the ``max_per_img`` best of the Q N sigmoid scores, without NMS and without
    a threshold; boxes are clipped to the network's image if ``clip_boxes``, and divided by the image's scale factor.

    Args:
        num_classes: N. None stands for "the classes of the annotation file", which tools fill in.
        num_queries: Q.
        decoder: fields of :class:`lors_det.adamixer.DecoderSpec`.
        query_start: "image" (published), "grid" or "selected", see :class:`lors_det.adamixer.InitialQueries`.
        criterion: config of the criterion; the published losses by default.
        denoising: fields of :class:`lors_det.adamixer.denoising.Denoising`, queries of the training alone; None: none.
        train_cfg: not used; mmdet's detectors pass it.
        test_cfg: ``max_per_img``, detections of an image; Q by default. ``clip_boxes``: nothing of a box is left beyond
            the image; False by default, as published, where the box of an object that leaves the image may do so too.

    Raises:
        InputError: if a value is missing, unknown or contradicts another; it names the config key.
    """

    def __init__(
        self,
        num_classes: int | None,
        num_queries: int,
        *,
        decoder: dict[str, Any],
        query_start: Start = "image",
        criterion: dict[str, Any] | None = None,
        denoising: dict[str, Any] | None = None,
        train_cfg: dict[str, Any] | None = None,
        test_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if num_classes is None:
            raise InputError(
                "config key model.bbox_head.num_classes is not set; set it, or start from tools/train.py, which "
                "reads the classes from the annotation file"
            )
        test_cfg = dict(test_cfg or {})
        if not is_int(num_queries) or num_queries < 1:
            raise InputError(f"config key model.bbox_head.num_queries is {num_queries!r}; it must be 1 or more")
        most = test_cfg.pop("max_per_img", None)
        if most is not None and (not is_int(most) or most < 1):
            raise InputError(
                f"config key model.test_cfg.max_per_img is {most!r}; it must be a positive integer, or None for as "
                "many as queries"
            )
        self.max_per_img = num_queries if most is None else most
        self.clip_boxes = test_cfg.pop("clip_boxes", False)
        if not isinstance(self.clip_boxes, bool):
            raise InputError(f"config key model.test_cfg.clip_boxes is {self.clip_boxes!r}; it must be True or False")
        if test_cfg:
            raise InputError(
                f"config key model.test_cfg has unknown keys {sorted(test_cfg)}; it takes max_per_img and clip_boxes"
            )
        if not is_int(num_classes) or num_classes < 1:
            raise InputError(f"config key model.bbox_head.num_classes is {num_classes!r}; it must be 1 or more")
        self.num_classes = num_classes
        with head_key("decoder"):
            self.decoder = Decoder(num_classes, DecoderSpec(**decoder))
        with head_key("query_start"):
            self.queries = InitialQueries(num_queries, self.decoder.spec.dim, start=query_start)
        self.selection = None
        if query_start == "selected":
            self.selection = QuerySelection(num_classes, self.decoder.spec.dim, self.decoder.spec.strides)
        self.denoising = None
        if denoising is not None:
            with head_key("denoising"):
                self.denoising = Denoising(num_classes, self.decoder.spec.dim, **denoising)
        with head_key("criterion"):
            self.criterion = MODELS.build({"type": "SetCriterion", **(criterion or {})})
            if isinstance(self.criterion, SetCriterion):
                self.criterion.repeats(self.decoder.spec.num_stages)

    def forward(self, levels: Sequence[Tensor], batch_data_samples: SampleList | None = None) -> list[StageOutput]:
        """Outputs of every stage.

        Args:
            levels: (B, D, H_l, W_l).
            batch_data_samples: they tell the images' sizes before padding; without them the whole padded input is
                the image.
        """
        image_sizes = self._image_sizes(levels, batch_data_samples)
        return self.decoder(levels, self._start(levels, image_sizes)[0])

    def loss(self, levels: Sequence[Tensor], batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Losses of every stage, and of what stands before them, see :class:`SetCriterion`."""
        targets = [Target(sample.gt_instances.bboxes, sample.gt_instances.labels) for sample in batch_data_samples]
        image_sizes = self._image_sizes(levels, batch_data_samples)
        start, selected = self._start(levels, image_sizes)
        losses: dict[str, Tensor] = {}
        if selected is not None:  # first, so that it is blamed for what it does wrong
            losses |= self.criterion.selection(selected, targets, image_sizes)
        disturbed = None if self.denoising is None else self.denoising(targets, image_sizes)
        outputs = self.decoder(levels, start, beside=disturbed)
        losses |= self.criterion(outputs, targets, image_sizes)
        if disturbed is not None:
            losses |= self.criterion.denoising([output.beside for output in outputs], targets, image_sizes)
        return losses

    def predict(
        self, levels: Sequence[Tensor], batch_data_samples: SampleList, rescale: bool = True
    ) -> list[InstanceData]:
        """Detections of each image, best first: bboxes (n, 4) xyxy, scores (n,), labels (n,)."""
        boxes, scores, labels = self.best(levels, self._image_sizes(levels, batch_data_samples))
        if rescale:
            factors = [_scale_factor(sample.metainfo) * 2 for sample in batch_data_samples]
            boxes = boxes / boxes.new_tensor(factors)[:, None]
        return [
            InstanceData(bboxes=box, scores=score, labels=label) for box, score, label in zip(boxes, scores, labels)
        ]

    def best(self, levels: Sequence[Tensor], image_sizes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The K best detections of each image, best first, in pixels of the network's input.

        Args:
            levels: (B, D, H_l, W_l).
            image_sizes: (B, 2), width and height before padding, float32.

        Returns:
            Boxes (B, K, 4) xyxy, scores (B, K), labels (B, K) int64.
        """
        (last,) = self.decoder(levels, self._start(levels, image_sizes)[0], last_only=True)
        scores = at_least_float32(last.logits).sigmoid().flatten(1)
        scores, index = scores.topk(min(self.max_per_img, scores.shape[1]))
        query = (index // self.num_classes)[..., None].expand(-1, -1, 4)
        boxes = last.boxes_xyxy.gather(1, query)
        if self.clip_boxes:
            boxes = torch.minimum(boxes.clamp(min=0), image_sizes.repeat(1, 2)[:, None])
        return boxes, scores, index % self.num_classes

    def _start(self, levels: Sequence[Tensor], image_sizes: Tensor) -> tuple[QueryState, StageOutput | None]:
        """The queries that enter the first stage, and what they were selected by."""
        state: QueryState = self.queries(image_sizes)
        return (state, None) if self.selection is None else self.selection(levels, state, image_sizes)

    def _image_sizes(self, levels: Sequence[Tensor], batch_data_samples: SampleList | None) -> Tensor:
        """(B, 2), width and height before padding, float32."""
        if batch_data_samples is None:
            height, width = levels[0].shape[-2:]
            stride = self.decoder.spec.strides[0]
            sizes = [(width * stride, height * stride)] * len(levels[0])
        else:
            sizes = [sample.img_shape[1::-1] for sample in batch_data_samples]
        return torch.tensor(sizes, dtype=torch.float32, device=levels[0].device)


def _scale_factor(info: dict[str, Any]) -> tuple[float, float]:
    """(width, height) of the network's image over those of the file; a pipeline without a resize sets no factor."""
    if "scale_factor" in info:
        return tuple(info["scale_factor"])
    (height, width), (file_height, file_width) = info["img_shape"][:2], info.get("ori_shape", info["img_shape"])[:2]
    return width / file_width, height / file_height
