"""The data that a config names: its classes, its evaluators, and how it is tested."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path

from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import PackDetInputs
from mmdet.registry import DATASETS
from mmengine.config import Config, ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.fileio import list_from_file

from lors_det.errors import InputError
from lors_det.plugin.dataset import CocoDetection, check_coco, read_json

_READ_COCO = (CocoDetection.load_data_list, CocoDataset.load_data_list)


def fill_classes(cfg: Config) -> None:
    """Give the model and all datasets the classes of the annotation files.

    Read from the smallest file that exists, for COCO's training file takes ten seconds; every dataset then compares
    its own file with them. A model that already names a number of classes must name theirs.

    Raises:
        InputError: if there is no annotation file and the model names no number, or if the numbers differ.
    """
    head = cfg.model.get("bbox_head", {})
    if "num_classes" not in head:
        return
    datasets = list(_datasets(cfg))
    named = next(filter(None, map(_named_classes, datasets)), None)
    if named is None:
        files = [path for path in annotation_files(cfg) if path.is_file()]
        if not files and head.num_classes is not None:
            return  # nothing to read yet; the datasets will say so if they are used
        if not files:
            paths = ", ".join(map(str, annotation_files(cfg)))
            raise InputError(
                f"no annotation file exists to read the classes from: {paths}; check data_root and ann_file, "
                "or name a folder where the command takes one: --data DIR. Of what was trained on one, the config that "
                "the training left in its work dir names the files"
            )
        smallest = min(files, key=lambda path: path.stat().st_size)
        content = read_json(smallest)
        named = check_coco({"annotations": [], **content} if isinstance(content, dict) else content, smallest)
    if head.num_classes not in (None, len(named)):
        raise InputError(
            f"config key model.bbox_head.num_classes is {head.num_classes}, but the data has {len(named)} classes: "
            f"{', '.join(named)}"
        )
    head.num_classes = len(named)
    for dataset in datasets:
        dataset.metainfo = dict(dataset.get("metainfo", {}), classes=tuple(named))


_METRICS = {
    **dict.fromkeys(("CocoMetric", "LVISMetric"), ("bbox", "segm", "proposal", "proposal_fast")),
    "VOCMetric": ("mAP", "recall"),
}
"""What evaluations can be asked for by name."""


def check_evaluators(cfg: Config) -> None:
    """Refuse evaluations that end before the first figure, or whose figures mean nothing.

    The first ask for a metric that there is not; the others are against another annotation file, or of images given
    repeatedly.

    Raises:
        InputError: it names the metric, both files, or the wrapper that repeats.
    """
    for split in ("val", "test"):
        if not cfg.get(f"{split}_dataloader"):
            continue
        dataset = cfg[f"{split}_dataloader"].dataset
        if repeating := next(_repeating(dataset), None):
            raise InputError(
                f"config key {split}_dataloader.dataset is or has a {repeating}, which gives images more than once: AP "
                "would count them so; evaluate the set itself"
            )
        files = {annotation_file(each).resolve() for each in leaf_datasets(dataset)}
        for evaluator in _with_inner(evaluators_of(cfg, split)):
            _check_metric(evaluator, split)
            file = evaluator.get("ann_file")
            if file and Path(file).resolve() not in files:
                raise InputError(
                    f"config key {split}_evaluator.ann_file is {file}, but {split}_dataloader evaluates "
                    f"{', '.join(map(str, files))}; set both to the same file"
                )


def _check_metric(evaluator: ConfigDict, split: str) -> None:
    kind = str(evaluator.get("type"))
    if kind not in _METRICS or "metric" not in evaluator:
        return
    allowed, metric = _METRICS[kind], evaluator.metric
    several = isinstance(metric, list) and kind != "VOCMetric"  # which takes one, and no metric takes a tuple
    wrong = [name for name in (metric if several else [metric]) if name not in allowed]
    if wrong:
        known = f"one of {', '.join(allowed)}{'' if kind == 'VOCMetric' else ', or a list of them'}"
        raise InputError(f"config key {split}_evaluator.metric is {metric!r}; it must be {known}")


def _repeating(dataset: ConfigDict) -> Iterator[str]:
    """Types of wrappers that give images more than once, or some of them."""
    kind = str(dataset.get("type"))
    if kind == "ClassBalancedDataset" or (kind == "RepeatDataset" and dataset.get("times", 1) != 1):
        yield kind
    for each in dataset.get("datasets") or ([dataset.dataset] if "dataset" in dataset else []):
        yield from _repeating(each)


def evaluators_of(cfg: Config, split: str) -> list[ConfigDict]:
    """The evaluators of "val" or "test": a config names one, or a list of them."""
    evaluators = cfg.get(f"{split}_evaluator") or []
    return list(evaluators) if isinstance(evaluators, (list, tuple)) else [evaluators]


def _with_inner(evaluators: Sequence[ConfigDict]) -> Iterator[ConfigDict]:
    """Evaluators, and those that one of several data sets has inside."""
    for each in evaluators:
        yield each
        inner = each.get("metrics") or ()
        yield from _with_inner(inner if isinstance(inner, (list, tuple)) else [inner])


def _named_classes(dataset: ConfigDict) -> Sequence[str] | None:
    """The classes that a config gives a dataset; of a type that does not read COCO's form, those that it has itself."""
    given = (dataset.get("metainfo") or {}).get("classes")
    if isinstance(given, str):
        if not Path(given).is_file():
            raise InputError(f"metainfo.classes is {given!r}, and there is no such file; name the classes in a list")
        return list_from_file(given)
    kind = DATASETS.get(str(dataset.get("type")))
    if given or kind is None or getattr(kind, "load_data_list", None) in _READ_COCO:
        return given
    return getattr(kind, "METAINFO", {}).get("classes")


