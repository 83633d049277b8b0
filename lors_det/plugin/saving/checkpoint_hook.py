"""Checkpoints that are whole whenever a run is killed, and written while it goes on."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

from mmdet.registry import HOOKS
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from lors_det.errors import InputError
from lors_det.plugin.loop.kind import trains
from lors_det.plugin.loop.statistics import share_statistics
from lors_det.plugin.loop.train_loop import ExactTrainLoop
from lors_det.plugin.saving.background import BackgroundWriter, Snapshots
from lors_det.plugin.saving.checkpoint_content import checkpoint_of
from lors_det.plugin.saving.checkpoint_files import CheckpointFile, write_all
from lors_det.plugin.saving.latest import LAST

TERMINATED = "terminated_ckpt"
"""What the message hub calls the checkpoint with which SIGTERM ended a training."""


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, which loses nothing.

    - A file is written beside its place, flushed to the disk and renamed; then ``last_checkpoint`` names it; then older
      ones are removed. mmengine writes in place, and removes the older ones, and the best one, before.
    - Training goes on as soon as the tensors are copied. One file is written at a time.
    - A checkpoint is written again after the validation of its epoch, with the scores; a run that was killed in between
      begins with that validation.
    - Where SIGTERM ends a training and none was due, one more is written, ``iter_N.pth``; a run that goes on from it
      removes it when it writes its next.
    - Gradients that steps have accumulated are kept in it, and the version of this package.

    Takes what CheckpointHook takes; files are those of this machine's file system.

    Args:
        background: whether training goes on while a file is written.

    Raises:
        InputError: if the checkpoints' place is no folder of this machine.
    """

    def __init__(self, *args: Any, background: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.keep_ckpt_ids: deque[int] = deque()
        if self.file_client_args or self.backend_args or "://" in str(self.out_dir or ""):
            raise InputError(
                "SafeCheckpointHook writes to this machine's file system: let out_dir be a folder, leave backend_args "
                'out; default_hooks.checkpoint.type="CheckpointHook" writes elsewhere'
            )
        self._writer, self._snapshots = BackgroundWriter(), Snapshots()
        self._background = background
        self._files: list[CheckpointFile] = []
        self._outdated: list[Path] = []
        self.written: Path | None = None
        """The last checkpoint that lies in its place, of those of this run that can be gone on with."""

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        self._rebase(runner)
        if runner._resume:  # so that it is written again, should its validation be made now
            self.last_ckpt = str(self._place(self._step(runner)))
        former = runner.message_hub.runtime_info.pop(TERMINATED, None)
        if former is not None and runner._resume:
            self._outdated.append(Path(str(self.out_dir), Path(str(former)).name))
        if is_main_process():
            self.finish()  # what a validation outside of a training has begun to write
            folder = Path(str(self.out_dir))
            folder.mkdir(parents=True, exist_ok=True)
            for scratch in (*folder.glob("*-????????.tmp"), *Path(runner.work_dir).glob("*-????????.tmp")):
                scratch.unlink(missing_ok=True)  # of a run that was killed while it wrote

    def _rebase(self, runner: Runner) -> None:
        """The best checkpoints of a run whose folder was moved or copied, or that goes on in another one."""
        info = runner.message_hub.runtime_info
        for name in [name for name in info if name.startswith("best_ckpt")]:
            here = Path(str(self.out_dir), Path(str(info[name])).name)
            if here.is_file():
                runner.message_hub.update_info(name, str(here))
                if name == "best_ckpt":
                    self.best_ckpt_path = str(here)
                elif len(self.key_indicators if self.save_best else ()) > 1:
                    self.best_ckpt_path_dict[name.removeprefix("best_ckpt_")] = str(here)

    def after_train_epoch(self, runner: Runner) -> None:
        super().after_train_epoch(runner)
        self._write()

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        super().after_train_iter(runner, *args, **kwargs)
        self._write()

    def before_val(self, runner: Runner) -> None:
        if trains(runner):
            share_statistics(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        if not trains(runner):
            return  # an evaluation
        super().after_val_epoch(runner, metrics)  # the best one
        step = self._step(runner)
        if self.last_ckpt == str(self._place(step)):
            self._save_checkpoint_with_step(runner, step, {**_standing(runner), "is_validated": True})
        self._write()

    def before_termination(self, runner: Runner, *, inside: bool, is_validated: bool) -> None:
        """Write the checkpoint of a training that ends after this step; ``inside``: of a step within an epoch."""
        if runner.train_loop.taken != runner.iter:
            path = Path(str(self.out_dir), f"iter_{runner.iter}.pth") if self.by_epoch else self._place(runner.iter)
            if self.by_epoch:
                runner.message_hub.update_info(TERMINATED, str(path))
            else:
                self._count(runner, runner.iter)
            self._take(runner, path, {**_standing(runner), "is_validated": is_validated}, inside=inside)
            self._write()
        self.finish()
        barrier()  # a process that ends before the first has written ends that one too

    def after_train(self, runner: Runner) -> None:
        self.finish()
        super().after_train(runner)

    def finish(self) -> None:
        """Return when all is written."""
        self._writer.wait()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        loop = runner._train_loop
        if runner._resume and isinstance(loop, ExactTrainLoop):
            meta = checkpoint["meta"]
            loop.enter(
                meta.get("epoch_iter"),
                meta.get("epoch_steps"),
                made=meta["iter"],
                epoch=meta["epoch"],
                is_validated=meta.get("is_validated", True),
            )
            loop.gradients = checkpoint.get("gradients", {})

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        """Take what a checkpoint of this step holds; called by mmengine's hook."""
        self._count(runner, step)
        self._take(runner, self._place(step), meta, inside=not self.by_epoch and not meta.get("is_validated"))

    def _count(self, runner: Runner, step: int) -> None:
        """Among those that are kept."""
        if self.max_keep_ckpts > 0 and (not self.keep_ckpt_ids or self.keep_ckpt_ids[-1] != step):
            kept = [*self.keep_ckpt_ids, step]
            self._outdated += [self._place(old) for old in kept[: -self.max_keep_ckpts]]
            self.keep_ckpt_ids = deque(kept[-self.max_keep_ckpts :])
            runner.message_hub.update_info("keep_ckpt_ids", list(self.keep_ckpt_ids))
        self.last_ckpt = str(self._place(step))
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)

    def _take(self, runner: Runner, path: Path, meta: dict[str, Any], *, inside: bool) -> None:
        """What a checkpoint holds, for its file; ``inside``: of a step within an epoch."""
        loop = runner._train_loop
        share_statistics(runner)  # inside an epoch too, so that a run that goes on from here has the same
        if isinstance(loop, ExactTrainLoop):
            meta = {"is_validated": inside or not loop.validates_after(meta["epoch"]), **meta}
            loop.taken = meta["iter"]
            meta["epoch_iter"] = meta["iter"] - loop.epoch_start if inside else 0
        content = checkpoint_of(
            runner,
            meta,
            with_optimizer=self.save_optimizer,
            with_schedules=self.save_param_scheduler,
        )
        self._files.append(CheckpointFile(path, content, note=Path(runner.work_dir, LAST)))

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Take the weights, for each figure that is better than ever; called by mmengine's hook."""
        if not self.save_best:
            return
        if "auto" in self.key_indicators:
            self._init_rule(self.rules, [next(iter(metrics))])
        alone = len(self.key_indicators) == 1
        for key, rule in zip(self.key_indicators, self.rules):
            if key not in metrics:
                raise InputError(
                    f"default_hooks.checkpoint.save_best is {key}, and the validation has {', '.join(metrics)}; "
                    "choose one of these"
                )
            ending, score, hub = "" if alone else f"_{key}", metrics[key], runner.message_hub
            best = hub.runtime_info.get(f"best_score{ending}", self.init_value_map[rule])
            if score is None or not self.is_better_than[key](score, best):
                continue
            path = self._place(self._step(runner), f"best_{key}_".replace("/", "_"))
            former = hub.runtime_info.get(f"best_ckpt{ending}")
            if former and Path(former).name != path.name:
                self._outdated.append(Path(str(self.out_dir), Path(former).name))  # in this run's folder, and no other
            if alone:
                self.best_ckpt_path = str(path)
            else:
                self.best_ckpt_path_dict[key] = str(path)
            hub.update_info(f"best_score{ending}", score)
            hub.update_info(f"best_ckpt{ending}", str(path))
            content = checkpoint_of(runner, _standing(runner), with_optimizer=False, with_schedules=False)
            self._files.append(CheckpointFile(path, content))
            words = f"the best {key} so far, {score:.4f}: writing {path.name}"
            runner.logger.info(words, extra={"printed": True})  # for the log file: the row of a validation tells

    def _step(self, runner: Runner) -> int:
        """By which checkpoints are counted; after an epoch's end."""
        return runner.epoch if self.by_epoch else runner.iter

    def _place(self, step: int, beginning: str = "") -> Path:
        return Path(str(self.out_dir), beginning + self.filename_tmpl.format(step))

    def _write(self) -> None:
        """Start to write what was taken, if anything was."""
        if not self._files:
            return
        files, self._files = self._files, []
        outdated, self._outdated = self._outdated, []
        if not is_main_process():
            return
        self._writer.wait()  # before the memory that it writes from is used again
        contents = self._snapshots.take([file.content for file in files])
        taken = [file._replace(content=content) for file, content in zip(files, contents)]
        last = next((file.path for file in reversed(taken) if file.note), self.written)

        def write() -> None:
            write_all(taken, outdated)
            self.written = last

        self._writer.submit(write)
        if not self._background:
            self._writer.wait()


def _standing(runner: Runner) -> dict[str, Any]:
    return {"epoch": runner.epoch, "iter": runner.iter}


def finish_writing(runner: Runner | None) -> Path | None:
    """Return when a run's checkpoints are written, however it ended: the last one, None where there is none yet.

    Another process than the main one writes none, and knows of none.
    """
    last = None
    for hook in runner.hooks if runner is not None else ():
        if isinstance(hook, SafeCheckpointHook):
            hook.finish()
            last = hook.written or last
    return last
