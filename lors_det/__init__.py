"""LORS-AdaMixer object detection for MMDetection 3.x.

Importing this package registers nothing; ``lors_det.plugin`` registers the models, datasets and hooks.
``lors_det.train`` and ``lors_det.Detector``, which need it, are imported when they are first used.

Symbols used in every docstring:

======  =====================================================================
B       images of a batch
Q       queries of an image
S       decoder stages; i counts them
D       width of a query (256)
G       channel groups; g counts them
C       channels of a group, D / G
P       points that a group samples
O       output points of the spatial mixing
R       rank of a residual
K       parameter groups of a residual (of stage i); k counts them
L       pyramid levels; level l has stride s_l, height H_l and width W_l
N       classes
T       any leading dimensions, flattened (B * Q where nothing else is said)
xyxy    box corners (x1, y1, x2, y2), pixels of the network's input
xyzr    box as centre (x, y) in pixels, z = log2 sqrt(w h), r = log2(h / w)
======  =====================================================================

Papers: LORS, "Low-rank Residual Structure for Parameter-Efficient Network Stacking" (CVPR 2024), and
AdaMixer, "A Fast-Converging Query-Based Object Detector" (CVPR 2022).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lors_det.inference import Detections, Detector
    from lors_det.training import TrainingResult, train

__version__ = "0.2.0.dev0"
__all__ = ["Detections", "Detector", "TrainingResult", "__version__", "train"]

_ROOMS = {"Detections": "inference", "Detector": "inference", "TrainingResult": "training", "train": "training"}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
