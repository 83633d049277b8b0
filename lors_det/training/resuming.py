"""The run that is resumed: where it stood, and what has changed since."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import all_gather_object
from mmengine.runner import Runner

from lors_det.errors import InputError
from lors_det.plugin.config.course import course
from lors_det.plugin.data_contents import data_contents
from lors_det.plugin.saving.latest import LAST, latest_checkpoint
from lors_det.plugin.saving.safe_loading import load_from_local
from lors_det.plugin.saving.stored_config import config_of
from lors_det.processes import is_first_process

_LENGTHS = {"begin", "end", "T_max", "milestones", "total_steps"}
"""Values of a schedule that are others in a longer training."""

_HOOKS_THAT_MATTER = ("EMAHook", "GentleFinishHook", "PipelineSwitchHook", "YOLOXModeSwitchHook")
"""Custom hooks that decide what is learned or kept; of others, such as one's own that draw, that is not known."""

_SHOWN_OF_HOOK = 80
"""Characters of a hook's values."""

MOST_SHOWN = 12
"""Differences that a message lists."""


@dataclass(frozen=True)
class FormerRun:
    """The run that is resumed."""

    checkpoint: Path
    config: Config | None
    """None where the checkpoint has none."""
    epoch: int
    """Epochs that were trained."""
    steps: int
    """Steps that were made in all."""
    epoch_steps: int | None
    """Steps of each; None where they were not equally many, or none was finished."""
    world_size: int | None
    """Processes; None where the checkpoint does not tell."""
    is_validated: bool
    """Whether the validation of the last epoch was made."""
    classes: tuple[str, ...] | None = None
    """Of the model; None where the checkpoint does not tell."""
    data_contents: Mapping[str, str] = field(default_factory=dict)
    """Of the sets ``train`` and ``val``, as far as the checkpoint tells."""


def may_be_restarted() -> bool:
    """Whether torchrun starts processes again that fail, ``--max-restarts``.

    A process cannot tell whether it is one of those: where the failure was another machine's, nothing tells it so.
    """
    return int(os.environ.get("TORCHELASTIC_MAX_RESTARTS") or 0) > 0


def former_run(checkpoint: str | Path, work_dir: str) -> FormerRun | None:
    """The run of a checkpoint, or ("auto") of the work dir's last that can be read; None where there is none.

    Raises:
        InputError: if the checkpoint cannot be read.
    """
    if str(checkpoint) == "auto":
        found = latest_checkpoint(work_dir)
        if found is None:
            return None
        path, content = found
    else:
        path, content = Path(checkpoint), load_from_local(str(checkpoint), "cpu")
    config = config_of(content, f"the config in checkpoint {path}")
    meta = content.get("meta") or {}
    epoch, steps = int(meta.get("epoch") or 0), int(meta.get("iter") or 0)
    by_epochs = steps // epoch if epoch and steps % epoch == 0 else None
    return FormerRun(
        checkpoint=path,
        config=config,
        epoch=epoch,
        steps=steps,
        epoch_steps=meta.get("epoch_steps", by_epochs),
        world_size=meta.get("world_size"),
        is_validated=meta.get("is_validated", True),
        classes=tuple((meta.get("dataset_meta") or {}).get("classes") or ()) or None,
        data_contents=meta.get("data_contents") or {},
    )


def resume(cfg: Config, checkpoint: str, former: FormerRun | None) -> None:
    """Go on from a checkpoint, or ("auto") from the work dir's last.

    Where the work dir holds none, the config's ``load_from`` stays, so that a script that always says ``--resume``
    starts a fine-tuning as it should.
    """
    if checkpoint != "auto":
        cfg.resume, cfg.load_from = True, checkpoint
    elif former is not None:
        cfg.resume, cfg.load_from = True, str(former.checkpoint)
        if former.checkpoint.resolve().parent != Path(cfg.work_dir).resolve() and is_first_process():
            print(f"goes on with {former.checkpoint}, which {Path(cfg.work_dir, LAST)} names", file=sys.stderr)
    else:
        cfg.resume = False
        start = f"the weights of {cfg.load_from}" if cfg.get("load_from") else "the beginning"
        if is_first_process():
            print(f"{cfg.work_dir} holds no checkpoint, so this starts from {start}", file=sys.stderr)


