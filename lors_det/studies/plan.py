"""A study as data: which configs, with which values, on which sets, from which seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from lors_det.errors import InputError

LATER = 1000
"""Added to the seed of a training that another comes before, so that it draws other images than that did."""


class Run(NamedTuple):
    """One training of a study.

    Attributes:
        set: name of the data.
        arm: name of what is trained.
        seed: of the training.
    """

    set: str
    arm: str
    seed: int

    def __str__(self) -> str:
        return f"{self.set}/{self.arm}/seed{self.seed}"


@dataclass(frozen=True)
class Data:
    """A set that arms are trained on."""

    data: Path | None = None
    """Folder in place of the config's own data, as ``lors-det train --data`` takes it."""
    image_side: int | None = None
    """Pixels of the network's image, for a config that leaves it to the data."""
    shape: tuple[int, int] = (800, 1280)
    """Height and width of the padded image that arithmetic is counted for, pixels."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Values of every config that is trained on it, by key with dots."""


class Trained(NamedTuple):
    """A config, and values of it."""

    config: str
    """Path or name; {set} in it stands for the set's name."""
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Arm:
    """What is trained: a config, and values of it."""

    config: str
    """Path or name of the config; {set} in it stands for the set's name."""
    options: Mapping[str, Any]
    seeds: tuple[int, ...]
    first: Trained | None = None
    """What is trained before it, whose last weights it starts from (of a mean of the weights, the mean); stages without
    sharing are factorised."""


@dataclass(frozen=True)
class Study:
    """A question, and the runs that answer it."""

    path: Path
    question: str
    """Stated before anything runs."""
    answer: str
    """In a sentence; empty until there is one."""
    sets: Mapping[str, Data]
    arms: Mapping[str, Arm]
    options: Mapping[str, Any]
    """Values of every run."""
    compare: tuple[tuple[str, str], ...]
    """Pairs of arms: the first is tested against the second, on both sides."""
    metric: str

    def runs(self) -> Iterator[Run]:
        """All runs: every arm's first seed before any second, so that a study that is cut short has one of each."""
        most = max(len(arm.seeds) for arm in self.arms.values())
        for number in range(most):
            for name_of_set in self.sets:
                for name, arm in self.arms.items():
                    if number < len(arm.seeds):
                        yield Run(name_of_set, name, arm.seeds[number])

    @property
    def tests(self) -> int:
        """How many pairs are tested, one for each set, once all is run."""
        return len(self.compare) * len(self.sets)

    def config_of(self, run: Run) -> str:
        """Path or name of a run's config."""
        return self._trained(run, self.arms[run.arm].config, {}).config

    def options_of(self, run: Run) -> dict[str, Any]:
        """Values of a run: the study's, the set's, then the arm's, of which the last holds."""
        arm = self.arms[run.arm]
        later = {"randomness.seed": run.seed + LATER} if arm.first else {}
        return {**self._trained(run, "", arm.options).options, **later}

    def first_of(self, run: Run) -> Trained | None:
        """What is trained before a run, with the values of the study and the set, then its own."""
        first = self.arms[run.arm].first
        return first and self._trained(run, *first)

    def _trained(self, run: Run, config: str, options: Mapping[str, Any]) -> Trained:
        levels = {
            "the study": self.options,
            f"set {run.set}": self.sets[run.set].options,
            f"arm {run.arm}": options,
            "the seed": {"randomness.seed": run.seed},
        }
        return Trained(config.replace("{set}", run.set), _joined(self.path, levels))


def _joined(path: Path, levels: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Values of several levels, of which the last holds.

    Raises:
        InputError: if a dictionary would take the place of one that has more keys, which nothing says to be meant.
    """
    from lors_det.plugin.config.names import leaves  # torch loads with it

    found: dict[str, Any] = {}
    before: dict[str, Any] = {}  # with dots throughout
    for where, options in levels.items():
        for key, value in options.items():
            own = dict(leaves(value, key)) if isinstance(value, Mapping) else {key: value}
            below = [each for each in before if each.startswith(f"{key}.")]
            lost = [each for each in below if each not in own]
            if lost and isinstance(value, Mapping) and not value.get("_delete_"):
                raise InputError(
                    f"{path}: options of {where} set {key} as a whole, so that {lost[0]}, set before, would be lost; "
                    f"write single values, {key}.NAME: VALUE, or _delete_: true into it, if that is meant"
                )
            for each in below:
                del before[each]
                found.pop(each, None)
            before |= own
            found[key] = value
    return found
