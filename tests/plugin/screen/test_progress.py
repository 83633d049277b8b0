"""What a person sees of a run: short lines on the console, all the rest in the log's file."""

from __future__ import annotations

import io
import logging
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from references.tiny import tiny_config
from rich.console import Console

from lors_det.plugin.screen import console as console_module
from lors_det.plugin.screen.console import ConsoleHandler, ConsoleRunner, make_runner, printed_to_log
from lors_det.plugin.screen.live_screen import LiveLine, LiveScreen
from lors_det.plugin.screen.screens import HEADER_WIDTH, LINE_WIDTH, PlainScreen, screen_for
from lors_det.plugin.screen.words import (
    Moment,
    Word,
    classes_lines,
    duration,
    fitting,
    numbers,
    plain_line,
    score,
    scores_line,
    short,
)
from lors_det.reports.scalars import read_scalars

MOMENT = Moment(
    phase="train",
    step=20,
    num_steps=56,
    epoch=3,
    num_epochs=60,
    loss=12.3142,
    stage_losses={"cls": 1.0, "bbox": 0.5, "iou": 0.25},
    rate=5e-4,
    seconds=0.41,
    eta=252.0,
    ap=0.312,
    best=0.32,
)
LONG = replace(MOMENT, step=99_999, num_steps=100_000, epoch=299, num_epochs=300, data_share=0.5, eta=400_000.0)
SCORES = {
    "coco/bbox_mAP": 0.312,
    "coco/bbox_mAP_50": 0.54,
    "coco/bbox_mAP_75": 0.3,
    "coco/bbox_mAP_s": -1.0,
    "coco/bbox_mAP_m": 0.2,
    "coco/bbox_mAP_l": 0.4,
}
CLASSES = {f"coco/{name}_precision": 0.1 for name in ("ant", "wine glass", "bee")}


def test_numbers_are_short():
    assert [score(value) for value in (0.3124, 0.0, 1.0, -1.0, float("nan"))] == [".312", ".000", "1.000", "-", "-"]
    assert [duration(value) for value in (7.4, 252, 3852)] == ["0:07", "4:12", "1:04:12"]
    assert [short(value) for value in (12.314, 1234.5, 0.00123, 0.0)] == ["12.31", "1234", "1.2e-03", "0.00"]
    assert short(float("nan")) == "nan", "a loss that diverged is seen"


@pytest.mark.parametrize("width", [10, 20, 40, 80])
def test_what_does_not_fit_goes_by_its_rank(width):
    words = [Word("first", 0), Word("w" * 9, 3), Word("x" * 9, 1), Word("y" * 9, 2)]
    kept = fitting(words, width)
    assert len("  ".join(kept)) <= width
    assert kept[0] == "first"
    ranks = [word.rank for word in words if word.text in kept]
    assert sorted(ranks) == list(range(len(ranks))), "one of a low rank went before one of a high rank"


def test_a_line_of_a_log():
    line = plain_line(MOMENT, LINE_WIDTH)
    assert line.startswith("epoch  3/60  step 20/56  loss 12.31 (last: cls 1.00 bbox 0.50 iou 0.25)")
    assert "ETA 4:12" in line
    assert "AP .312" in line
    assert len(plain_line(LONG, LINE_WIDTH)) <= LINE_WIDTH


def test_waiting_for_data_is_told_when_it_is_long():
    told = {
        share: [word.text for word in numbers(replace(MOMENT, data_share=share), stages=False)] for share in (0.1, 0.5)
    }
    assert "data 50%" in told[0.5]
    assert not any(text.startswith("data") for text in told[0.1])


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("moment", [MOMENT, LONG, Moment("val", 3, 8, 3, 60, eta=2.0), Moment("test", 3_000, 5_000)])
def test_the_live_line_is_one_line_of_the_terminal(width, moment):
    file = io.StringIO()
    Console(file=file, force_terminal=True, width=width, color_system=None).print(LiveLine(moment))
    (line,) = file.getvalue().rstrip("\n").split("\n")
    assert len(line.rstrip()) < width
    assert f"{moment.step}/{moment.num_steps}" in line
    assert "━" in line


