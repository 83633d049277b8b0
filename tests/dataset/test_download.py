"""COCO as it is downloaded: from a server of this test, whole, broken off, spoilt and hostile."""

from __future__ import annotations

import errno
import hashlib
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lors_det.cli import prepare_coco as prepare_coco_command
from lors_det.cli import run
from lors_det.data.coco import download
from lors_det.data.coco.download import Archive, prepare_coco
from lors_det.data.coco.published import Split, check_coco
from lors_det.errors import InputError

SPLITS = (Split("train2017", 3, 4), Split("val2017", 2, 1))


def annotations(split: Split) -> dict[str, Any]:
    images = [dict(id=number, file_name=f"{number:012}.jpg", width=8, height=8) for number in range(split.images)]
    boxes = [dict(id=number, image_id=0, category_id=1, bbox=[1, 1, 4, 4]) for number in range(split.annotations)]
    return dict(images=images, annotations=boxes, categories=[dict(id=1, name="person")])


class Full:
    """A file of a disk that takes no more."""

    def __enter__(self) -> Full:
        return self

    def __exit__(self, *args: object) -> None:
        pass

    def write(self, chunk: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


class Source(ThreadingHTTPServer):
    """Serves files by path, from where it is asked to; may break off."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.ends_after: int | None = None
        self.knows_ranges = True

        class Handler(BaseHTTPRequestHandler):
            server: Source

            def do_GET(self) -> None:
                server = self.server
                wanted = self.headers.get("Range")
                server.asked.append((self.path, wanted))
                content = server.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.knows_ranges else 0
                if start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(content) - start))
                self.end_headers()
                self.wfile.write(content[start:][: server.ends_after])

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Source()
    archives = []
    for name in ("annotations", "val2017", "train2017"):
        path = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for split in SPLITS:
                if name == "annotations":
                    archive.writestr(f"annotations/instances_{split.name}.json", json.dumps(annotations(split)))
                elif name == split.name:
                    for image in annotations(split)["images"]:
                        archive.writestr(f"{name}/{image['file_name']}", bytes(range(200)))
        server.files[f"/zips/{name}.zip"] = content = path.read_bytes()
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        archives.append(Archive(f"zips/{name}.zip", md5, len(content), name))
        path.unlink()
    server.archives = tuple(archives)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def prepare(root: Path, source: Source) -> list[str]:
    said: list[str] = []
    prepare_coco(root, source=source.address, archives=source.archives, splits=SPLITS, say=said.append)
    return said


def test_all_of_it(tmp_path, source):
    root = tmp_path / "data/coco"
    said = prepare(root, source)
    assert said[-2:] == ["train2017: 3 images, 4 annotations", "val2017: 2 images, 1 annotations"]
    assert sorted(path.name for path in root.iterdir()) == ["annotations", "train2017", "val2017"]
    source.asked.clear()
    assert prepare(root, source) == said[-2:]
    assert source.asked == []
    (root / "val2017/000000000001.jpg").unlink()  # of what is lacking alone
    prepare(root, source)
    assert [path for path, _ in source.asked] == ["/zips/val2017.zip"]


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_it_goes_on_where_it_broke_off(tmp_path, source, knows_ranges):
    source.ends_after, source.knows_ranges = 100, knows_ranges
    with pytest.raises(InputError, match=r"annotations\.zip broke off .*the same command goes on"):
        prepare(tmp_path / "coco", source)
    assert (tmp_path / "coco/annotations.zip.downloaded.part").stat().st_size == 100
    source.ends_after = None
    assert prepare(tmp_path / "coco", source)[-1].startswith("val2017")
    assert source.asked[1] == ("/zips/annotations.zip", "bytes=100-")


def test_a_download_that_was_whole_already(tmp_path, source):
    (tmp_path / "coco").mkdir()
    (tmp_path / "coco/annotations.zip.downloaded.part").write_bytes(source.files["/zips/annotations.zip"])
    prepare(tmp_path / "coco", source)


def test_an_extraction_that_broke_off_goes_on(tmp_path, source):
    """The archive is still there; what was written in part is written again, what is whole is not."""
    root = tmp_path / "coco"
    prepare(root, source)
    (root / "train2017.zip.downloaded").write_bytes(source.files["/zips/train2017.zip"])
    (root / "annotations.zip.downloaded").write_bytes(source.files["/zips/annotations.zip"])
    (root / "train2017/000000000002.jpg").write_bytes(b"part")
    (root / "annotations/instances_val2017.json").write_text("{")
    source.asked.clear()
    assert prepare(root, source)[-1].startswith("val2017")
    assert source.asked == []
    assert (root / "train2017/000000000002.jpg").read_bytes() == bytes(range(200))
    assert not list(root.glob("*.zip*"))


def test_another_file_is_removed(tmp_path, source):
    source.files["/zips/val2017.zip"] += b"more"
    with pytest.raises(
        InputError, match=r"val2017\.zip\.downloaded was not the file of .*, by its checksum, and is removed"
    ):
        prepare(tmp_path / "coco", source)
    assert not list((tmp_path / "coco").glob("*.zip*"))


def test_archives_of_ones_own_are_taken_and_stay(tmp_path, source):
    root = tmp_path / "coco"
    root.mkdir()
    (root / "val2017.zip").write_bytes(b"another")
    with pytest.raises(InputError, match=r"val2017\.zip is not the file of .*, by its checksum; remove or rename it"):
        prepare(root, source)
    assert (root / "val2017.zip").read_bytes() == b"another"
    (root / "val2017.zip").write_bytes(source.files["/zips/val2017.zip"])
    source.asked.clear()
    said = prepare(root, source)
    assert f"{root / 'val2017.zip'} is needed no more, and stays" in said
    assert [path for path, _ in source.asked] == ["/zips/train2017.zip"]
    (root / "val2017.zip").write_bytes(b"another")  # of what is whole, nothing is looked at but the result
    assert prepare(root, source) == said[-2:]
    assert (root / "val2017.zip").read_bytes() == b"another"


def test_images_of_other_names_are_no_images_of_it(tmp_path, source):
    """As many files as there should be: what counts are the names."""
    root = tmp_path / "coco"
    prepare(root, source)
    (root / "val2017/000000000001.jpg").rename(root / "val2017/._000000000001.jpg")
    assert prepare(root, source)[-1].startswith("val2017: 2 images")
    (root / "val2017/000000000001.jpg").write_bytes(b"")
    assert prepare(root, source)[-1].startswith("val2017: 2 images")
    assert (root / "val2017/000000000001.jpg").stat().st_size == 200


def test_a_full_disk_is_not_the_servers_fault(tmp_path, source, monkeypatch):
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(download.shutil, "copyfileobj", full)
        with pytest.raises(InputError, match=r"instances_train2017\.json cannot be written: No space left on device"):
            prepare(tmp_path / "coco", source)
    assert not list((tmp_path / "coco/annotations").iterdir())
    assert prepare(tmp_path / "coco", source)[-1].startswith("val2017: 2 images")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda path, mode: Full())
        with pytest.raises(InputError, match=r"annotations\.zip.* cannot be written: No space left on device"):
            prepare(tmp_path / "other", source)


def test_an_archive_does_not_leave_the_folder(tmp_path, source):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../outside.txt", "harm")
    content = source.files["/zips/annotations.zip"] = path.read_bytes()
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    source.archives = (source.archives[0]._replace(md5=md5), *source.archives[1:])
    with pytest.raises(InputError, match=r"holds \.\./outside\.txt, which is outside"):
        prepare(tmp_path / "coco", source)
    assert not (tmp_path / "outside.txt").exists()


def test_a_split_may_lie_on_another_disk(tmp_path, source):
    (tmp_path / "disk").mkdir()
    (tmp_path / "coco").mkdir()
    (tmp_path / "coco/val2017").symlink_to(tmp_path / "disk", target_is_directory=True)
    prepare(tmp_path / "coco", source)
    assert len(list((tmp_path / "disk").glob("*.jpg"))) == 2


def test_archives_of_others_save_no_room(tmp_path, source, monkeypatch):
    (tmp_path / "coco").mkdir()
    (tmp_path / "coco/test2017.zip").write_bytes(bytes(100_000))
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(InputError, match="GB free; name a folder on another"):
        prepare(tmp_path / "coco", source)


def test_what_cannot_be_had_is_said(tmp_path, source, monkeypatch):
    del source.files["/zips/train2017.zip"]
    with pytest.raises(InputError, match=r"train2017\.zip cannot be downloaded: .*404"):
        prepare(tmp_path / "coco", source)
    with pytest.raises(InputError, match=r"ConnectionRefused|refused"):
        prepare_coco(tmp_path / "other", source="http://127.0.0.1:9", archives=source.archives, splits=SPLITS)
    with pytest.raises(InputError, match=r"mirror/.* is no address; --source begins with http:// or https://"):
        prepare_coco(tmp_path / "fourth", source="mirror/coco", archives=source.archives, splits=SPLITS)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(InputError, match="GB free; name a folder on another"):
        prepare(tmp_path / "third", source)


def test_a_check_names_what_is_wrong(tmp_path, source, capsys):
    root = tmp_path / "coco"
    prepare(root, source)
    (root / "val2017/000000000000.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"val2017 has 1 empty images, 000000000000\.jpg the first of them"):
        list(check_coco(root, SPLITS))
    jpeg = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    for number, content in enumerate((jpeg[:-2], jpeg + b"a camera's own words")):
        (root / f"val2017/{number:012}.jpg").write_bytes(content)
    *_, last = check_coco(root, SPLITS)
    assert "mind: 1 images of " in last
    assert "end too early, 000000000000.jpg the first of them" in last
    (root / "val2017/000000000000.jpg").unlink()
    with pytest.raises(InputError, match=r"val2017 lacks 1 of 2 images, 000000000000\.jpg the first"):
        list(check_coco(root, SPLITS))
    path = root / "annotations/instances_val2017.json"
    path.write_text(json.dumps(annotations(Split("val2017", 2, 5))))
    with pytest.raises(InputError, match="has 2 images and 5 annotations, where COCO's own has 2 and 1"):
        list(check_coco(root, SPLITS))
    path.write_text("{}")
    with pytest.raises(InputError, match="is no annotation file of COCO"):
        list(check_coco(root, SPLITS))
    with pytest.raises(SystemExit) as ended:
        run("prepare-coco", [str(tmp_path / "none"), "--check"])
    assert ended.value.code == 2
    assert "instances_train2017.json does not exist; lors-det prepare-coco" in capsys.readouterr().err


def test_the_command_says_how_configs_find_it(tmp_path, source, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prepare_coco_command, "check_coco", lambda root: iter(["train2017: whole"]))
    run("prepare-coco", ["--check"])
    assert "next: lors-det train" in capsys.readouterr().out
    run("prepare-coco", ["my disk", "--check"])
    out = capsys.readouterr().out
    assert f"next: mkdir -p data && ln -s '{tmp_path}/my disk' data/coco && lors-det train" in out
    (tmp_path / "data/coco").mkdir(parents=True)
    run("prepare-coco", ["disk", "--check"])
    assert f"next: mv data/coco data/coco_other && ln -s {tmp_path}/disk data/coco && " in capsys.readouterr().out
