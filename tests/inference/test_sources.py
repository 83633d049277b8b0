"""Inputs: what they name, in which order, and under which names its outputs lie."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from lors_det.errors import InputError
from lors_det.inference.sources import count_images, count_passed_over, find_sources
from lors_det.inference.videos import VideoReader, shown_address, shown_source, written_video


@pytest.fixture
def tree(tmp_path) -> Path:
    for name in ("b.jpg", "a.PNG", "notes.txt", "deep/er/c.jpeg", "deep/film.MP4", "other/b.jpg", "found/b.jpg"):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "root"


def names(*inputs: object, **options: object) -> list[str]:
    return [str(source.name) for source in find_sources([str(each) for each in inputs], **options)]


def test_folders_are_walked_in_order_less_the_outputs(tree):
    everything = ["a.PNG", "b.jpg", "deep/film.MP4", "deep/er/c.jpeg", "other/b.jpg"]
    assert names(tree, leave_out=tree / "found") == everything
    assert names(tree / ".." / "root", leave_out=tree / "found") == everything
    assert "found/b.jpg" in names(tree)
    kinds = {str(source.name): source.kind for source in find_sources([str(tree)])}
    assert kinds["deep/film.MP4"] == "video"
    assert kinds["a.PNG"] == "image"


def test_what_systems_and_notebooks_hide_is_no_input(tree):
    for hidden in (".ipynb_checkpoints/a.jpg", "__MACOSX/a.jpg", "._a.jpg", "sub/.b.jpg"):
        path = tree / hidden
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"")
    assert not [name for name in names(tree) if name.startswith((".", "__")) or "/." in name]
    assert names(tree / "._a.jpg") == ["._a.jpg"]  # named itself


def test_linked_folders_are_walked_once(tree, tmp_path):
    """Though a link leads back."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "d.jpg").write_bytes(b"x")
    (tree / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(tree)
    (tree / "twice").symlink_to(tree / "other")
    assert names(tree, leave_out=tree / "found") == [
        *("a.PNG", "b.jpg", "deep/film.MP4", "deep/er/c.jpeg", "linked/d.jpg", "other/b.jpg"),
    ]


def test_a_file_and_its_folder(tree):
    left = ["deep/film.MP4", "deep/er/c.jpeg", "other/b.jpg"]
    assert names(tree / "b.jpg", tree, leave_out=tree / "found") == ["b.jpg", "a.PNG", *left]


def test_a_folder_that_cannot_be_read_is_named(tree, monkeypatch):
    """Not passed over."""
    scan = os.scandir

    def denied(path: str) -> object:
        if Path(path).name == "er":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(InputError, match=r"folder .*er cannot be read: Permission denied"):
        names(tree)


def test_outputs_of_several_inputs_never_share_a_name(tree):
    assert names(tree / "other", tree / "found") == ["other/b.jpg", "found/b.jpg"]
    assert names(tree / "b.jpg", tree / "other/b.jpg") == ["b.jpg", "other/b.jpg"]
    assert names(tree / "b.jpg", tree / "b.jpg") == ["b.jpg"]
    assert names(tree / "other/b.jpg") == ["b.jpg"]


def test_patterns_name_files(tree):
    assert names(tree / "*.jpg") == ["b.jpg"]
    assert names(tree / "**/*.jp*g") == ["b.jpg", "deep/er/c.jpeg", "found/b.jpg", "other/b.jpg"]
    left = ["b.jpg", "deep/er/c.jpeg", "other/b.jpg"]  # what was written last time is no input
    assert names(tree / "**/*.jp*g", leave_out=tree / "found") == left
    assert names(tree / "o*") == names(tree / "other")
    assert names(tree / "[bo]*") == ["b.jpg", "other/b.jpg"]
    strange = tree / "[1].jpg"  # a file of that name is itself
    strange.write_bytes(b"x")
    assert names(strange) == ["[1].jpg"]


def test_cameras_and_streams_come_last(tree):
    address = "rtsp://user:secret@host:554/live?x=1"
    for live, where, name in (("camera:2", 2, "camera_2.mp4"), (address, address, "host_554_live_x_1.mp4")):
        found = list(find_sources([live, str(tree / "b.jpg")]))
        assert [source.kind for source in found] == ["image", "live"]
        assert found[1].where == where
        assert str(found[1].name) == name
    films = find_sources(["http://host/a.mp4", "https://host/b.mp4", "camera:2"])  # the films may end
    assert [source.kind for source in films] == ["live"] * 3


def test_of_two_that_have_no_end_one_would_never_be_looked_at(tree):
    with pytest.raises(InputError, match=r"^camera 2 and stream rtsp://host/a have no end, .* a command for each$"):
        find_sources(["camera:2", "rtsp://me:secret@host/a", str(tree)])


def test_an_address_is_shown_without_its_secrets():
    for address, shown in (
        ("rtsp://admin:p@ss@cam:554/live?ch=1", "rtsp://cam:554/live?ch=1"),
        ("rtsp://cam/a?ch=2&user=admin&Password=secret", "rtsp://cam/a?ch=2&user=&Password="),
        ("http://cam/a@b", "http://cam/a@b"),
    ):
        assert shown_address(address) == shown
        (source,) = find_sources([address])
        assert source.where == address
        assert "secret" not in str(source.name)
    with pytest.raises(InputError, match=r"^stream rtsp://127\.0\.0\.1:9/x cannot be opened"):
        VideoReader("rtsp://user:secret@127.0.0.1:9/x")
    assert shown_source("rtsp://user:secret@cam/x") == "stream rtsp://cam/x"


def test_inputs_that_lead_upwards(tree, monkeypatch):
    """Their outputs are named below the folder that they share."""
    (tree / "here").mkdir()
    monkeypatch.chdir(tree / "here")
    shutil.copy(tree / "b.jpg", "x.jpg")
    assert names("x.jpg", "../b.jpg") == ["here/x.jpg", "b.jpg"]
    assert names(".", "../other") == ["here/x.jpg", "other/b.jpg"]
    assert names("../here/x.jpg") == ["x.jpg"]


def test_a_pattern_that_names_pictures_that_were_drawn_alone(tree):
    with pytest.raises(InputError, match=r"names nothing but what lies in .*found, the folder of the pictures"):
        find_sources([str(tree / "found/*.jpg")], leave_out=tree / "found")


def test_images_and_frames_are_counted_before_their_turn(tree):
    assert count_images(find_sources([str(tree / "other"), str(tree / "b.jpg")])) == 2
    with written_video(tree / "other/film.mp4", 10) as writer:
        for _ in range(3):
            writer.add(np.zeros((32, 32, 3), np.uint8))
    assert count_images(find_sources([str(tree / "other")])) == 4
    assert count_images(find_sources([str(tree / "other")]), frame_step=2) == 3
    assert count_images(find_sources([str(tree / "other"), "camera:0"])) is None
    assert count_images(find_sources([str(tree / "deep")])) == 1  # beside a video that cannot be opened


def test_what_names_nothing_is_refused_at_once(tree):
    (tree / "empty").mkdir()
    for text, words in (
        (tree / "none", "none does not exist"),
        (tree / "*.gif", "matches no file"),
        (tree / "notes.txt", "no suffix of an image or a video"),
        (tree / "empty", "empty holds no image or video"),
    ):
        with pytest.raises(InputError, match=words):
            find_sources([str(tree), str(text)])


def test_a_file_that_several_inputs_name_comes_once(tree):
    inputs = (tree / "other/b.jpg", tree / "other", tree / "other/../other/b.jpg", tree / "oth*/*.jpg")
    assert names(*inputs) == ["b.jpg"]
    (tree / "way").symlink_to(tree / "other")
    assert names(tree / "other", tree / "way/b.jpg") == ["other/b.jpg"]
    (tree / "other/link.jpg").symlink_to(tree / "other/b.jpg")
    assert names(tree / "other") == ["b.jpg", "link.jpg"], "a link has a name of its own, as annotations know it"


def test_images_of_other_formats_are_counted(tree):
    assert count_passed_over([str(tree)]) == 0
    for name in ("a.gif", "deep/b.HEIC", "found/c.gif"):
        (tree / name).write_bytes(b"x")
    assert count_passed_over([str(tree), str(tree / "deep")], leave_out=tree / "found") == 2
    assert count_passed_over([str(tree / "b.jpg"), "camera:0"]) == 0
    with pytest.raises(InputError, match=r"\*.gif holds no image"):
        find_sources([str(tree / "*.gif")])
