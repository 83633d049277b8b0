"""Runners of one process that have nothing in common."""

from __future__ import annotations

import warnings
from typing import Any

from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import nn


class OwnRunner(Runner):
    """A Runner whose scalars are its own: of a name, mmengine has one visualizer in a process, the first.

    Its config is written when it begins: what is refused before leaves that of an earlier run as it is.
    """

    def dump_config(self) -> None:
        """Nothing yet, see above."""

    def train(self) -> nn.Module:
        super().dump_config()
        return super().train()

    def val(self) -> dict[str, float]:
        super().dump_config()
        return super().val()

    def test(self) -> dict[str, float]:
        super().dump_config()
        return super().test()

    def build_visualizer(self, visualizer: Any = None) -> Visualizer:
        if isinstance(visualizer, dict):
            visualizer = {**visualizer, "name": self.log_dir}  # where it writes: no two runs share it
        return super().build_visualizer(visualizer)

    def wrap_model(self, model_wrapper_cfg: Any, model: nn.Module) -> nn.Module:
        with warnings.catch_warnings():
            # what newer versions of torch say of mmengine's own call, in every process
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            return super().wrap_model(model_wrapper_cfg, model)
