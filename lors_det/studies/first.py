"""What a run is trained from, where a training of another config comes before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config

from lors_det.adamixer import DecoderSpec
from lors_det.checkpoints.folding import factorise_file
from lors_det.errors import InputError
from lors_det.plugin.config.reading import read_config
from lors_det.plugin.saving.latest import latest_checkpoint
from lors_det.training import train


def first_weights(
    place: Path,
    first: tuple[str, dict[str, Any]],
    then: tuple[str, dict[str, Any]],
    folder: str | None,
    image_side: int | None,
) -> tuple[Path, int]:
    """Train what comes first, from where a former try stopped, and make of its last weights what a run starts from.

    Stages that own all of their weights become bases and residuals where the run's share.

    Args:
        place: folder of that training.
        first: its config and values.
        then: the run's.
        folder: of the data, where the config has none.
        image_side: pixels of the network's image, for a config that leaves it to the data.

    Returns:
        The checkpoint to start from, and the steps that were made for it.

    Raises:
        InputError: as the training does, and if the weights do not fit the run's model.
    """
    config, options = first
    train(
        config,
        folder,
        work_dir=place,
        image_side=image_side,
        options=options,
        resume_from="auto",
        console="quiet",
    )
    last = latest_checkpoint(place)
    if last is None:
        raise InputError(f"{place} has no checkpoint any more, from which the run could start")
    own = read_config(*then)
    steps = int(last.content["meta"]["iter"])
    if not _shares(own) or _shares(read_config(config, options)):
        return last.path, steps
    own.dump(place / "then.py")
    factorised = place / "factorised.pth"
    factorise_file(last.path, factorised, place / "then.py")
    return factorised, steps


def _shares(cfg: Config) -> bool:
    return not DecoderSpec(**cfg.model.bbox_head.decoder).is_plain
