"""A file is unpickled whole where its user says so: that file, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.logging import HistoryBuffer
from references.hostile import Hostile

from lors_det.cli import run
from lors_det.errors import InputError
from lors_det.plugin.saving import safe_loading
from lors_det.plugin.saving.safe_loading import load_from_local, trust


@pytest.fixture(autouse=True)
def _trusting_nothing(monkeypatch):
    monkeypatch.setattr(safe_loading, "_trusted", {})


@pytest.fixture
def foreign(trained, tmp_path) -> Path:
    """A checkpoint with a log history as mmengine writes it, which weights_only refuses, and something that acts."""
    content = torch.load(trained.checkpoint, weights_only=True)
    content["message_hub"]["log_scalars"]["train/loss"] = HistoryBuffer([1.0, 2.0], [1, 1])
    content["meta"]["more"] = Hostile(tmp_path / "acted")
    torch.save(content, tmp_path / "foreign.pth")
    return tmp_path / "foreign.pth"


def test_that_file_and_no_other(tmp_path, monkeypatch):
    for name in ("one", "two"):
        torch.save({"state_dict": {}, "meta": {"more": Hostile(tmp_path / name)}}, tmp_path / f"{name}.pth")
    monkeypatch.chdir(tmp_path)
    trust("one.pth")
    load_from_local(str(tmp_path / "one.pth"))
    assert (tmp_path / "one").is_file()
    with pytest.raises(InputError, match=r"two\.pth holds more than plain data.*--trust-checkpoint loads it"):
        load_from_local("two.pth")
    assert not (tmp_path / "two").exists()


def test_another_file_in_its_place_is_not_trusted(tmp_path):
    """A process may live for long, and the newest checkpoint be written by others."""
    path = tmp_path / "latest.pth"
    torch.save({"state_dict": {}, "meta": {"more": Hostile(tmp_path / "one")}}, path)
    trust(path)
    load_from_local(str(path))
    torch.save({"state_dict": {}, "meta": {"more": Hostile(tmp_path / "another")}}, tmp_path / "new.pth")
    (tmp_path / "new.pth").rename(path)
    with pytest.raises(InputError, match="holds more than plain data"):
        load_from_local(str(path))
    assert not (tmp_path / "another").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["test", "CONFIG", "FILE", "--work-dir", "WORK"],
        ["train", "CONFIG", "--load-from", "FILE", "--work-dir", "WORK"],
        ["train", "CONFIG", "--resume", "FILE", "--epochs", "2", "--work-dir", "WORK", "--resume-anyway"],
        ["infer", "IMAGE", "--checkpoint", "FILE", "--json", "WORK.json", "--no-pictures"],
        ["convert", "FILE", "WORK.safetensors"],
    ],
    ids=lambda command: " ".join(word for word in command[:4] if word.islower() or word.startswith("--")),
)
def test_every_tool_asks_first(trained, foreign, tmp_path, capfd, command):
    places = {"CONFIG": trained.config, "FILE": foreign, "IMAGE": trained.images[0], "WORK": tmp_path / "work"}
    places |= {f"WORK.{kind}": tmp_path / f"work.{kind}" for kind in ("json", "safetensors")}
    name, *words = [str(places.get(word, word)) for word in command]
    with pytest.raises(SystemExit) as ended:
        run(name, words)
    assert ended.value.code == 2
    assert "--trust-checkpoint loads it" in capfd.readouterr().err
    assert not (tmp_path / "acted").exists()
    run(name, [*words, "--trust-checkpoint"])
    assert (tmp_path / "acted").exists()
    assert "resumed key" not in capfd.readouterr().err  # the history was taken up, objects or not
