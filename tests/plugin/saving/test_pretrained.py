"""Weights from the network, and what to do without one."""

from __future__ import annotations

import json
import socket
import threading
from argparse import ArgumentParser
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.runner.checkpoint import _load_checkpoint, get_external_models
from references.hostile import Hostile

from lors_det.cli.shared import common_arguments
from lors_det.errors import InputError
from lors_det.plugin.config.reading import load_config
from lors_det.plugin.saving import pretrained

R50 = "resnet50-0676ba61.pth"
X101 = get_external_models()["resnext101_32x4d"]  # of another host in each edition of mmengine


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """The folder of torch hub's downloads, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub-home"))
    return tmp_path / "hub-home" / "hub" / "checkpoints"


@pytest.fixture
def offline(monkeypatch) -> list[str]:
    """No network; the addresses that were tried."""
    tried = []

    def download(url: str, *args: object, **kwargs: object) -> None:
        tried.append(url)
        raise URLError(socket.gaierror(-3, "Temporary failure in name resolution"))

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    return tried


@pytest.fixture
def served(tmp_path, monkeypatch) -> Iterator[tuple[Path, str]]:
    """A folder and its address."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("torchvision://resnet50", f"https://download.pytorch.org/models/{R50}"),
        ("modelzoo://resnet50", f"https://download.pytorch.org/models/{R50}"),
        ("open-mmlab://resnext101_32x4d", X101),
        ("openmmlab://resnext101_32x4d", X101),
        ("https://host.invalid/folder/some.pth?raw=true", "https://host.invalid/folder/some.pth?raw=true"),
    ],
)
def test_without_a_network_the_message_names_the_remedies(offline, cache, name, url):
    with pytest.raises(InputError) as caught:
        _load_checkpoint(name)
    message = str(caught.value)
    file = url.split("/")[-1].split("?")[0]
    assert offline == [url]
    assert "\n" not in message
    assert f"{url} ({name})" in message or (name == url and f"{url} cannot" in message)
    assert "URLError: <urlopen error [Errno -3] Temporary failure in name resolution>" in message
    assert f"download {file} elsewhere and put it into {cache}" in message
    assert f"model.backbone.init_cfg.checkpoint=/path/to/{file} (load_from=/path/to/{file}" in message
    assert "model.backbone.init_cfg=None starts from random weights" in message


def test_the_remedies_work(offline, cache, tmp_path, root, monkeypatch):
    """Each of those that the message names, as a user would type it."""
    monkeypatch.chdir(tmp_path)  # where no data is
    parser = ArgumentParser()
    common_arguments(parser)
    leaf = root / "configs/adamixer/adamixer_r50_100-query_1x_coco.py"

    def backbone(*options: str) -> torch.nn.Module:
        args = parser.parse_args([str(leaf), "--cfg-options", "model.backbone.depth=18", *options])
        model = MODELS.build(load_config(args.config, args.cfg_options).model.backbone)
        model.init_weights()
        return model

    random = backbone("model.backbone.init_cfg=None")
    weights = {name: torch.randn_like(value) for name, value in random.state_dict().items() if value.ndim == 4}
    torch.save(weights, tmp_path / "elsewhere.pth")
    given = backbone(f"model.backbone.init_cfg.checkpoint={tmp_path / 'elsewhere.pth'}")
    with pytest.raises(InputError):
        backbone()
    cache.mkdir(parents=True, exist_ok=True)
    (tmp_path / "elsewhere.pth").rename(cache / R50)
    placed = backbone()
    assert len(offline) == 1
    for name, value in weights.items():
        assert torch.equal(given.state_dict()[name], value), name
        assert torch.equal(placed.state_dict()[name], value), name
        assert not torch.equal(random.state_dict()[name], value), name


def test_a_download_is_kept(served, cache):
    folder, address = served
    torch.save({"state_dict": {"weight": torch.arange(3)}}, folder / "some.pth")
    for _ in range(2):
        found = _load_checkpoint(f"{address}/some.pth?download=1", map_location="cpu")
        assert found["state_dict"]["weight"].tolist() == [0, 1, 2]
        (folder / "some.pth").unlink(missing_ok=True)
    assert [path.name for path in cache.iterdir()] == ["some.pth"]
    with pytest.raises(InputError, match="HTTP Error 404"):
        _load_checkpoint(f"{address}/other.pth")


def test_a_download_runs_no_code(served, cache, tmp_path):
    folder, address = served
    torch.save({"state_dict": Hostile(tmp_path / "harmed")}, folder / "hostile.pth")
    with pytest.raises(InputError, match=rf"more than plain data.*{address}/hostile\.pth; delete it"):
        _load_checkpoint(f"{address}/hostile.pth")
    assert (cache / "hostile.pth").is_file()
    assert not (tmp_path / "harmed").exists()


def test_a_silent_server_is_left(monkeypatch):
    """It accepts, and never answers."""
    monkeypatch.setattr(pretrained, "SILENCE_S", 0.2)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/some.pth"
        hang_up = threading.Timer(5, server.close)  # an end for a client that does not leave
        hang_up.start()
        with pytest.raises(InputError, match=r"TimeoutError: .*timed out"):
            _load_checkpoint(address)
        hang_up.cancel()
    assert socket.getdefaulttimeout() is None


def test_unknown_names():
    with pytest.raises(InputError, match=r"torchvision://resnet51: .* similar ones: .*resnet50"):
        _load_checkpoint("torchvision://resnet51")


def test_a_users_own_table(tmp_path, monkeypatch):
    monkeypatch.setenv("MMENGINE_HOME", str(tmp_path))
    (tmp_path / "open_mmlab.json").write_text(json.dumps({"mine": "files/mine.pth"}))
    (tmp_path / "files").mkdir()
    torch.save({"weight": torch.arange(3)}, tmp_path / "files" / "mine.pth")
    assert _load_checkpoint("open-mmlab://mine")["weight"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("rank", [0, 1])
def test_every_process_learns_of_the_failure_of_the_first(rank, offline, monkeypatch):
    """Otherwise the others would wait for it at a barrier."""
    gathered = []

    def gather(mine: str | None) -> list[str | None]:
        gathered.append(mine)
        return [mine if rank == 0 else "URLError: of rank 0", None if rank == 0 else mine]

    monkeypatch.setattr(pretrained, "get_rank", lambda: rank)
    monkeypatch.setattr(pretrained, "all_gather_object", gather)
    with pytest.raises(InputError, match=r"cannot be downloaded: URLError"):
        _load_checkpoint("torchvision://resnet50")
    assert len(gathered) == 1
    assert len(offline) == (1 if rank == 0 else 0)  # the others leave the download to it