def test_scores_in_a_line():
    assert scores_line(SCORES) == "AP .312  AP50 .540  AP75 .300  small -  medium .200  large .400"
    assert scores_line({"voc/mAP": 0.5, "note": "x"}) == "voc/mAP 0.50"
    lines = classes_lines({**SCORES, **CLASSES}, 40)
    assert all(len(line) <= 40 for line in lines)
    assert re.findall(r"(ant|bee|wine glass) +\.100", " ".join(lines)) == ["ant", "wine glass", "bee"]
    assert classes_lines(SCORES, 40) == []


def test_a_terminal_is_left_as_it_was():
    file, streams = io.StringIO(), (sys.stdout, sys.stderr)
    screen = LiveScreen(Console(file=file, force_terminal=True, width=80))
    screen.header("tiny", {"model": "of some size"})
    screen.moment(MOMENT, logged=False)
    assert file.getvalue().count("\x1b[?25l") == 1
    screen.validated(MOMENT, {**SCORES, **CLASSES}, 1.0, 60.0)
    screen.close()
    screen.close()
    assert file.getvalue().count("\x1b[?25h") == 1, "the cursor is shown again"
    assert (sys.stdout, sys.stderr) == streams
    assert ".540" in file.getvalue()


def test_a_heading_stands_above_the_first_validation_alone():
    file = io.StringIO()
    screen = LiveScreen(Console(file=file, force_terminal=True, width=80, color_system=None))
    for epoch in (1, 2):
        screen.validated(replace(MOMENT, epoch=epoch, is_best=epoch == 1), SCORES, 1.0, 60.0)
    heading, first, second = file.getvalue().splitlines()
    assert heading.split() == ["epoch", "loss", "AP", "AP50", "AP75", "small", "medium", "large", "time"]
    assert first.split() == ["1", "12.31", ".312", ".540", ".300", "-", ".200", ".400", "1:00", "best"]
    assert second.split()[-1] == "1:00"
    assert heading.index("AP") + 2 == first.index(".312") + 4, "columns end where their headings end"


