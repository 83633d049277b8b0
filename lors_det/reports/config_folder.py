"""The data of a config as a folder that the data doctor can look at, whatever is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from mmengine.config import Config, ConfigDict

from lors_det.data.record import DataFolder, Finding, Split
from lors_det.errors import InputError
from lors_det.plugin.config.data import annotation_file, image_folder, leaf_datasets
from lors_det.plugin.dataset import read_json

_SPLITS: tuple[Literal["train", "val", "test"], ...] = ("train", "val", "test")


def config_folder(cfg: Config) -> DataFolder:
    """The annotation files of a config's dataloaders, as they are; a test split that is the val split is left out.

    What cannot be read becomes a finding. The datasets of a split, if there are several, become one, with ids that name
    their dataset.

    Raises:
        InputError: if no annotation file can be read, or the config has no dataloader.
    """
    findings: list[Finding] = []
    splits: dict[str, Split] = {}
    sources: dict[str, list[tuple[str, str]]] = {}
    for name in _SPLITS:
        loader = cfg.get(f"{name}_dataloader")
        datasets = list(leaf_datasets(loader.dataset)) if loader else []
        sources[name] = [(str(annotation_file(dataset)), str(image_folder(dataset))) for dataset in datasets]
        if not datasets or (name == "test" and sources[name] == sources["val"]):
            continue
        read = [(_read(dataset, findings), image_folder(dataset)) for dataset in datasets]
        contents = [(content, root) for content, root in read if content is not None]
        if contents:
            content, root = contents[0] if len(datasets) == 1 else (_joined(contents), Path())
            files = ", ".join(path for path, _ in sources[name])
            splits[name] = Split(name, root, content, files, Path(files) if len(datasets) == 1 else None)
    if not splits:
        reasons = "; ".join(map(str, findings)) or "it has no dataloader"
        raise InputError(f"config {cfg.filename} leads to no data: {reasons}")
    categories = next(iter(splits.values())).content.get("categories")
    classes = tuple(str(each["name"]) for each in _entries(categories) if "name" in each)
    return DataFolder(Path(cfg.filename), "COCO", classes, splits, tuple(findings))


def training_size(cfg: Config) -> tuple[int, int] | None:
    """The largest size that the training pipeline makes images fit into; None where it names none."""
    loader = cfg.get("train_dataloader")
    found = [
        size
        for dataset in (leaf_datasets(loader.dataset) if loader else ())
        for size in _scales(dataset.get("pipeline"))
    ]
    return max(found, key=lambda size: size[0] * size[1], default=None)


def _scales(step: Any) -> Iterator[tuple[int, int]]:
    """Sizes of the resizing steps in a pipeline, however deep."""
    if isinstance(step, dict):
        if "Resize" in str(step.get("type")):
            for scale in [step.get("scale"), *(step.get("scales") or ())]:
                if isinstance(scale, (tuple, list)) and len(scale) == 2 and all(isinstance(n, int) for n in scale):
                    yield scale[0], scale[1]
        yield from _scales(step.get("transforms"))
    elif isinstance(step, (list, tuple)):
        for each in step:
            yield from _scales(each)


def _read(dataset: ConfigDict, findings: list[Finding]) -> dict[str, Any] | None:
    path = annotation_file(dataset)
    try:
        content = read_json(path)
    except InputError as error:
        findings.append(Finding("malformed-file", "error", str(path), str(error), "mend or export it again"))
        return None
    if not isinstance(content, dict):
        what = f"it holds a {type(content).__name__}, not a COCO record"
        findings.append(Finding("malformed-file", "error", str(path), what, "export it in COCO detection format"))
        return None
    named = (dataset.get("metainfo") or {}).get("classes")
    names = [each.get("name") for each in _entries(content.get("categories"))]
    if named and list(named) != names:
        what = f"it has the classes {names}, the config names {list(named)}"
        findings.append(Finding("class-names", "error", str(path), what, "drop metainfo.classes from the config"))
    return content


def _entries(section: Any) -> list[dict[str, Any]]:
    return [entry for entry in section if isinstance(entry, dict)] if isinstance(section, list) else []


def _joined(contents: Sequence[tuple[dict[str, Any], Path]]) -> dict[str, Any]:
    """Records of several datasets as one, with the categories of the first; those of the others are found by name."""
    first = _entries(contents[0][0].get("categories"))
    images, annotations = [], []
    for number, (content, root) in enumerate(contents, start=1):
        ids = {each.get("name"): each.get("id") for each in first}
        own = {each.get("id"): each.get("name") for each in _entries(content.get("categories"))}
        for entry in _entries(content.get("images")):
            path = os.path.abspath(root / str(entry.get("file_name")))
            images.append({**entry, "id": f"{number}: {entry.get('id')}", "file_name": path})
        for entry in _entries(content.get("annotations")):
            label = ids.get(own.get(entry.get("category_id")), f"{number}: {entry.get('category_id')}")
            marked = {key: f"{number}: {entry.get(key)}" for key in ("id", "image_id")}
            annotations.append({**entry, **marked, "category_id": label})
    return {"images": images, "annotations": annotations, "categories": first}
