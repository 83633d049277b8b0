"""What version 0.1.0 wrote: the names of its weights in their order, and what its decoders computed with them.

``tests/data/first_version.json`` was made by this file, run as a script on that version's own code:

    PYTHONPATH=FOLDER_OF_0.1.0 python tests/references/first_version.py > tests/data/first_version.json

A weight's value follows from its name in that version alone, so the file holds names and results and no weights.
"""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FILE = Path(__file__).parent.parent / "data/first_version.json"
SHAPE = dict(num_groups=2, num_points=4, num_out_points=8, dim=16, num_heads=2, ffn_dim=32)
RESIDUALS = dict(adaptive_rank=2, adaptive_groups=(1, 2, 3), static_rank=2)
LORS = dict(share=(0, 0, 0), **SHAPE, **RESIDUALS)
DECODERS = {
    "adamixer": dict(share=(0, 1, 2), **SHAPE),
    "lors": LORS,
    "grouped": {**LORS, "share": (0, 0, 1)},
    "own-bases": {**LORS, "share": (0, 1, 2)},
    "static-only": {**LORS, "adaptive_rank": 0, "adaptive_groups": None},
    "adaptive-only": {**LORS, "static_rank": 0},
    "shared-only": dict(share=(0, 0, 0), **SHAPE),
    "private-only": {**LORS, "share": (None, None, None)},
    "partly-private": {**LORS, "share": (0, None, 0)},
    "layers": {**LORS, "layer_rank": 2},
    "layers-grouped": {**LORS, "layer_rank": 2, "share": (0, 1, 0)},
}
NUM_CLASSES = 3
CONFIGS = {
    "lors": "shapes/lors-adamixer_r18-half_16-query_5e_shapes",
    "adamixer": "shapes/adamixer_r18-half_16-query_5e_shapes",
}


def noise(name: str, shape: tuple[int, ...]) -> Tensor:
    """A stream of NumPy's that no version changes, one a name; float64."""
    numbers = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    return torch.from_numpy(np.asarray(numbers))


def value(name: str, shape: tuple[int, ...]) -> Tensor:
    """Of the weight that 0.1.0 called so: far from any start, and no two alike."""
    return noise(name, shape) * 0.3 + float(name.endswith("norm.weight"))


def inputs() -> tuple[list[Tensor], Tensor, Tensor]:
    """Levels of a 64 x 64 input, content and positions of three queries; float64."""
    levels = [noise(f"level {s}", (1, SHAPE["dim"], 64 // s, 64 // s)) for s in (4, 8, 16, 32)]
    xyzr = torch.tensor([[[20.0, 30.0, 4.5, 0.3], [40.0, 25.0, 5.0, -0.4], [32.0, 32.0, 6.0, 0.0]]]).double()
    return levels, noise("content", (1, 3, SHAPE["dim"])), xyzr


def main() -> None:
    """Write the file; needs version 0.1.0."""
    from mmdet.registry import MODELS

    import lors_det
    from lors_det.adamixer import Decoder, QueryState
    from lors_det.plugin.config.reading import load_config

    found: dict[str, Any] = {"decoders": {}, "models": {}}
    levels, content, xyzr = inputs()
    for variant, arguments in DECODERS.items():
        decoder = Decoder(NUM_CLASSES, **arguments).double()
        shapes = {name: tuple(weight.shape) for name, weight in decoder.state_dict().items()}
        decoder.load_state_dict({name: value(name, shape) for name, shape in shapes.items()})
        with torch.no_grad():
            outputs = decoder(levels, QueryState(content, xyzr))
        results = [torch.cat([output.logits, output.boxes_xyxy], dim=-1)[0].tolist() for output in outputs]
        found["decoders"][variant] = {"shapes": shapes, "outputs": results}
    configs = Path(lors_det.__file__).parents[1] / "configs"
    for name, path in CONFIGS.items():
        model = MODELS.build(load_config(configs / f"{path}.py", {"model.bbox_head.num_classes": 6}).model)
        parameters = [each for each, _ in model.named_parameters()]
        found["models"][name] = {"state": list(model.state_dict()), "parameters": parameters}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