def check_agreed(former: FormerRun | None, runner: Runner) -> None:
    """All processes go on from the same place and with the same data, where there are several and they have met.

    Raises:
        InputError: if the work dir shows another checkpoint to one of them, or it has other data; in all of them.
    """
    own = (former.checkpoint.name, former.epoch, former.steps) if former else ("none", 0, 0)
    found = all_gather_object(own)
    if any(other != own for other in found):
        words = ", ".join(f"{name} to process {rank}" for rank, (name, _, _) in enumerate(found))
        raise InputError(f"processes see other last checkpoints: {words}; let all have the same files")
    # with other numbers of steps they would wait for each other forever
    data = all_gather_object({**data_contents(runner), "steps of an epoch": str(len(runner.train_loop.dataloader))})
    for rank, other in enumerate(data):
        for what, content in other.items():
            if content != data[0].get(what):
                raise InputError(
                    f"process {rank} sees other data than the first: {what}, {content} and {data[0].get(what)}; let "
                    "all have the same files"
                )


def check_same(former: FormerRun, runner: Runner, *, anyway: bool) -> None:
    """A run goes on as it began.

    Args:
        former: the run that is resumed.
        runner: of the run that goes on, before it trains.
        anyway: whether to go on with what has changed, and a warning.

    Raises:
        InputError: if something has changed that decides what weights the training ends with.
    """
    found = list(_changes(former, runner))
    if not found:
        return
    lines = [f"  {key}: {old} then, {new} now" for key, old, new in found[:MOST_SHOWN]]
    lines += [f"  and {len(found) - MOST_SHOWN} more"] if len(found) > MOST_SHOWN else []
    words = f"the run of {former.checkpoint} is another than this one:\n" + "\n".join(lines)
    kept = (
        "\nThe optimiser's state is the checkpoint's, weight decays included, and learning rates where their schedule "
        "is the same; so is the seed."
    )
    if any(key == "val set" for key, _, _ in found):
        kept += " The best validation so far is of the former val set; --load-from in place of --resume forgets it."
    if not anyway:
        raise InputError(f"{words}\nresume it as it was, or say --resume-anyway to go on with what is new")
    if runner.rank == 0:
        print(f"warning: {words}{kept}", file=sys.stderr)


def _changes(former: FormerRun, runner: Runner) -> Iterator[tuple[str, Any, Any]]:
    """(what, value of the former run, value of this one) of each that differs."""
    steps = len(runner.train_loop.dataloader)
    if former.world_size not in (None, runner.world_size):
        yield "processes", former.world_size, runner.world_size
    if former.epoch_steps not in (None, steps):
        yield "steps of an epoch", former.epoch_steps, steps
    for split, new in data_contents(runner).items():
        if (old := former.data_contents.get(split, new)) != new:
            yield f"{split} set", old, new
    if former.config is None:
        return
    lengths = ("max_epochs", "max_iters")
    is_longer = any(former.config.train_cfg.get(key, 0) < runner.cfg.train_cfg.get(key, 0) for key in lengths)
    hooks = [_hooks(cfg) for cfg in (former.config, runner.cfg)]
    for kind in dict.fromkeys((*hooks[0], *hooks[1])):
        old, new = (each.get(kind, "-") for each in hooks)
        if old != new:
            yield f"hook {kind}", *_apart(old, new)
    before, now = dict(course(former.config)), dict(course(runner.cfg))
    for key in dict.fromkeys((*before, *now)):
        old, new = before.get(key, "-"), now.get(key, "-")
        if is_longer and key == "param_scheduler":
            old, new = (_without_lengths(value) for value in (old, new))
        if old != new:
            yield key, old, new


def _without_lengths(schedules: Any) -> Any:
    if not isinstance(schedules, list):
        return schedules
    return [{key: value for key, value in each.items() if key not in _LENGTHS} for each in schedules]


def _hooks(cfg: Config) -> dict[str, str]:
    """Custom hooks by type, as text; a mean of the weights, or a change of pipeline, decides what is learned."""
    found: dict[str, str] = {}
    for hook in (*(cfg.get("custom_hooks") or ()), *(cfg.get("default_hooks") or {}).values()):
        if hook and hook.get("type") in _HOOKS_THAT_MATTER:
            kind = str(hook.get("type"))
            found[kind] = found.get(kind, "") + repr(_plain(hook))
    return found


def _plain(value: Any) -> Any:
    """Of a config, with lists for tuples, and its keys in order."""
    if isinstance(value, Mapping):
        return {key: _plain(value[key]) for key in sorted(value, key=str)}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def _apart(old: str, new: str) -> tuple[str, str]:
    """Two long texts from where they part, as much as a line shows."""
    begin = max(0, next((place for place, (a, b) in enumerate(zip(old, new)) if a != b), 0) - _SHOWN_OF_HOOK // 2)
    old, new = (("..." if begin else "") + text[begin:][:_SHOWN_OF_HOOK] for text in (old, new))
    return old, new
