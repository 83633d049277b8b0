"""The first command of the README, on less data."""

from __future__ import annotations

import re
from pathlib import Path

from lors_det.cli import demo, run

LESS = {
    "make-shapes": ["--num-train", "16", "--num-val", "8", "--image-size", "64"],
    "train": ["--epochs", "1", "--cfg-options", "train_dataloader.num_workers=0", "val_dataloader.num_workers=0"],
}


def test_the_demo_ends_with_a_figure_and_two_pictures(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "_call", lambda name, *words: run(name, [*map(str, words), *LESS.get(name, [])]))
    run("demo", ["--work-dir", "run"])
    last = capfd.readouterr().out.strip().splitlines()[-1]
    found = re.fullmatch(r"demo: coco/bbox_mAP=0\.\d{3} pictures: (\S+\.png) (\S+\.png)", last)
    assert found, last
    assert all(Path(picture).stat().st_size > 10_000 for picture in found.groups())
