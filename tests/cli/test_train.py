"""The command-line tools, as a user runs them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch
from mmengine.fileio import load
from references.tiny import ADAMIXER, make_data, write_config

from lors_det.cli import run

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def command(root: Path, tool: str, *args: object) -> list[str]:
    return [sys.executable, str(root / "tools" / tool), *map(str, args)]


def call(root: Path, tool: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(root, tool, *args), capture_output=True, text=True, env=ENVIRONMENT, timeout=300)


def metrics(work_dir: Path) -> dict[str, float]:
    """What the latest evaluation wrote."""
    return json.loads(max(work_dir.glob("*/*.json"), key=lambda path: path.stat().st_mtime).read_text())


@pytest.fixture(scope="module")
def config(data, tmp_path_factory) -> Path:
    """A tiny config whose validation also writes its predictions beside it."""
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    score = dict(type="CocoMetric", ann_file=str(data / "annotations/val.json"), metric="bbox")
    dump = dict(type="DumpDetResults", out_file_path=str(path.with_name("validation.pkl")))
    return write_config(path, data, val_evaluator=[score, dump])


@pytest.fixture(scope="module")
def interrupted(root, config, tmp_path_factory) -> Path:
    """The work dir of a run that Ctrl-C ended after its first checkpoint, and that was then resumed to its end."""
    work_dir = tmp_path_factory.mktemp("run")
    stopped = config.with_name("interrupted.py")
    stopped.write_text(
        f'_base_ = ["{config}"]\n'
        'custom_imports = dict(imports=["lors_det.plugin", "references.interrupt"])\n'
        'custom_hooks = [dict(type="InterruptHook", at=3)]\n'
    )
    environment = {**ENVIRONMENT, "PYTHONPATH": str(root / "tests")}
    words = command(root, "train.py", stopped, "--work-dir", work_dir)
    # a shell that runs the tests in the background makes its children ignore Ctrl-C, and theirs
    heed = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=300, preexec_fn=heed)
    log = done.stdout + done.stderr
    assert done.returncode == 130, log
    assert f"go on from the last checkpoint, {work_dir / 'epoch_1.pth'}" in log
    assert "Traceback" not in log
    assert (work_dir / "epoch_1.pth").is_file()
    assert not (work_dir / "epoch_2.pth").exists()
    resumed = call(root, "train.py", config, "--work-dir", work_dir, "--resume", "--verbose")
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed epoch: 1" in resumed.stdout + resumed.stderr
    epochs = re.findall(r"Epoch\(train\)\s+\[(\d+)\]", resumed.stdout + resumed.stderr)
    assert set(epochs) == {"2", "3"}
    return work_dir


def test_training_goes_on_after_ctrl_c(interrupted):
    last = torch.load(interrupted / "epoch_3.pth", weights_only=True)
    assert last["meta"]["epoch"] == 3
    steps = {int(state["step"]) for state in last["optimizer"]["state"].values()}
    assert steps == {6}  # three epochs of two steps: none lost, none done twice


def test_what_a_cluster_asked_to_end_says_how_to_go_on(root, config, tmp_path):
    ended = tmp_path / "ended.py"
    ended.write_text(
        f'_base_ = ["{config}"]\n'
        'custom_imports = dict(imports=["lors_det.plugin", "references.interrupt"])\n'
        'custom_hooks = [dict(type="InterruptHook", at=2, name="SIGTERM")]\n'
        "train_cfg = dict(val_interval=3)\n"  # the predictions of a validation are another test's
        'param_scheduler = [dict(type="LinearLR", start_factor=0.01, by_epoch=False, end=50)]\n'
    )
    environment = {**ENVIRONMENT, "PYTHONPATH": str(root / "tests")}
    words = command(root, "train.py", ended, "--work-dir", tmp_path / "run")
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 143, done.stderr
    written = tmp_path / "run/iter_3.pth"
    assert f"ended, as SIGTERM asks; go on from the last checkpoint, {written}, with --resume" in done.stderr
    assert "Traceback" not in done.stderr
    assert torch.load(written, weights_only=True)["meta"]["epoch_iter"] == 1
    assert "warning: param_scheduler.0.end is 50, and one process trains 6 steps in all" in done.stderr


def same_predictions(left: Path, right: Path) -> bool:
    pairs = zip(load(left), load(right), strict=True)
    return all(
        torch.equal(a["pred_instances"][name], b["pred_instances"][name])
        for a, b in pairs
        for name in ("bboxes", "scores", "labels")
    )


def test_evaluation_repeats_the_last_validation_of_training(config, interrupted, tmp_path):
    out, earlier = tmp_path / "predictions.pkl", tmp_path / "earlier.pkl"
    for epoch, path in ((3, out), (1, earlier)):
        places = ["--work-dir", str(tmp_path), "--out", str(path)]
        run("test", [str(config), str(interrupted / f"epoch_{epoch}.pth"), *places])
    assert len(load(out)) == 8
    assert same_predictions(out, config.with_name("validation.pkl"))
    assert not same_predictions(out, earlier)

    heights = []
    for command, *words in (
        ("draw-sheet", config, out),
        ("draw-sheet", "--num-images", "1", config, out),
        ("choose-threshold", config, out, "--out"),
        ("plot-curves", interrupted),
    ):
        picture = tmp_path / "drawn.png"
        run(command, [*map(str, words), str(picture)])
        image = cv2.imread(str(picture))
        picture.unlink()
        assert image.shape[1] > 400
        assert image.std() > 10
        heights.append(image.shape[0])
    assert heights[0] > 2 * heights[1]


def test_pictures_of_a_test(config, interrupted, tmp_path):
    """One of each image, with what was detected beside the truth."""
    words = [str(config), str(interrupted / "epoch_3.pth"), "--work-dir", str(tmp_path), "--show-dir", "drawn"]
    run("test", words)
    assert len(list(tmp_path.glob("*/drawn/*.jpg"))) == 8


def test_test_time_augmentation(config, interrupted):
    """In the work dir of the training, whose config stays what was trained."""
    trained = (interrupted / config.name).read_text()
    run("test", [str(config), str(interrupted / "epoch_3.pth"), "--work-dir", str(interrupted), "--tta"])
    assert "coco/bbox_mAP" in metrics(interrupted)
    assert (interrupted / config.name).read_text() == trained
    assert "DetTTAModel" in (interrupted / f"{config.stem}_test.py").read_text()


def test_learning_rate_scales_with_the_batch(config, tmp_path, capfd):
    options = ["train_cfg.max_epochs=1", "auto_scale_lr.base_batch_size=16", "default_hooks.checkpoint.interval=-1"]
    words = ["--work-dir", str(tmp_path), "--auto-scale-lr", "--verbose", "--cfg-options", *options]
    run("train", [str(config), *words])
    assert "Scaling the original LR by 0.5" in "".join(capfd.readouterr())


def failed(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a user's mistake ends with."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_a_mistake_ends_with_one_line(root, data, interrupted, tmp_path):
    """As a process; of which mistakes, tests/cli/test_bad_input.py has a table."""
    checkpoint = interrupted / "epoch_3.pth"
    other = write_config(tmp_path / "other.py", data, ADAMIXER)
    assert "another model" in failed(call(root, "test.py", other, checkpoint, "--work-dir", tmp_path))


def test_an_undecodable_image_is_named_from_a_worker(root, tmp_path):
    data = make_data(tmp_path / "shapes")
    broken = sorted((data / "train").glob("*"))[5]
    broken.write_bytes(b"not an image")
    config = write_config(tmp_path / "broken.py", data, **{"train_dataloader.num_workers": 1})
    done = call(root, "train.py", config, "--work-dir", tmp_path / "run")
    line = failed(done)
    assert line.startswith("error: image ")
    assert f"{broken.name} cannot be decoded" in line


def test_resume_without_a_checkpoint_says_so(config, tmp_path, capfd):
    run("train", [str(config), "--work-dir", str(tmp_path), "--resume", "--cfg-options", "train_cfg.max_epochs=1"])
    assert f"{tmp_path} holds no checkpoint, so this starts from the beginning" in capfd.readouterr().err


def test_mmdets_inferencer_takes_our_checkpoints(root, interrupted, config, data, tmp_path):
    """By the lines of the README, in a process of their own."""
    readme = (root / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(import lors_det\.plugin\n.*?)```", readme, re.DOTALL)
    names = {
        "work_dirs/NAME/CONFIG.py": interrupted / config.name,
        "work_dirs/NAME/CHECKPOINT.pth": interrupted / "epoch_3.pth",
        "IMAGE.jpg": sorted((data / "val").glob("*"))[0],
    }
    for name, path in names.items():
        assert name in lines
        lines = lines.replace(name, str(path))
    shown = "import json\nprint(json.dumps([detections['scores'], detections['bboxes']]))\n"
    done = subprocess.run(
        [sys.executable, "-c", lines + shown],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    scores, boxes = json.loads(done.stdout.strip().splitlines()[-1])
    assert len(scores) == len(boxes) == 8
    assert scores == sorted(scores, reverse=True)
