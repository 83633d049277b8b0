"""A folder of data to test a checkpoint on: which of its images, and with which classes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mmengine.config import Config

from lors_det.data.folder import read_folder
from lors_det.data.record import DataFolder
from lors_det.data.tested import as_tested, only_tested
from lors_det.data.words import counted
from lors_det.plugin.config.data import annotation_file, image_folder, leaf_datasets
from lors_det.plugin.dataset import read_json
from lors_det.processes import is_first_process
from lors_det.training.resuming import FormerRun
from lors_det.training.shown_folder import read_shown


def folder_to_test(
    data: Path, split: Literal["val", "test"], trained: FormerRun | None, *, quiet: bool = False
) -> DataFolder:
    """The folder as a test takes it, see :func:`lors_det.data.tested.as_tested`; the first process says what is tested.

    Of the folder of the training itself, where it has no split, it is the val split that the training made of it.

    Args:
        data: the folder.
        split: "test", or val where there is none; or "val".
        trained: the run of the checkpoint.
        quiet: print warnings alone.

    Raises:
        InputError: if the folder has no such split, a fault with which a test makes no sense, or other classes.
    """
    folder = read_folder(data, to_train=False)
    if folder.splits.keys() == {"train"} and trained is not None and trained.config is not None:
        folder = _of_training(data, folder, trained.config) or folder
    folder = only_tested(folder, split)
    read_shown(folder, quiet=quiet)
    if is_first_process() and not quiet:
        (tested,) = folder.splits.values()
        print(f"tested: {counted(len(tested.content['images']), 'image')}, {tested.source}")
    return as_tested(folder, trained.classes if trained else None)


def _of_training(data: Path, folder: DataFolder, cfg: Config) -> DataFolder | None:
    """The folder with a val split, if that leaves for train the very images that a training had."""
    for dataset in leaf_datasets(cfg.train_dataloader.dataset) if cfg.get("train_dataloader") else ():
        if image_folder(dataset).resolve() != folder.splits["train"].image_root.resolve():
            continue
        path = annotation_file(dataset)
        if path.is_file():
            made = read_folder(data)
            here, there = made.splits["train"].content, read_json(path)
            if {image["file_name"] for image in here["images"]} == {image["file_name"] for image in there["images"]}:
                return made
    return None