def test_a_pipe_gets_plain_lines(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert isinstance(screen_for(quiet=False), PlainScreen)


class Spoken:
    """Console of a run, and what it left."""

    def __init__(self, out: str, err: str, work_dir: Path) -> None:
        self.lines = out.splitlines()
        self.err = err
        (log,) = work_dir.glob("*/*.log")
        self.log = log.read_text()
        self.work_dir = work_dir


class Interrupt(Hook):
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        raise KeyboardInterrupt


def run(data: Path, work_dir: Path, level: str, capsys, **changes: object) -> Spoken:
    options = {"train_cfg.max_epochs": 2, "default_hooks.checkpoint.interval": -1, **changes}
    cfg = tiny_config(data, work_dir, **options)
    cfg.experiment_name = f"{work_dir.parent.name}_{level}"  # mmengine's loggers go by it
    capsys.readouterr()
    make_runner(cfg, level).train()
    return Spoken(*capsys.readouterr(), work_dir)


def test_a_run_says_little_and_logs_all(data, tmp_path, capsys, monkeypatch):
    width = 150  # with room for the wait for data, which a busy machine tells in place of the rate
    monkeypatch.setattr("lors_det.plugin.screen.screens.LINE_WIDTH", width)
    changes = {"val_evaluator.classwise": True, "model.test_cfg": dict(max_per_img=5)}
    spoken = run(data, tmp_path / "run", "short", capsys, **changes)
    assert spoken.lines[0] == "lors-adamixer_r18-half_16-query_5e_shapes"
    header = {line.split()[0]: line for line in spoken.lines[1:8]}
    assert "parameters, 8 queries" in header["model"], "of which 5 detections are kept"
    assert "4 stages on 1 set of weights" in header["decoder"]
    assert "train 16 images, val 8 images" in header["data"]
    assert "2 epochs of 2 steps, batch 8, AdamW lr 5.0e-04" in header["schedule"]
    steps = [line for line in spoken.lines if "  step " in line]
    assert len(steps) == 4
    assert all(len(line) <= width for line in spoken.lines[8:])
    assert all(len(header[name]) <= HEADER_WIDTH for name in ("model", "decoder", "data", "schedule"))
    train, val = read_scalars(spoken.work_dir)
    assert f"lr {train[-1]['lr']:.1e}" in steps[-1]
    last = max(name for name in train[0] if re.match(r"s\d+\.loss_cls", name))
    assert f"(last: cls {short(train[0][last])} " in steps[0]
    assert len([line for line in spoken.lines if " validated  AP " in line]) == len(val) == 2
    assert any(line.startswith("  disc ") for line in spoken.lines)
    for noise in ("System environment", "Hooks will be executed", "Epoch(train)", "creating index", "Average Prec"):
        assert not any(noise in line for line in spoken.lines), noise
        assert noise in spoken.log, noise
    trained = next(spoken.work_dir.glob("*.py")).read_text()
    assert "ProgressHook" not in trained, "how a run is shown is no part of what was trained"


def test_a_quiet_run_says_a_line_for_each_validation(data, tmp_path, capsys):
    spoken = run(data, tmp_path / "run", "quiet", capsys, **{"val_evaluator.classwise": True})
    assert len(spoken.lines) == 2
    assert all(re.match(r"epoch \d/2  validated  AP ", line) for line in spoken.lines)
    assert "Epoch(train)" in spoken.log


def test_lines_of_a_pipe_begin_with_the_first_step(capsys):
    """And go on at the log's interval: on a slow machine that is minutes away. The first tells no end."""
    screen = PlainScreen(quiet=False)
    for step in range(1, 5):
        screen.moment(replace(MOMENT, step=step), logged=step == 3)
    first, third = capsys.readouterr().out.splitlines()
    assert f"step {'1':>{len(str(MOMENT.num_steps))}}/" in first
    assert "ETA" not in first
    assert f"step {'3':>{len(str(MOMENT.num_steps))}}/" in third
    assert "ETA" in third
    PlainScreen(quiet=True).moment(MOMENT, logged=True)
    assert not capsys.readouterr().out


def test_ctrl_c_closes_the_screen(data, tmp_path, monkeypatch):
    closed = []
    screen = PlainScreen(quiet=True)
    monkeypatch.setattr(screen, "close", lambda: closed.append(True))
    monkeypatch.setattr(console_module, "screen_for", lambda quiet: screen)
    cfg = tiny_config(data, tmp_path / "run")
    cfg.experiment_name = tmp_path.name
    runner = make_runner(cfg)
    runner.register_hook(Interrupt())
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    assert closed


def test_a_process_that_is_not_the_first_says_nothing(data, tmp_path, monkeypatch):
    monkeypatch.setattr(ConsoleRunner, "rank", property(lambda self: 1))
    cfg = tiny_config(data, tmp_path / "run")
    cfg.experiment_name = tmp_path.name
    runner = make_runner(cfg)
    assert runner.screen is None


def test_levels_are_checked(data, tmp_path):
    with pytest.raises(ValueError, match="choose from short, quiet, verbose"):
        make_runner(tiny_config(data, tmp_path / "run"), "loud")


def logger_with(handler: logging.Handler) -> logging.Logger:
    logger = logging.Logger("test")
    logger.addHandler(handler)
    return logger


@pytest.mark.parametrize("quiet", [False, True])
def test_of_the_log_warnings_are_shown_and_what_the_package_says(capsys, quiet):
    logger = logger_with(ConsoleHandler(logging.StreamHandler(), quiet=quiet))
    logger.info("said by a test")
    exec(compile("log('said by the package')", "x", "exec"), {"__name__": "lors_det.plugin.x", "log": logger.info})
    logger.warning("look here")
    logger.warning('"FileClient" will be deprecated in future')
    out, err = capsys.readouterr()
    assert out == ("" if quiet else "said by the package\n")
    assert err == "warning: look here\n"


def test_what_is_printed_goes_to_the_log_and_what_is_said_to_the_console(capsys):
    file = io.StringIO()
    logger = logger_with(ConsoleHandler(logging.StreamHandler(), quiet=False))
    logger.addHandler(logging.StreamHandler(file))
    say = {"__name__": "lors_det.plugin.x", "log": logger.info}
    with printed_to_log(logger):
        print("creating index...")
        exec(compile("log('loaded')", "x", "exec"), say)
    assert capsys.readouterr().out == "loaded\n"
    assert file.getvalue().splitlines() == ["loaded", "creating index..."]
