"""Evaluate a checkpoint.

lors-det test CONFIG CHECKPOINT [--out predictions.pkl] [--show-dir pictures] [--tta]
lors-det test CONFIG CHECKPOINT --split val
lors-det test CONFIG CHECKPOINT --data DIR
lors-det test work_dirs/NAME/CHECKPOINT    (by the config that the training left there, or that the checkpoint carries)
"""

from __future__ import annotations

import warnings
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from lors_det.cli import shared
from lors_det.errors import InputError
from lors_det.files import check_place, short_path

if TYPE_CHECKING:
    from mmengine.config import Config


OPTIONAL_FIRST = True


def add_arguments(parser: ArgumentParser) -> None:
    shared.common_arguments(
        parser, without_config="the one that the training left beside the checkpoint, else the one that it carries"
    )
    parser.add_argument("checkpoint", help="checkpoint file")
    parser.add_argument(
        "--data", type=shared.named, metavar="DIR", help="folder of images and annotations, not the config's"
    )
    parser.add_argument(
        "--split",
        choices=("val", "test"),
        default="test",
        help="%(default)s by default; of a folder of --data without it val, and without that all images",
    )
    parser.add_argument("--out", help="write the predictions to this pickle file")
    parser.add_argument("--show", action="store_true", help="show the predictions in a window")
    parser.add_argument("--show-dir", help="write pictures of the predictions into this folder of the work dir")
    parser.add_argument("--wait-time", type=float, default=2, help="seconds between pictures of --show; %(default)s")
    parser.add_argument("--tta", action="store_true", help="test-time augmentation: merge with the flipped image")
    shared.trust_argument(parser)
    shared.console_arguments(parser)


def main(args: Namespace) -> None:
    if args.out:
        check_place(Path(args.out), ".pkl", ".pickle")
    if args.config is None and Path(args.checkpoint).suffix == ".py":
        raise InputError(f"{args.checkpoint} is a config; name a checkpoint after it: test CONFIG CHECKPOINT")

    from lors_det.plugin.config.chosen import check_chosen
    from lors_det.plugin.config.data import augment_test_time, evaluators_of
    from lors_det.plugin.config.reading import load_config
    from lors_det.plugin.saving.safe_loading import trust
    from lors_det.plugin.screen.console import make_runner
    from lors_det.training.config_to_test import config_to_test
    from lors_det.training.folder_to_test import folder_to_test
    from lors_det.training.launch import launch
    from lors_det.training.resuming import former_run

    if args.trust_checkpoint:
        trust(args.checkpoint)
    is_here = "://" not in args.checkpoint
    if args.config is None and not is_here:
        raise InputError(f"{args.checkpoint} is no file of this machine; name its config: test CONFIG CHECKPOINT")
    # what the config leaves to the data was chosen by the training, not by the data of this test
    trained = former_run(args.checkpoint, "") if is_here else None
    before = trained.config if trained else None
    config = args.config or config_to_test(args.checkpoint, before, trust=args.trust_checkpoint)
    data = None
    if args.data:
        data = folder_to_test(args.data, args.split, trained, quiet=args.console == "quiet")
    place = f"data_tested/{data.called}" if data else ""  # beside the training's own annotations, not over them
    cfg = load_config(config, args.cfg_options, args.work_dir, data=data, data_notes=place, before=before)
    check_chosen(cfg, training=False)
    if args.split == "val":
        if not cfg.get("val_dataloader"):
            raise InputError(f"--split val: config {cfg.filename} has no val_dataloader")
        cfg.test_dataloader, cfg.test_evaluator = cfg.val_dataloader, cfg.val_evaluator
    elif not cfg.get("test_dataloader"):
        raise InputError(f"config {cfg.filename} has no test_dataloader; --split val evaluates its val_dataloader")
    launch(cfg, args.launcher, args.local_rank)
    cfg.load_from = args.checkpoint
    cfg.resume = False
    if args.show or args.show_dir:
        warnings.filterwarnings("ignore", r"Warning: The (bbox|polygon|text) is out of bounds")  # at an image's edge
        drawing = dict(draw=True, show=args.show, wait_time=args.wait_time, test_out_dir=args.show_dir)
        hook = cfg.default_hooks.get("visualization") or dict(type="DetVisualizationHook")
        cfg.default_hooks.visualization = {**hook, **drawing}
    if args.tta:
        augment_test_time(cfg)
    if args.out:
        cfg.test_evaluator = [*evaluators_of(cfg, "test"), dict(type="DumpDetResults", out_file_path=args.out)]
    runner = make_runner(renamed(cfg), args.console)
    runner.test()
    if runner.rank == 0:
        if args.out:
            print(f"predictions: {args.out}")
        if args.show_dir:
            print(f"pictures: {short_path(Path(runner.work_dir, runner.timestamp, args.show_dir))}")


def renamed(cfg: Config) -> Config:
    """The config, which the Runner then writes as ``<config>_test.py``: ``<config>.py`` is what was trained."""
    from mmengine.config import Config

    path = Path(cfg.filename)
    return Config(cfg._cfg_dict, cfg_text=cfg.text, filename=str(path.with_name(f"{path.stem}_test{path.suffix}")))
