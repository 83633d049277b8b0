"""A run holds no more than a batch, whatever it is given."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import pytest

from lors_det.errors import InputError
from lors_det.inference import Detections
from lors_det.inference import run as run_module
from lors_det.inference.run import MARK, InferenceRun, check_outputs, output_path
from lors_det.inference.sources import Source


class Counted:
    """Stands in for a detector; counts images that are alive, and the sizes of batches."""

    classes = ("thing",)

    def __init__(self) -> None:
        self.alive = self.most = 0
        self.batches: list[int] = []

    def image(self) -> np.ndarray:
        image = np.zeros((8, 8, 3), np.uint8)
        self.alive += 1
        self.most = max(self.most, self.alive)
        weakref.finalize(image, self.drop)
        return image

    def drop(self) -> None:
        self.alive -= 1

    def read(self, path) -> np.ndarray:
        if "bad" in str(path):
            raise InputError(f"image {path} is bad")
        return np.zeros((1, 8, 3), np.uint8) if "flat" in str(path) else self.image()

    def detect(self, images):
        if any(image.shape[0] == 1 for image in images):
            raise InputError("an image of 8 x 1 pixels cannot be scaled")
        if images:
            self.batches.append(len(images))
        boxes = np.array([[0, 0, 4, 4]], np.float32)
        nothing = (np.array([0.9], np.float32), np.array([0]), self.classes, (8, 8))
        return [Detections(boxes, *nothing, image) for image in images]


def images(count: int):
    return (Source("image", f"/in/{number}.jpg", PurePosixPath(f"{number}.jpg")) for number in range(count))


@pytest.mark.parametrize("batch_size", [1, 4])
def test_images_are_let_go_after_their_batch(batch_size):
    detector = Counted()
    run = InferenceRun(detector, batch_size=batch_size)
    run.process(images(30))
    gc.collect()
    assert detector.most <= 2 * batch_size
    assert detector.alive == 0
    assert sum(detector.batches) == run.num_images == run.num_found == 30
    assert set(detector.batches[:-1]) == {batch_size}


def test_frames_are_let_go_after_their_batch(monkeypatch, tmp_path):
    detector = Counted()

    class Film:
        fps = 10.0

        def __init__(self, where, step) -> None:
            pass

        def __iter__(self):
            return (detector.image() for _ in range(50))

        def check_whole(self, number) -> None:
            assert number == 50

    monkeypatch.setattr(run_module, "VideoReader", Film)
    run = InferenceRun(detector, batch_size=4, pictures=tmp_path)
    run.process([Source("video", "/in/film.avi", PurePosixPath("film.avi"))])
    gc.collect()
    assert detector.most <= 8
    assert detector.alive == 0
    assert run.num_images == 50
    assert {path.name for path in tmp_path.iterdir()} == {"film.avi.mp4", MARK}


def test_a_video_that_is_cut_off_is_done_as_far_as_it_goes_and_reported(tmp_path):
    path, errors = tmp_path / "film.avi", []
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for level in range(100):
        writer.write(np.full((48, 64, 3), level, np.uint8))
    writer.release()
    whole, content = Source("video", path, PurePosixPath("film.avi")), path.read_bytes()
    InferenceRun(Counted(), failed=errors.append).process([whole])
    assert errors == []
    path.write_bytes(content[: len(content) // 2])
    run = InferenceRun(Counted(), failed=errors.append)
    run.process([whole])
    assert 0 < run.num_images < 90
    (error,) = errors
    assert str(error).startswith(f"the rest of video {path}: it ends after {run.num_images} of 100 frames")


def test_what_cannot_be_read_is_reported_and_fills_no_batch():
    detector, errors = Counted(), []
    sources = [*images(2), Source("image", "/in/bad.jpg", PurePosixPath("bad.jpg")), *images(2)]
    InferenceRun(detector, batch_size=3, failed=errors.append).process(sources)
    assert detector.batches == [3, 1]
    assert [str(error) for error in errors] == ["image /in/bad.jpg is bad"]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 8])
def test_an_image_that_no_network_takes_costs_its_batch_nothing(batch_size):
    detector, errors, done = Counted(), [], []
    flat, bad = (Source("image", f"/in/{name}.jpg", PurePosixPath(f"{name}.jpg")) for name in ("flat", "bad"))
    run = InferenceRun(detector, batch_size=batch_size, failed=errors.append, done=done.append)
    run.process([*images(2), flat, *images(1), bad, *images(2)])
    assert run.num_images == sum(detector.batches) == 5
    assert sorted(str(error) for error in errors) == [
        "image /in/bad.jpg is bad",
        "image /in/flat.jpg: an image of 8 x 1 pixels cannot be scaled",
    ]
    assert sum(done) == 7, "the bar ends before its end"


def test_a_picture_that_cannot_be_written_costs_the_others_nothing(tmp_path):
    (tmp_path / "1.jpg").mkdir()
    errors = []
    run = InferenceRun(Counted(), pictures=tmp_path, failed=errors.append)
    run.process(images(3))
    assert run.num_images == run.num_found == 3
    assert [str(error) for error in errors] == [f"{tmp_path}/1.jpg is a folder; name a file to write"]
    assert (tmp_path / "0.jpg").is_file()
    assert (tmp_path / "2.jpg").is_file()


def test_a_video_that_no_network_takes_is_named(tmp_path, monkeypatch):
    class Film(list):
        def __init__(self, where, step) -> None:
            super().__init__([np.zeros((1, 8, 3), np.uint8)])
            self.fps, self.shown = 10, "video film"

    monkeypatch.setattr(run_module, "VideoReader", Film)
    errors = []
    run = InferenceRun(Counted(), pictures=tmp_path, failed=errors.append)
    run.process([Source("video", "/in/film.avi", PurePosixPath("film.avi"))])
    assert list(map(str, errors)) == ["video film: an image of 8 x 1 pixels cannot be scaled"]
    assert {path.name for path in tmp_path.iterdir()} == {MARK}


def test_the_end_of_what_has_none_is_reported(monkeypatch):
    class Camera(list):
        def __init__(self, where, step) -> None:
            super().__init__([np.zeros((8, 8, 3), np.uint8)] * 3)
            self.fps, self.shown, self.num_frames = 10, "camera 0", None

        def check_whole(self, number) -> None:
            assert number == 3

    monkeypatch.setattr(run_module, "VideoReader", Camera)
    errors = []
    run = InferenceRun(Counted(), failed=errors.append)
    run.process([Source("live", 0, PurePosixPath("camera_0.mp4"))])
    assert run.num_images == 3
    assert list(map(str, errors)) == ["camera 0 ended after 3 frames, which are done"]
    run.process([Source("live", "http://host/film.mjpg", PurePosixPath("film.mp4"))])  # which may have one
    assert (run.num_images, len(errors)) == (6, 1)


def test_what_a_batch_computed_is_let_go_before_its_images_are_tried_one_by_one():
    """On a GPU whose memory did not hold the batch, it would not hold an image either."""
    kept, alive = [], []

    class Full(Counted):
        def detect(self, images):
            if len(images) < 2:
                alive.extend(kept[0]() is not None for _ in images)
                return super().detect(images)
            computed = np.zeros(9)
            kept.append(weakref.ref(computed))
            raise InputError("the GPU's memory does not hold a batch of 2; make it smaller")

    errors = []
    run = InferenceRun(Full(), batch_size=2, failed=errors.append)
    run.process(images(2))
    assert (alive, errors, run.num_images) == ([False, False], [], 2)


def test_two_videos_of_one_place_are_refused(tmp_path):
    names = ("film.avi", "film.avi.mp4", "film.mp4")
    films = [Source("video", tmp_path / "in" / name, PurePosixPath(name)) for name in names]
    check_outputs(tmp_path / "out", [films[0], films[2]])
    with pytest.raises(InputError, match=r"out/film.avi.mp4 would be of .*in/film.avi and of .*in/film.avi.mp4"):
        check_outputs(tmp_path / "out", films)


def test_what_people_may_have_put_there_is_not_overwritten(tmp_path):
    """A file in a folder above the source, or in one that no run has begun; one of an earlier run, beside it, is."""
    (tmp_path / "in/new").mkdir(parents=True)
    (tmp_path / "found").mkdir()
    for place in ("in/a.png", "in/new/a.png", "found/a.png"):
        (tmp_path / place).touch()
    source = Source("image", tmp_path / "in/new/a.png", PurePosixPath("a.png"))
    for folder in ("in/new", "in"):
        with pytest.raises(InputError, match=rf"in/new/a.png would overwrite .*{folder}/a.png; name another folder"):
            output_path(tmp_path / folder, source)
    with pytest.raises(InputError, match=r"in/new/a.png would overwrite .*found/a.png; name another folder"):
        check_outputs(tmp_path / "found", [source])
    (tmp_path / "found" / MARK).touch()
    assert output_path(tmp_path / "found", source) == tmp_path / "found/a.png"
    assert output_path(tmp_path, source) == tmp_path / "a.png"


def test_a_link_is_not_replaced_by_the_picture_of_what_it_leads_to(tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "a.png").touch()
    link = tmp_path / "links/a.png"
    link.symlink_to(tmp_path / "a.png")
    (tmp_path / "links" / MARK).touch()
    with pytest.raises(InputError, match="would overwrite"):
        output_path(tmp_path / "links", Source("image", link, PurePosixPath("a.png")))


def test_a_folder_that_a_run_begins_is_its_own(tmp_path):
    """One with other things in it is not, and a second run writes over nothing there."""
    for folder, mine in ((tmp_path / "new", True), (tmp_path / "used", False)):
        if not mine:
            folder.mkdir()
            (folder / "other.txt").touch()
        InferenceRun(Counted(), pictures=folder).process(images(1))
        assert (folder / "0.jpg").is_file()
        again = [Source("image", Path("/in/0.jpg"), PurePosixPath("0.jpg"))]
        if mine:
            check_outputs(folder, again)
        else:
            with pytest.raises(InputError, match="would overwrite"):
                check_outputs(folder, again)


def test_results_that_cannot_be_written_end_the_run_at_a_video_too(monkeypatch):
    class Film:
        fps, num_frames, shown = 10.0, 2, "film"

        def __init__(self, where, step) -> None:
            pass

        def __iter__(self):
            return (np.zeros((8, 8, 3), np.uint8) for _ in range(2))

    class Full:
        def image_id(self, name, path):
            return 1

        def add(self, image_id, found, **named):
            raise InputError("found.json cannot be written: No space left on device")

    monkeypatch.setattr(run_module, "VideoReader", Film)
    skipped: list[InputError] = []
    run = InferenceRun(Counted(), results=Full(), failed=skipped.append)
    with pytest.raises(InputError, match="No space left"):
        run.process([Source("video", "/in/film.avi", PurePosixPath("film.avi"))])
    assert not skipped
