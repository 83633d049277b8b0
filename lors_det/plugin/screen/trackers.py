"""Where a run's scalars go beside its own files: TensorBoard, Weights & Biases, MLflow.

mmengine's backends under names that sort: ``train/loss``, ``train/s5/loss_cls``, ``val/bbox_mAP``, with training
over iterations and validation over epochs. ``scalars.json``, which :mod:`lors_det.reports.scalars` reads, is
mmengine's LocalVisBackend's and keeps mmengine's names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmdet.registry import VISBACKENDS
from mmengine.config import Config
from mmengine.visualization.vis_backend import (
    MLflowVisBackend,
    TensorboardVisBackend,
    WandbVisBackend,
    force_init_env,
)

from lors_det.errors import InputError
from lors_det.plugin.config.tracker_secrets import flat_values

MAX_PARAM = 500
"""Characters of a parameter's value that every MLflow server takes."""


def tracked_names(scalars: Mapping[str, Any], step: int) -> dict[str, Any]:
    """Scalars as they are logged, under names by which a tracker sorts them; what is no number is left out.

    Training's, which tell their iteration, become ``train/...``, a stage's losses ``train/s5/...``, those of the
    selection of queries ``train/selection/...``; an evaluation's become ``val/...`` without their metric's prefix.
    ``epoch`` and ``iter`` stay as they are, and an evaluation's ``step`` is its epoch.
    """
    training = "iter" in scalars
    named = {} if training else {"epoch": step}
    for name, value in scalars.items():
        if not isinstance(value, (int, float)) and not hasattr(value, "item"):
            continue
        if name in ("epoch", "iter"):
            named[name] = value
        elif training:
            named["train/" + re.sub(r"^(s\d+|selection)\.", r"\1/", name)] = value
        else:
            named[f"val/{name.removeprefix('coco/')}"] = value
    return named


@VISBACKENDS.register_module()
class TensorboardTracker(TensorboardVisBackend):
    """Scalars for ``tensorboard --logdir <work dir>``.

    Raises:
        InputError: if tensorboard is not installed.
    """

    def __init__(self, save_dir: str) -> None:
        _require("tensorboard", type(self).__name__)
        super().__init__(save_dir)

    @force_init_env
    def add_config(self, config: Config, **kwargs: Any) -> None:
        lines = config.pretty_text.splitlines()
        self.experiment.add_text("config", "\n".join(f"    {line}" for line in lines))  # indented: shown as code

    @force_init_env
    def add_scalars(self, scalar_dict: dict[str, Any], step: int = 0, file_path: str | None = None, **kw: Any) -> None:
        for name, value in tracked_names(scalar_dict, step).items():
            if name not in ("epoch", "iter"):
                self.experiment.add_scalar(name, value, step)


@VISBACKENDS.register_module()
class WandbTracker(WandbVisBackend):
    """Scalars and the config for Weights & Biases; ``wandb login`` or the environment holds the key.

    Code is sent only where ``log_code_name`` says so.

    Args:
        save_dir: set by the Runner; the run's files are beside ``scalars.json``.
        init_kwargs: of ``wandb.init``, such as ``dict(project="shapes")``.
        log_code_name: name under which the working folder's code is sent.

    Raises:
        InputError: if wandb is not installed.
    """

    def __init__(
        self, save_dir: str, init_kwargs: dict[str, Any] | None = None, log_code_name: str | None = None
    ) -> None:
        _require("wandb", type(self).__name__)
        over = [dict(name="train/*", step_metric="iter"), dict(name="val/*", step_metric="epoch")]
        super().__init__(save_dir, dict(init_kwargs or {}), over, log_code_name=log_code_name)

    @force_init_env
    def add_config(self, config: Config, **kwargs: Any) -> None:
        self.experiment.config.update(config.to_dict(), allow_val_change=True)
        if self._log_code_name is not None:
            self.experiment.run.log_code(name=self._log_code_name)

    @force_init_env
    def add_scalars(self, scalar_dict: dict[str, Any], step: int = 0, file_path: str | None = None, **kw: Any) -> None:
        self.experiment.log(tracked_names(scalar_dict, step))

    def close(self) -> None:
        if hasattr(self, "_wandb"):
            self._wandb.finish()


@VISBACKENDS.register_module()
class MLflowTracker(MLflowVisBackend):
    """Scalars, the config's values as parameters and its text for MLflow.

    The store is that of ``tracking_uri``, else of the environment's ``MLFLOW_TRACKING_URI``, else ``mlflow.db``
    beside ``scalars.json``. A server's user and password are the environment's ``MLFLOW_TRACKING_USERNAME`` and
    ``MLFLOW_TRACKING_PASSWORD``.

    Args:
        save_dir: set by the Runner.
        exp_name: the experiment. It is made where the store lacks it; MLflow's own "Default" keeps files in the folder
            where a run was started.
        run_name: the run, by default the work dir's and its time.
        tracking_uri: the store.

    Raises:
        InputError: if mlflow is not installed.
    """

    def __init__(
        self,
        save_dir: str,
        exp_name: str = "lors_det",
        run_name: str | None = None,
        tracking_uri: str | None = None,
    ) -> None:
        _require("mlflow", type(self).__name__)
        super().__init__(save_dir, exp_name, run_name, tracking_uri=tracking_uri)

    def _init_env(self) -> None:
        mlflow = import_module("mlflow")

        folder = Path(self._save_dir).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        uri = self._tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        mlflow.set_tracking_uri(uri or f"sqlite:///{folder / 'mlflow.db'}")
        if mlflow.get_experiment_by_name(self._exp_name) is None:
            # files of a store of the run's own are in the run's folder too
            mlflow.create_experiment(self._exp_name, None if uri else (folder / "mlflow_files").as_uri())
        mlflow.set_experiment(self._exp_name)
        mlflow.start_run(run_name=self._run_name or "/".join(folder.parts[-3:-1]))
        self._mlflow = mlflow

    @force_init_env
    def add_config(self, config: Config, **kwargs: Any) -> None:
        params = {_word(name): str(value)[:MAX_PARAM] for name, value in flat_values(config.to_dict(), "")}
        self.experiment.log_params(params)
        self.experiment.log_text(config.pretty_text, "config.py")

    @force_init_env
    def add_scalars(self, scalar_dict: dict[str, Any], step: int = 0, file_path: str | None = None, **kw: Any) -> None:
        named = tracked_names(scalar_dict, step)
        values = {_word(name): float(value) for name, value in named.items() if name not in ("epoch", "iter")}
        self.experiment.log_metrics(values, step)

    def close(self) -> None:
        if hasattr(self, "_mlflow"):
            self._mlflow.end_run()


def _word(name: str) -> str:
    """A name in the characters that MLflow takes."""
    return re.sub(r"[^\w\-./ ]", "_", name, flags=re.ASCII)


def _require(package: str, tracker: str) -> None:
    if find_spec(package) is None:
        raise InputError(
            f"{tracker} needs {package}, which is not installed: pip install {package}; "
            'or set in the config: visualizer = dict(vis_backends=[dict(type="LocalVisBackend")])'
        )
