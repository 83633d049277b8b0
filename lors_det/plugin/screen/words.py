"""What a run says of itself, in words and numbers that fit a line."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SLOW_DATA = 0.2
"""Share of a step's time from which waiting for data is worth telling."""

COCO_COLUMNS = {
    "AP": "mAP",
    "AP50": "mAP_50",
    "AP75": "mAP_75",
    "small": "mAP_s",
    "medium": "mAP_m",
    "large": "mAP_l",
}
"""Heading: the end of the metric's name."""


@dataclass(frozen=True)
class Moment:
    """Where a training or an evaluation is.

    ``seconds`` are those of a step, ``data_share`` is the part of them that waits for data, ``eta`` seconds to the
    end; losses are means over the log's window, ``stage_losses`` those of the last stage.
    """

    phase: str
    """"train", "val" or "test"."""
    step: int
    num_steps: int
    epoch: int | None = None
    """None where a run counts steps alone."""
    num_epochs: int | None = None
    loss: float | None = None
    stage_losses: Mapping[str, float] = field(default_factory=dict)
    rate: float | None = None
    seconds: float | None = None
    data_share: float = 0.0
    eta: float | None = None
    ap: float | None = None
    best: float | None = None
    is_best: bool = False
    """Whether ``ap`` is above all that were before."""


@dataclass(frozen=True)
class Word:
    """A part of a line; of those that do not fit, the highest ``rank`` goes first."""

    text: str
    rank: int


def fitting(words: Sequence[Word], width: int, gap: int = 2) -> list[str]:
    """The words that fit a width in columns, in their order; rank 0 always stays."""
    kept = list(words)
    while sum(len(word.text) for word in kept) + gap * (len(kept) - 1) > width:
        last = max(kept, key=lambda word: word.rank)
        if last.rank == 0:
            break
        kept.remove(last)
    return [word.text for word in kept]


def place(moment: Moment) -> str:
    """Such as "epoch 3/60"; of an evaluation on its own, its name."""
    if moment.phase == "test":
        return "test"
    if moment.epoch is None:
        return "train" if moment.phase == "train" else "validation"
    return f"epoch {moment.epoch:>{len(str(moment.num_epochs))}}/{moment.num_epochs}"


def steps(moment: Moment) -> str:
    """Such as " 20/125"."""
    return f"{moment.step:>{len(str(moment.num_steps))}}/{moment.num_steps}"


def numbers(moment: Moment, *, stages: bool) -> list[Word]:
    """What is told after the place: losses, rate, time and AP; the last stage's losses if ``stages``."""
    words = []
    if moment.loss is not None:
        words.append(Word(f"loss {short(moment.loss)}", 0))
        if stages and moment.stage_losses:
            inner = " ".join(f"{name} {short(value)}" for name, value in moment.stage_losses.items())
            words[-1] = Word(f"{words[-1].text} (last: {inner})", 0)
    if moment.rate is not None:
        words.append(Word(f"lr {moment.rate:.1e}", 5))
    if moment.seconds is not None:
        words.append(Word(f"{moment.seconds:.2f} s/step", 4))
    if moment.data_share > SLOW_DATA:
        words.append(Word(f"data {moment.data_share:.0%}", 3))
    if moment.eta is not None:
        words.append(Word(f"ETA {duration(moment.eta)}", 1))
    if moment.ap is not None:
        words.append(Word(f"AP {score(moment.ap)}", 2))
        if moment.best is not None and moment.best > moment.ap:
            words.append(Word(f"best {score(moment.best)}", 6))
    return words


def plain_line(moment: Moment, width: int) -> str:
    """A moment as a line of a log, such as ``epoch 3/60  step 20/56  loss 12.31 (...)  ETA 4:12``."""
    where = Word(place(moment), 0)
    count = Word(f"step {steps(moment)}", 0)
    return "  ".join(fitting([where, count, *numbers(moment, stages=True)], width))


def coco_scores(metrics: Mapping[str, float]) -> dict[str, float]:
    """Those of :data:`COCO_COLUMNS` that an evaluation of boxes has, by heading."""
    found = {}
    for heading, end in COCO_COLUMNS.items():
        name = next((name for name in metrics if re.fullmatch(rf"(.*/)?bbox_{end}", name)), None)
        if name is not None:
            found[heading] = float(metrics[name])
    return found


def class_scores(metrics: Mapping[str, float]) -> dict[str, float]:
    """AP by class, where an evaluation has it."""
    found = {}
    for name, value in metrics.items():
        match = re.fullmatch(r"(?:[^/]*/)?(.+)_precision", name)
        if match:
            found[match[1]] = float(value)
    return found


def scores_line(metrics: Mapping[str, float]) -> str:
    """An evaluation in a line, such as ``AP .312  AP50 .540``; of one without AP, every number by its name."""
    scores = coco_scores(metrics)
    if "AP" in scores:
        return "  ".join(f"{heading} {score(value)}" for heading, value in scores.items())
    values = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
    return "  ".join(f"{name} {short(float(value))}" for name, value in values.items()) or "no scores"


def classes_lines(metrics: Mapping[str, float], width: int) -> list[str]:
    """AP of each class in aligned columns, as many as fit; nothing where the evaluation is not by class."""
    words = {name: score(value) for name, value in class_scores(metrics).items()}
    if not words:
        return []
    name_width = min(max(map(len, words)), width // 2)
    cells = [f"{name[:name_width]:<{name_width}} {value:>5}" for name, value in words.items()]
    columns = max(1, (width + 2) // (name_width + 8))
    return ["  ".join(cells[first : first + columns]) for first in range(0, len(cells), columns)]


def score(value: float) -> str:
    """A score of 0 to 1 as ".312"; "-" where nothing was to be found (COCO's -1, or no number)."""
    if math.isnan(value) or value < 0:
        return "-"
    return f"{value:.3f}".removeprefix("0")


def short(value: float) -> str:
    """A number in about four characters."""
    if value != 0 and (abs(value) < 0.01 or abs(value) >= 1e5):
        return f"{value:.1e}"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


def duration(seconds: float) -> str:
    """Seconds as "0:07", "4:12" or "1:04:12"."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
