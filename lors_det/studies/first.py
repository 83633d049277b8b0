"""What a run is trained from, where a training of another config comes before it."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config

from lors_det.adamixer import DecoderSpec
from lors_det.checkpoints.folding import factorise_file
from lors_det.errors import InputError
from lors_det.plugin.config.reading import read_config
from lors_det.plugin.saving.latest import latest_checkpoint
from lors_det.plugin.saving.not_in_weights import FACTORISED, differences, of_config
from lors_det.reports.accounting import build_model
from lors_det.state_diff import state_diff
from lors_det.training import train


def first_weights(
    place: Path,
    first: tuple[str, dict[str, Any]],
    then: tuple[str, dict[str, Any]],
    folder: str | None,
    image_side: int | None,
) -> tuple[Path, int]:
    """Train what comes first, from where a former try stopped, and make of its last weights what a run starts from.

    Stages that own all of their weights become bases and residuals where the run's share. Of a mean of the weights, the
    last are the mean.

    Args:
        place: folder of that training.
        first: its config and values.
        then: the run's.
        folder: of the data, where the config has none.
        image_side: pixels of the network's image, for a config that leaves it to the data.

    Returns:
        The checkpoint to start from, and the steps that were made for it.

    Raises:
        InputError: as the training does, if it has no checkpoint of its last epoch, and, before it begins, if not all
            of its weights fit the run's model or the run starts from something else.
    """
    config, options = first
    before, own = read_config(*first), read_config(*then)
    if own.get("load_from"):
        raise InputError(f"{then[0]}: load_from is {own.load_from}, and first says what to start from; leave one out")
    is_factorised = _spec(before, config).is_plain and not _spec(own, then[0]).is_plain
    _check_fit(before, own, f"{config}, trained first, does not fit {then[0]}", is_factorised)
    trained = train(
        config,
        folder,
        work_dir=place,
        image_side=image_side,
        options=options,
        resume_from="auto",
        console="quiet",
    )
    last, epochs = latest_checkpoint(place), Config.fromfile(trained.config).train_cfg.max_epochs
    if last is None or last.content["meta"]["epoch"] != epochs:
        raise InputError(f"{place} has no checkpoint of its last epoch, {epochs}, from which the run could start")
    steps = int(last.content["meta"]["iter"])
    if not is_factorised:
        return last.path, steps
    own.model.bbox_head.num_classes = None  # those of the weights, which the data decided
    own.dump(place / "then.py")
    factorised = place / "factorised.pth"
    factorise_file(last.path, factorised, place / "then.py")
    return factorised, steps


def _spec(cfg: Config, name: str) -> DecoderSpec:
    try:
        return DecoderSpec(**cfg.model.bbox_head.decoder)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: model.bbox_head.decoder describes none: {error}") from error


def _check_fit(before: Config, own: Config, what: str, is_factorised: bool) -> None:
    """Refuse a model that would take over a part of the weights of another, or compute something else with them."""
    shapes = []
    for cfg in (before, own):
        model = deepcopy(cfg)
        model.model.bbox_head.num_classes = 1  # the data's, in both
        if is_factorised:
            spec = DecoderSpec(**model.model.bbox_head.decoder)
            model.model.bbox_head.decoder = spec.folded().arguments()
        shapes.append(build_model(model).state_dict())
    diff = state_diff(shapes[0], {name: weight.shape for name, weight in shapes[1].items()})
    changed = differences(of_config(before), of_config(own), FACTORISED if is_factorised else ())
    if words := "; ".join(filter(None, [diff.words, *changed])):
        raise InputError(f"{what}: {words}")
