"""The package as it is installed elsewhere: a wheel, built from an sdist, in an environment without the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import torch

CONFIG = "lors_det::shapes/lors-adamixer_r18-half_16-query_5e_shapes.py"
BUILD = "import sys, setuptools.build_meta as backend; print(getattr(backend, sys.argv[1])(sys.argv[2]))"


def succeed(*words: object, cwd: Path) -> str:
    """What a command printed to stdout; it must not fail."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
    environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [str(word) for word in words]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(kind: str, source: Path, out: Path) -> Path:
    """Run the build backend as pip would, with the tools of this environment; returns the file."""
    out.mkdir()
    succeed(sys.executable, "-c", BUILD, f"build_{kind}", out, cwd=source)
    (file,) = out.iterdir()
    return file


def package_files(folder: Path) -> set[str]:
    """Relative paths of the files below a folder, links followed, without what Python writes."""
    return {
        str(Path(parent, name).relative_to(folder))
        for parent, _, names in os.walk(folder, followlinks=True)
        for name in names
        if "__pycache__" not in parent
    }


@pytest.fixture(scope="module")
def sdist(root, tmp_path_factory) -> Path:
    """Built in a copy of the checkout, for building leaves folders behind."""
    copy = tmp_path_factory.mktemp("source") / "lors_det"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*_cache", ".venv", ".git", "build", "dist")
    copy.mkdir()
    for path in root.iterdir():
        if path.name in {"lors_det", "configs", "tools", "tests", "docs"}:
            shutil.copytree(path, copy / path.name, symlinks=True, ignore=ignored)
        elif path.is_file():
            shutil.copy2(path, copy)
    return build("sdist", copy, copy.parent / "dist")


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (source,) = folder.iterdir()
    return build("wheel", source, folder / "dist")


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """The interpreter of a fresh environment with the wheel; what it depends on is that of the running one."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    succeed(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"),
        *("--no-index", "--no-deps", "--no-compile", wheel),
        cwd=home,
    )
    # Folders named in a .pth file come after the environment's own, and .pth files inside them are not read: an
    # editable install of the checkout stays out of reach.
    (site,) = home.glob("lib/python*/site-packages")
    others = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    # but for that of setuptools, by which Python 3.12 finds the distutils that mmengine imports
    (site / "others.pth").write_text("\n".join([*others, "import _distutils_hack; _distutils_hack.add_shim()"]))
    return python


def test_the_wheel_holds_the_package_and_its_configs(root, wheel):
    expected = package_files(root / "lors_det")
    assert {"py.typed", ".mim/model-index.yml", ".mim/tools/train.py"} < expected
    assert {f".mim/configs/{path}" for path in package_files(root / "configs")} < expected
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.removeprefix("lors_det/") for name in names if name.startswith("lors_det/")} == expected
    assert {name.split("/")[0].split("-")[0] for name in names} == {"lors_det"}  # and no tests beside it


def test_the_sdist_holds_what_the_tests_need(root, sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for folder in ("configs", "tools", "tests", "docs"):
        assert {f"{folder}/{path}" for path in package_files(root / folder)} <= names
    assert {"Makefile", "requirements.txt", "model-index.yml", "LICENSE", "README.md", "setup.py"} <= names


def test_an_installed_package_trains_evaluates_and_counts(root, python, tmp_path):
    command = python.with_name("lors-det")
    where = Path(succeed(python, "-c", "import lors_det; print(lors_det.__file__)", cwd=tmp_path).strip())
    assert where.is_relative_to(python.parent.parent)
    assert not where.is_relative_to(root)

    succeed(command, "make-shapes", "--num-train", 16, "--num-val", 4, "--image-size", 64, cwd=tmp_path)
    child = tmp_path / "mine.py"
    child.write_text(f'_base_ = "{CONFIG}"\ntrain_cfg = dict(max_epochs=1)\n')
    workers = [
        f"{split}_dataloader.{key}"
        for split in ("train", "val", "test")
        for key in ("num_workers=0", "persistent_workers=False")
    ]
    options = ("--work-dir", "run", "--cfg-options", "train_cfg.max_epochs=1")
    succeed(command, "train", CONFIG, *options, *workers, cwd=tmp_path)
    checkpoint = Path((tmp_path / "run" / "last_checkpoint").read_text())
    assert torch.load(tmp_path / checkpoint, weights_only=True)["meta"]["iter"] == 2

    succeed(command, "test", child, checkpoint, "--work-dir", "tested", "--cfg-options", *workers[2:], cwd=tmp_path)
    (metrics,) = (tmp_path / "tested").glob("*/*.json")
    assert "coco/bbox_mAP" in json.loads(metrics.read_text())

    counts = json.loads(succeed(command, "count-params", CONFIG, "--json", cwd=tmp_path))
    assert 0 < counts["decoder"] < counts["model"]


def test_the_ecosystem_finds_the_installed_configs(python, tmp_path):
    code = (
        "import lors_det.plugin; from mmengine.hub import get_config; "
        f"print(get_config('{CONFIG}').filename); "
        "print(get_config('lors_det::lors_adamixer/lors-adamixer_r50_100-query_1x_coco.py').filename)"
    )
    found = succeed(python, "-c", code, cwd=tmp_path).split()
    assert len(found) == 2
    assert all(Path(path).is_relative_to(python.parent.parent) for path in found)
