"""The tables of docs/ablations.md are what ``compare`` prints."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest
import torch

from lors_det.cli import compare
from lors_det.plugin.config.reading import load_config
from lors_det.reports.accounting import count_parameters
from lors_det.reports.comparison import find_configs

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/ablations.md").read_text()
COMMANDS = {
    Path(command.split()[0]).name: shlex.split(command)
    for command in re.findall(r"^lors-det compare (configs/ablations/\w+(?: [^#\n]*)?)\n```", TEXT, re.MULTILINE)
}
"""Words of the command above each table, by its folder's name."""

NUM_CLASSES = {"coco": 80, "shapes": 6, "bccd": 3}
COUNTED = {"coco": ["lors", "adamixer", "plus"], "shapes": ["lors", "2-stages"], "bccd": ["lors", "adamixer-g8-p5"]}
"""Rows whose arithmetic is counted again, and with it every column."""


@pytest.fixture(autouse=True)
def _without_data(monkeypatch, tmp_path) -> None:
    """Where no data is, a model may have any number of classes."""
    monkeypatch.chdir(tmp_path)


def arguments(dataset: str, *configs: str) -> argparse.Namespace:
    """Of the command in the text, of these configs of its folder, or of all of it, and without runs."""
    parser = argparse.ArgumentParser()
    compare.add_arguments(parser)
    classes = f"model.bbox_head.num_classes={NUM_CLASSES[dataset]}"
    args = parser.parse_args([*COMMANDS[dataset], "--cfg-options", classes])
    (folder,) = args.configs
    args.configs = [str(ROOT / folder / f"{name}.py") for name in configs] or [str(ROOT / folder)]
    args.runs = None
    return args


def documented(dataset: str) -> list[list[str]]:
    """Cells of the table after the folder's command, a row of names first."""
    after = TEXT.split(f"lors-det compare configs/ablations/{dataset}")[-1]
    lines = re.search(r"(^\|.*\n)+", after, re.MULTILINE)[0].splitlines()
    return [line.strip("| ").split(" | ") for line in (lines[0], *lines[2:])]


@pytest.mark.parametrize("dataset", NUM_CLASSES)
def test_parameters_of_every_row(dataset):
    head, *rows = documented(dataset)
    args = arguments(dataset)
    configs = find_configs(args.configs)
    assert [row[0] for row in rows] == [path.stem for path in configs.values()]
    columns = {"shared": "shared", "private mixing": "private_mixing", "other, per stage": "per_stage"}
    for row, path in zip(rows, configs.values()):
        with torch.device("meta"):
            counts = count_parameters(load_config(path, args.cfg_options))
        for column, part in {**columns, "decoder": "decoder"}.items():
            assert row[head.index(column)] == f"{counts[part]:,}", (row[0], column)


@pytest.mark.parametrize("dataset", NUM_CLASSES)
def test_the_command_prints_the_columns_of_size(dataset, capsys):
    with torch.device("meta"):
        compare.main(arguments(dataset, *COUNTED[dataset]))
    head, _, *rows = (line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines())
    table = {row[0]: row for row in documented(dataset)}
    assert head == table["model"][: len(head)]
    assert rows == [table[name][: len(head)] for name in COUNTED[dataset]]
