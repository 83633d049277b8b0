"""Check a config without training.

lors-det check-config CONFIG

Prints what the config changes of its bases and what model it describes, builds everything that it names, and holds
queries, stages, K, ranks, sharing and schedule against each other. What keeps a run from working ends it with exit
status 2; what merely looks wrong is listed.
"""

from __future__ import annotations

import io
from argparse import ArgumentParser, Namespace
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lors_det.cli.shared import ConfigOptions
from lors_det.data.words import counted

if TYPE_CHECKING:
    from mmengine.config import Config


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("config", help="config file")
    parser.add_argument("--cfg-options", nargs="+", action=ConfigOptions, help="override values of the config")


def main(args: Namespace) -> None:
    from lors_det.plugin.config.reading import read_config
    from lors_det.plugin.config.stand_in import load_without_data
    from lors_det.reports.config_check import check_config

    stands_in: list[str] = []
    cfg = load_without_data(args.config, args.cfg_options, say=stands_in.append)
    console = Console(width=140)
    console.print(changes(read_config(args.config, args.cfg_options)), highlight=False)
    with redirect_stdout(io.StringIO()):  # pycocotools tells of its index
        notes = [*stands_in, *check_config(cfg)]
    console.print(facts(cfg), highlight=False)
    for note in notes:
        print(f"note: {note}")
    print(f"{args.config}: {f'to note: {len(notes)}' if notes else 'nothing looks wrong'}")


def changes(cfg: Config) -> Table:
    """What the config and its options change of the bases."""
    from lors_det.reports.config_difference import differences

    table = Table(title="What it changes", title_justify="left")
    for column in ("key", "bases", "here"):
        table.add_column(column, overflow="fold")
    for row in differences(Path(cfg.filename), cfg):
        table.add_row(*(Text(str(value)) for value in row))
    return table


def facts(cfg: Config) -> Table:
    """The model and its schedule in short."""
    head, decoder = cfg.model.bbox_head, cfg.model.bbox_head.decoder
    rows = {
        "classes, queries": f"{head.num_classes}, {head.num_queries}",
        "stages, base of each": f"{len(decoder.share)}, {tuple(decoder.share)}",
        "adaptive residuals": f"rank {decoder.get('adaptive_rank', 0)}, K {decoder.get('adaptive_groups')}",
        "static residuals": f"rank {decoder.get('static_rank', 0)}; of other layers {decoder.get('layer_rank', 0)}",
        "work dir": cfg.work_dir,
    }
    if cfg.get("train_cfg"):
        accumulated = cfg.optim_wrapper.get("accumulative_counts", 1)
        size = cfg.train_dataloader.get("batch_size")
        batch = counted(size, "image") if size else "chosen from the data"
        meant_for = (cfg.get("auto_scale_lr") or {}).get("base_batch_size")
        rows |= {
            "length": _length(cfg),
            "batch of a process": f"{batch} x {accumulated} accumulated",
            "learning rate": f"{cfg.optim_wrapper.optimizer.get('lr')}, for {meant_for} images a step",
        }
    table = Table(title="What it is", title_justify="left", show_header=False)
    for name, value in rows.items():
        table.add_row(name, Text(str(value)))  # a path may look like rich's markup
    return table


def _length(cfg: Config) -> str:
    """That of the training, in words."""
    loop = cfg.train_cfg
    if loop.get("max_iters"):
        return counted(loop.max_iters, "step")
    return counted(loop.max_epochs, "epoch") if loop.get("max_epochs") else "chosen from the data"