def _datasets(cfg: Config) -> Iterator[ConfigDict]:
    """The datasets of the train, val and test dataloaders."""
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if cfg.get(name):
            yield from leaf_datasets(cfg[name].dataset)


def leaf_datasets(dataset: ConfigDict) -> Iterator[ConfigDict]:
    """The datasets inside wrappers such as RepeatDataset and ConcatDataset."""
    inner = dataset.get("datasets") or ([dataset.dataset] if "dataset" in dataset else [])
    for each in inner:
        yield from leaf_datasets(each)
    if not inner:
        yield dataset


def annotation_file(dataset: ConfigDict) -> Path:
    """Where the annotations of a dataset lie."""
    return Path(dataset.get("data_root") or "", dataset.get("ann_file") or "")


def image_folder(dataset: ConfigDict) -> Path:
    """What the file names of a dataset's images are relative to."""
    prefix = dataset.get("data_prefix") or {}
    return Path(dataset.get("data_root") or "", prefix.get("img") or prefix.get("img_path") or "")


def annotation_files(cfg: Config) -> list[Path]:
    """Those of all datasets of the train, val and test dataloaders, whether they exist or not."""
    return list(dict.fromkeys(map(annotation_file, _datasets(cfg))))


def build_set_of(cfg: Config, images: Sequence[str]) -> BaseDataset:
    """The dataset of the test split, or of val, that has these images in this order.

    By their paths, or, where a folder was moved, by the most of the paths' last parts that one has and the other not.

    Raises:
        InputError: if neither has.
    """
    best: tuple[int, BaseDataset] | None = None
    for split in ("test", "val"):
        if loader := cfg.get(f"{split}_dataloader"):
            dataset = DATASETS.build(loader.dataset)
            if len(dataset) == len(images):
                own = [dataset.get_data_info(place)["img_path"] for place in range(len(dataset))]
                alike = min((_same_end(*pair) for pair in zip(own, images)), default=1)
                if alike and (best is None or alike > best[0]):
                    best = alike, dataset
    if best is not None:
        return best[1]
    raise InputError(
        f"the predictions are of {len(images)} images, which are those of neither the test split nor val of "
        f"{cfg.filename}; in the work dir, CONFIG.py is of the training's own sets, and CONFIG_test.py of what was "
        "tested last, which may be another folder"
    )


def _same_end(one: str, other: str) -> int:
    """Parts in which two paths end alike."""
    pairs = zip(reversed(Path(one).parts), reversed(Path(other).parts))
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def build_training_set(cfg: Config) -> BaseDataset:
    """The dataset of the train split, whose pipeline draws random numbers."""
    return DATASETS.build(cfg.train_dataloader.dataset)


def augment_test_time(cfg: Config) -> None:
    """Make a config test each image and its mirror image, merged by NMS (mmdet's DetTTAModel).

    The config's own ``tta_model`` and ``tta_pipeline`` are taken where it has them. The image as it is comes first:
    mmdet keeps the first one's ground truth, which pictures show.
    """
    max_per_img = (cfg.model.get("test_cfg") or {}).get("max_per_img") or cfg.model.bbox_head.num_queries
    tta_cfg = dict(nms=dict(type="nms", iou_threshold=0.6), max_per_img=max_per_img)
    tta_model = cfg.get("tta_model") or dict(type="DetTTAModel", tta_cfg=tta_cfg)
    for dataset in leaf_datasets(cfg.test_dataloader.dataset):
        pack = dict(dataset.pipeline[-1])
        pack["meta_keys"] = (*pack.get("meta_keys", PackDetInputs().meta_keys), "flip", "flip_direction")
        flips = [dict(type="RandomFlip", prob=0.0), dict(type="RandomFlip", prob=1.0)]
        dataset.pipeline = cfg.get("tta_pipeline") or [
            *dataset.pipeline[:-1],
            dict(type="TestTimeAug", transforms=[flips, [pack]]),
        ]
    cfg.model = ConfigDict(**tta_model, module=cfg.model)
