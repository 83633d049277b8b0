"""Training by epochs, entered anywhere: a resumed run ends with the weights of one that was never interrupted.

mmengine's loop begins an epoch anew where it was left, draws other images then, and forgets a validation that was due.
"""

from __future__ import annotations

import bisect
from typing import Any, NoReturn

import torch
from mmdet.registry import LOOPS
from mmengine.dist import get_rank
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from lors_det.errors import Terminated
from lors_det.plugin.loop.batches import placed
from lors_det.plugin.loop.ending import Ending, Outliving
from lors_det.plugin.loop.faults import checked_steps
from lors_det.plugin.loop.faulty_steps import FaultySteps
from lors_det.plugin.loop.seeds import seed_generators, seed_of
from lors_det.plugin.loop.statistics import share_statistics
from lors_det.plugin.unwrapped import unwrapped

_OF_STEPS, _OF_IMAGES = 0, 1
"""What a seed is for comes first in its place."""


@LOOPS.register_module()
class ExactTrainLoop(EpochBasedTrainLoop):
    """mmengine's EpochBasedTrainLoop, whose course is a function of its seed, its epoch and its step.

    - Images are drawn, and the model draws, from seeds made of (seed, process, epoch or step, place in the batch): no
      state of a generator has to be kept, and the number of workers that load images changes nothing. (Mosaic and
      mix-up from a cache are the exception: it holds images that the worker has read before.)
    - A run that is resumed inside an epoch goes on with the next batch; those before it are not read.
    - A validation that was due at the checkpoint, and did not end, is made first.
    - A step whose predictions, costs or gradients are not finite changes no weight, in any process; what reproduces it
      is kept in the work dir.
    - SIGTERM ends it after a step, of which hooks that have ``before_termination`` write a checkpoint; a validation
      ends at once where there is one of its weights.

    Takes what EpochBasedTrainLoop takes, and:

    Args:
        when_not_finite: "stop", or "skip" such a step, as in :class:`FaultySteps`.

    Raises:
        InputError: if ``when_not_finite`` is another word.
        Terminated: by :meth:`run`, on SIGTERM.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader[Any] | dict[str, Any],
        *,
        when_not_finite: str = "stop",
        **kwargs: Any,
    ) -> None:
        self._faulty_steps = FaultySteps(when_not_finite)
        super().__init__(runner, dataloader, **kwargs)
        self.dataloader: DataLoader[Any]
        self.dataloader, self._batches = placed(self.dataloader)
        self._seed_at_start = runner.seed
        self.epoch_start = 0
        """The step that the epoch began with."""
        self.gradients: dict[str, torch.Tensor] = {}
        """That the steps before the first had accumulated, by the parameter's name."""
        self._entry: tuple[int | None, int | None] = (None, None)
        self._more_steps = 0
        self._is_validated = True
        self._ending = Ending()
        self.taken: int | None = None
        """The step of the last checkpoint."""

    @property
    def max_iters(self) -> int:
        """Steps in all; other than epochs times steps where the length of an epoch has changed at a resume."""
        return int(self._max_iters) + self._more_steps

    def enter(
        self, steps: int | None, epoch_steps: int | None, *, made: int = 0, epoch: int = 0, is_validated: bool
    ) -> None:
        """Say where a resumed run goes on.

        Args:
            steps: that were made of its epoch; None where the checkpoint does not tell.
            epoch_steps: that an epoch had.
            made: steps of all epochs.
            epoch: number of the epoch.
            is_validated: whether the epoch before it needs no validation any more.
        """
        self._entry, self._is_validated, self.taken = (steps, epoch_steps), is_validated, made
        length = len(self.dataloader)
        if steps is not None and epoch_steps not in (None, length):
            self._more_steps = made - self._first() - epoch * length

    def run(self) -> nn.Module:
        for loop in (self, self.runner.val_loop):
            if loop is not None:  # workers of a validation wait for the next one while steps are made
                loop.dataloader.worker_init_fn = Outliving(loop.dataloader.worker_init_fn)
        with self._ending.heard():
            return self._run()

    def _run(self) -> nn.Module:
        self._follow_seed()
        runner = self.runner
        model: nn.Module = unwrapped(runner.model)
        for name, parameter in model.named_parameters():
            if name in self.gradients:
                parameter.grad = self.gradients[name].to(parameter)
        self.gradients = {}
        first = self._first()
        runner.call_hook("before_train")
        if not self._is_validated and first == 0:
            self._decide_current_val_interval()
            self._validate()
        with checked_steps(runner.optim_wrapper, model):
            while self._epoch < self._max_epochs and not self.stop_training:
                self._run_epoch_from(first)
                first = 0
                self._decide_current_val_interval()
                self._validate()
                if self._epoch < self._max_epochs:
                    self._end_if_asked(is_validated=True)
        runner.call_hook("after_train")
        whole: nn.Module = runner.model
        return whole

    def run_epoch(self) -> None:
        self._run_epoch_from(0)

    def validates_after(self, epoch: int) -> bool:
        """Whether a validation is due after so many epochs."""
        interval = self.dynamic_intervals[bisect.bisect(self.dynamic_milestones, epoch + 1) - 1]
        is_due = epoch % interval == 0 or epoch == self._max_epochs
        return self.runner._val_loop is not None and epoch >= self.val_begin and is_due

    def run_iter(self, idx: int, data_batch: dict[str, Any]) -> None:
        runner, before = self.runner, self._faulty_steps.before(self.runner)
        try:
            super().run_iter(idx, data_batch)
            self._faulty_steps.was_sound()
        except FloatingPointError as error:
            self._faulty_steps.leave_out(error, runner, data_batch, self._seed_of_step(), before)
            runner.call_hook("after_train_iter", batch_idx=idx, data_batch=data_batch, outputs=None)
            self._iter += 1

    def _run_epoch_from(self, first: int) -> None:
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        self.epoch_start = self._iter - first
        self._batches.place = (_OF_IMAGES, self.runner.seed, get_rank(), self._epoch)
        self._batches.first = first
        for number, batch in enumerate(self.dataloader, start=first):
            seed_generators(self._seed_of_step())
            self.run_iter(number, batch)
            if self._ending.is_due(self._iter):
                self._end(inside=True, is_validated=True)
        share_statistics(self.runner)
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1

    def _seed_of_step(self) -> int:
        return seed_of(_OF_STEPS, self.runner.seed, get_rank(), self._iter)

    def _first(self) -> int:
        """The batch of its epoch that a run begins with."""
        length = len(self.dataloader)
        steps, epoch_steps = self._entry
        if steps is None:
            steps = self._iter - self._epoch * length
            return steps if 0 <= steps <= length else 0
        return steps if epoch_steps in (None, length) else round(steps * length / epoch_steps)

    def _validate(self) -> None:
        """If one is due after this epoch."""
        if self.validates_after(self._epoch):
            self._end_if_asked(is_validated=False)
            with self._ending.at_once(may=self.taken == self._iter):
                self.runner.val_loop.run()

    def _end_if_asked(self, *, is_validated: bool) -> None:
        """At an epoch's end; ``is_validated``: whether no validation of it is due any more."""
        if self._ending.is_agreed():
            self._end(inside=False, is_validated=is_validated)

    def _end(self, *, inside: bool, is_validated: bool) -> NoReturn:
        self.runner.call_hook("before_termination", inside=inside, is_validated=is_validated)
        raise Terminated

    def _follow_seed(self) -> None:
        """Let the sampler draw by the run's seed where it was made with another.

        A run without a seed of its own takes that of the run it resumes; and where processes have seeds of their own,
        mmengine gives their samplers one that no checkpoint holds.
        """
        sampler = self._batches.sampler
        if self.runner._randomness_cfg.get("diff_rank_seed"):
            sampler.seed = self.runner.seed - get_rank()
        elif getattr(sampler, "seed", None) == self._seed_at_start:
            sampler.seed = self.runner.seed
