"""Steps whose numbers are not finite: a training stops there, or leaves them out; what reproduces them is kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.runner import Runner
from torch import Tensor

from lors_det.adamixer.matching import PredictionError
from lors_det.errors import InputError
from lors_det.files import short_path
from lors_det.plugin.loop.faults import keep_step
from lors_det.plugin.saving.plain_data import to_plain
from lors_det.plugin.unwrapped import unwrapped

FOLDER = "not_finite"
"""In the work dir, of what reproduces such steps."""

MOST_KEPT = 3
"""Steps of a process that are kept so."""

MOST_NAMED = 4
"""Images that a message names."""

MOST_SKIPPED = 10
"""Steps in a row that may be left out: more of them are no accident."""


class FaultySteps:
    """What a training does with steps that raise a FloatingPointError.

    Args:
        then: "stop", or "skip" such a step, up to :data:`MOST_SKIPPED` in a row.

    Raises:
        InputError: if ``then`` is another word.
    """

    def __init__(self, then: str) -> None:
        if then not in ("stop", "skip"):
            raise InputError(f'train_cfg.when_not_finite is {then!r}; it must be "stop" or "skip"')
        self._skips = then == "skip"
        self._num_skipped = 0

    def before(self, runner: Runner) -> list[Tensor]:
        """What a step changes before it is known to be faulty, and :meth:`leave_out` puts back."""
        # statistics of batch norms, which a forward pass changes
        return [buffer.clone() for buffer in runner.model.buffers()] if self._skips else []

    def was_sound(self) -> None:
        """Steps that are skipped after this one are no longer in a row with those before it."""
        self._num_skipped = 0

    def leave_out(
        self, error: FloatingPointError, runner: Runner, batch: Mapping[str, Any], seed: int, before: list[Tensor]
    ) -> None:
        """Keep the step that ``runner`` makes, and let the model be as if it had not been begun.

        Args:
            error: that it raised.
            runner: whose model, counters and work dir.
            batch: as the data loader gave it.
            seed: of what the step drew.
            before: what :meth:`before` gave.

        Raises:
            InputError: where it must not be left out.
        """
        words = _kept(error, runner, batch, seed)
        if not self._skips:
            raise InputError(f'{words}; train_cfg.when_not_finite="skip" leaves such steps out') from error
        if self._num_skipped == MOST_SKIPPED:
            raise InputError(f"{words}; {MOST_SKIPPED} steps before it were skipped") from error
        self._num_skipped += 1
        with torch.no_grad():
            for buffer, value in zip(runner.model.buffers(), before):
                buffer.copy_(value)
        runner.logger.warning(f"{words}; it is skipped")
        runner.optim_wrapper.zero_grad()
        runner.optim_wrapper._inner_count = runner.iter + 1  # as if it had been made


def _kept(error: FloatingPointError, runner: Runner, batch: Mapping[str, Any], seed: int) -> str:
    """Write what reproduces a step; returns what happened, in words."""
    rank = get_rank()
    folder = Path(runner.work_dir, FOLDER)
    name = f"step_{runner.iter + 1}_process_{{}}.pth"
    path = folder / name.format(rank)
    folder.mkdir(exist_ok=True)
    is_kept = len(list(folder.glob(f"*_process_{rank}.pth"))) < MOST_KEPT
    if is_kept:
        facts = {"message": str(error), "seed": seed, "config": to_plain(runner.cfg.to_dict(), "config")}
        keep_step(path, batch, unwrapped(runner.model), facts)
    paths = [short_path(str(sample.get("img_path", "?"))) for sample in batch["data_samples"]]
    images = ", ".join(paths[:MOST_NAMED])
    images += f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
    cause = f"images of process {rank}: {images}" + (f", kept in {short_path(path)}" if is_kept else "")
    if is_kept and isinstance(error, PredictionError) and error.rank != rank:  # each process keeps its own
        cause = f"its images are in {short_path(folder / name.format(error.rank))}"
    if runner.optim_wrapper._accumulative_counts > 1:
        cause += " (the steps since the last update are left out with it)"
    return f"step {runner.iter + 1} of epoch {runner.epoch + 1}: {error}; {cause}"
