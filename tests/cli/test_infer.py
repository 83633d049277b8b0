"""The infer command, from inputs to pictures, videos and JSON."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from references.trained import Trained

from lors_det.cli import infer, run_command
from lors_det.errors import InputError
from lors_det.inference import Detector
from lors_det.inference import run as run_module
from lors_det.inference.scoring import score
from lors_det.inference.videos import VideoReader, written_video
from lors_det.inference.yolo_labels import YoloLabels


def call(trained: Trained, *words: object) -> int:
    """The exit status."""
    arguments = [*words, "--checkpoint", trained.checkpoint, "--device", "cpu"]
    try:
        run_command(infer, [str(word) for word in arguments])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.fixture
def inputs(trained, tmp_path) -> Path:
    """Two images, one in a folder, and a video of four frames."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    shutil.copy(trained.images[0], folder / "a.jpg")
    shutil.copy(trained.images[1], folder / "sub/b.jpg")
    with written_video(folder / "film.mp4", 10) as writer:
        for path in trained.images[::3][:2] * 2:
            writer.add(np.ascontiguousarray(cv2.imread(str(path))[:40, :48, ::-1]))
    return folder


def test_pictures_videos_and_json_of_a_folder(trained, inputs, tmp_path, capsys):
    (inputs / "bad.jpg").write_bytes(b"no image")
    out, path = inputs / "found", tmp_path / "found.json"
    words = (inputs, "--out", out, "--json", path, "--score-threshold", 0, "--batch-size", 3)
    for _ in range(2):  # the outputs of the first are no inputs of the second
        assert call(trained, *words) == 1
    printed = capsys.readouterr()
    assert "skipped: image" in printed.err
    assert "bad.jpg cannot be decoded" in printed.err
    assert "6 images, 1 skipped" in printed.out
    drawn = sorted(str(each.relative_to(out)) for each in out.rglob("[!.]*.*"))
    assert drawn == ["a.jpg", "film.mp4", "sub/b.jpg"]
    for name in ("a.jpg", "sub/b.jpg"):
        before, after = (cv2.imread(str(folder / name)) for folder in (inputs, out))
        assert before.shape == after.shape
        assert np.abs(before.astype(int) - after).mean() > 1
    assert [frame.shape for frame in VideoReader(out / "film.mp4")] == [(40, 48, 3)] * 4
    record = json.loads(path.read_text())
    names = [(image["file_name"], image.get("frame_index")) for image in record["images"]]
    assert names == [("a.jpg", None), *(("film.mp4", index) for index in range(4)), ("sub/b.jpg", None)]
    (found,) = Detector.from_checkpoint(trained.checkpoint, score_threshold=0)([inputs / "a.jpg"])
    own = [each for each in record["annotations"] if each["image_id"] == 1]
    assert [each["score"] for each in own] == found.scores.tolist()


def test_every_nth_frame_of_a_video_has_the_index_that_it_has_in_the_whole(trained, inputs, tmp_path, capsys):
    out, path = tmp_path / "out", tmp_path / "found.json"
    words = (inputs / "film.mp4", "--out", out, "--json", path, "--batch-size", 2, "--score-threshold", 0)
    assert call(trained, *words) == 0
    whole = json.loads(path.read_text())
    assert call(trained, *words, "--frame-step", 3) == 0
    assert "in 2 images" in capsys.readouterr().out
    some = json.loads(path.read_text())
    assert [image["frame_index"] for image in some["images"]] == [0, 3]
    scores = [
        [each["score"] for each in record["annotations"] if each["image_id"] == record["images"][index]["id"]]
        for record, index in ((whole, 0), (some, 0), (whole, 3), (some, 1))
    ]
    assert scores[0] == scores[1] != scores[2] == scores[3] != []
    film = VideoReader(out / "film.mp4")
    assert (film.num_frames, round(film.fps, 2)) == (2, 3.33)


def test_labels_for_images_without_pictures(trained, inputs, tmp_path, capsys):
    labels = tmp_path / "labels"
    assert call(trained, inputs, "--yolo-labels", labels, "--no-pictures") == 2
    assert "--yolo-labels writes files of images, and there is a video among the inputs" in capsys.readouterr().err
    (inputs / "film.mp4").unlink()
    assert call(trained, inputs, "--yolo-labels", labels, "--no-pictures", "--score-threshold", 0) == 0
    assert f"in 2 images, written to {labels}" in capsys.readouterr().out
    (found,) = Detector.from_checkpoint(trained.checkpoint, score_threshold=0)([inputs / "a.jpg"])
    lines = (labels / "a.txt").read_text().splitlines()
    assert [int(line.split()[0]) for line in lines] == found.labels.tolist()
    assert (labels / "sub/b.txt").is_file()
    before = (labels / "a.txt").read_text()
    assert call(trained, inputs, "--yolo-labels", labels, "--no-pictures", "--score-threshold", 1) == 2
    assert "name a new or empty folder" in capsys.readouterr().err
    assert (labels / "a.txt").read_text() == before
    words = ("--yolo-labels", tmp_path / "none", "--no-pictures", "--score-threshold", 1)
    assert call(trained, inputs, *words) == 0
    assert (
        f"0 objects in 2 images, written to {words[1]}; none scores 1, which --score-threshold"
        in capsys.readouterr().out
    )
    assert (words[1] / "a.txt").read_text() == ""


def test_labels_below_the_pictures_leave_the_folder_the_runs_own(trained, tmp_path):
    photographs, out = tmp_path / "photographs", tmp_path / "found"
    photographs.mkdir()
    shutil.copy(trained.images[0], photographs / "a.jpg")
    assert call(trained, photographs, "--out", out, "--yolo-labels", out / "labels") == 0
    assert call(trained, photographs, "--out", out) == 0  # its pictures may be written over
    assert call(trained, photographs, "--out", tmp_path / "one/pictures", "--yolo-labels", tmp_path / "one") == 0
    assert call(trained, photographs, "--out", tmp_path / "both", "--yolo-labels", tmp_path / "both") == 0


def test_results_for_scoring_keep_every_detection(trained, tmp_path, capsys):
    path = tmp_path / "results.json"
    words = ("--no-pictures", "--json", path, "--annotations", trained.annotations)
    assert call(trained, *trained.images[:-1], *words) == 0
    out, err = capsys.readouterr()
    assert "1 image of" in err
    figures = score(path, trained.annotations, Detector.from_checkpoint(trained.checkpoint).classes)
    assert f"AP {figures['AP']:.3f}, AP50 {figures['AP50']:.3f}, AP75 " in out
    detector = Detector.from_checkpoint(trained.checkpoint, score_threshold=0)
    ids = [image["id"] for image in json.loads(trained.annotations.read_text())["images"]]
    categories = [each["id"] for each in json.loads(trained.annotations.read_text())["categories"]]
    pairs = zip(ids, detector(trained.images[:-1]))
    expected = [entry for number, found in pairs for entry in found.to_coco(number, categories)]
    assert json.loads(path.read_text()) == expected
    assert not Path("found").exists()


def test_flags_reach_the_detector(trained, tmp_path):
    def entries(*words: object) -> list[dict]:
        path = tmp_path / "found.json"
        assert call(trained, trained.images[0], "--no-pictures", "--json", path, "--quiet", *words) == 0
        return json.loads(path.read_text())["annotations"]

    everything = entries("--score-threshold", 0)
    threshold = sorted(each["score"] for each in everything)[4]
    assert [each for each in everything if each["score"] >= threshold] != everything
    kept = [each["score"] for each in entries("--score-threshold", threshold)]
    assert kept == [each["score"] for each in everything if each["score"] >= threshold]
    label = everything[0]["category_id"] - 1
    name = ("disc", "square", "triangle", "star", "cross", "ring")[label]
    chosen = entries("--score-threshold", 0, "--classes", name)
    assert {each["category_id"] for each in chosen} == {label + 1}
    boxes = [each["bbox"] for each in everything]
    assert [each["bbox"] for each in entries("--score-threshold", 0, "--tta")] != boxes
    assert [each["bbox"] for each in entries("--score-threshold", 0, "--image-side", 96)] != boxes
    assert [each["bbox"] for each in entries("--score-threshold", 0, "--tile", 40, "--tile-overlap", 0.5)] != boxes
    assert entries("--score-threshold", 0, "--config", trained.config) == everything


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_was_seen_is_kept_where_a_run_is_ended(trained, tmp_path, monkeypatch, capsys, number, status):
    """Ctrl-C is how a camera ends; clusters send SIGTERM."""
    former = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}

    class Camera:
        fps = 25.0

        def __init__(self, where: int, step: int) -> None:
            assert where == 3

        def __iter__(self):
            for _ in range(5):
                yield np.zeros((48, 64, 3), np.uint8)
            if number == signal.SIGINT:  # which a process in the background may be deaf to
                raise KeyboardInterrupt
            os.kill(os.getpid(), number)
            time.sleep(10)

    monkeypatch.setattr(run_module, "VideoReader", Camera)
    out, path = tmp_path / "out", tmp_path / "found.json"
    assert call(trained, "camera:3", "--out", out, "--json", path) == status
    assert {each: signal.getsignal(each) for each in former} == former
    assert "ended early, after 5 images; what is written is of these alone" in capsys.readouterr().err
    assert len(list(VideoReader(out / "camera_3.mp4"))) == 5
    assert len(json.loads(path.read_text())["images"]) == 5


def test_mistakes_end_with_one_line(trained, inputs, tmp_path, capsys):
    (inputs / "bad.jpg").write_bytes(b"no image")
    json_file = ("--json", tmp_path / "a.json")
    for words, message in (
        ((inputs, "--strict", "--out", tmp_path / "out", "--quiet"), "bad.jpg cannot be decoded"),
        ((inputs, "--no-pictures"), "leaves nothing to write"),
        ((inputs, "--annotations", trained.annotations), "name a file: --json"),
        ((inputs, *json_file, "--annotations", trained.annotations), "there is a video among the inputs"),
        ((inputs / "none.jpg",), "none.jpg does not exist"),
        ((inputs / "a.jpg", "--out", inputs), "would overwrite"),
        ((inputs / "a.jpg", "--out", inputs / "a.jpg"), "is a file; name a folder"),
        ((inputs / "a.jpg", "--score-threshold", 30), "must be between 0 and 1"),
        ((inputs / "a.jpg", "--batch-size", 0), "--batch-size is 0; it must be at least 1"),
        ((inputs / "a.jpg", "--frame-step", 0), "--frame-step is 0; it must be at least 1"),
        ((inputs / "a.jpg", "--image-side", 16, "--out", tmp_path / "out"), "the image side is 16"),
        ((inputs / "a.jpg", "--tile", 2, "--out", tmp_path / "out"), "tile is 2 pixels"),
        ((inputs / "a.jpg", "--tile-overlap", 0.5), "name their size: --tile PIXELS"),
        ((inputs / "a.jpg", "--json", inputs / "a.jpg"), "must end in .json"),
    ):
        assert call(trained, *words) == 2, words
        printed = capsys.readouterr().err
        assert message in printed, printed
        assert printed.splitlines()[-1].startswith("error: ")
        assert "Traceback" not in printed
    assert not (tmp_path / "a.json").exists()


def test_labels_that_an_error_leaves_are_told_of(trained, inputs, tmp_path, capsys):
    good, bad, out = inputs / "a.jpg", inputs / "bad.jpg", tmp_path / "labels"
    bad.write_bytes(b"no image")
    assert call(trained, good, bad, "--no-pictures", "--strict", "--quiet", "--yolo-labels", out) == 2
    said = capsys.readouterr().err
    assert "bad.jpg cannot be decoded" in said
    assert f"the labels of 1 image before are in {out}, and a new run wants another folder, or an empty one" in said
    assert (out / "a.txt").is_file()


def test_a_label_file_that_cannot_be_written_is_not_counted(trained, inputs, tmp_path, capsys, monkeypatch):
    write = YoloLabels._write

    def full(labels, path, lines):
        if path.name == "b.txt":
            raise InputError("no space is left for b.txt")
        write(labels, path, lines)

    (inputs / "b.jpg").write_bytes((inputs / "a.jpg").read_bytes())
    monkeypatch.setattr(YoloLabels, "_write", full)
    words = (inputs / "a.jpg", inputs / "b.jpg", "--no-pictures", "--quiet", "--yolo-labels", tmp_path / "labels")
    assert call(trained, *words) == 2
    assert "no space is left for b.txt; the labels of 1 image before are in" in capsys.readouterr().err


def test_an_extreme_image_and_other_formats_cost_the_others_nothing(trained, inputs, tmp_path, capsys):
    cv2.imwrite(str(inputs / "b.png"), np.zeros((2, 3000, 3), np.uint8))
    (inputs / "sub/c.gif").write_bytes(b"GIF89a")
    path = tmp_path / "found.json"
    words = (inputs / "b.png", inputs, "--json", path, "--batch-size", 4, "--no-pictures")
    assert call(trained, *words) == 1
    printed = capsys.readouterr()
    assert "note: 1 image passed over, of formats that are not read" in printed.err
    (skipped,) = (line for line in printed.err.splitlines() if line.startswith("skipped"))
    assert "b.png: an image of 3000 x 2 pixels cannot be scaled" in skipped
    assert "in 6 images, 1 skipped" in printed.out
    assert "7/7" in printed.err, "the bar ends before its end"
    assert len(json.loads(path.read_text())["images"]) == 6


def test_two_images_that_would_be_one_of_the_annotations_are_refused(trained, tmp_path, capsys):
    """Before any is detected: the ids of val's images were those of the images of train that came first."""
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        shutil.copy(trained.images[0], tmp_path / split)
    words = ("--no-pictures", "--json", tmp_path / "found.json", "--annotations", trained.annotations)
    assert call(trained, tmp_path, *words) == 2
    said = capsys.readouterr().err
    assert (
        f"{tmp_path}/train/{trained.images[0].name} and {tmp_path}/val/{trained.images[0].name} would both be" in said
    )
    assert not (tmp_path / "found.json").exists()
    assert call(trained, tmp_path / "val", *words) == 0


def test_a_skipped_image_counts_as_missed(trained, tmp_path, capsys):
    flat = tmp_path / "val" / trained.images[0].name
    flat.parent.mkdir()
    cv2.imwrite(str(flat), np.zeros((2, 3000, 3), np.uint8))
    words = ("--no-pictures", "--json", tmp_path / "found.json", "--annotations", trained.annotations)
    assert call(trained, flat, *trained.images[1:], *words) == 1
    assert "warning: 1 image of" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["INPUT", "--json", "--out", "--annotations", "--checkpoint", "--yolo-labels"])
def test_an_empty_word_is_no_place(trained, inputs, capsys, option):
    words = ("",) if option == "INPUT" else (inputs, option, "")
    assert call(trained, *words) == 2
    assert f"argument {option}: it is empty; is a variable not set?" in capsys.readouterr().err


def test_a_run_that_cannot_start_leaves_no_labels(trained, inputs, tmp_path, capsys):
    (inputs / "film.mp4").unlink()
    (inputs / "b.jpg").write_bytes(b"a person's own")
    labels = tmp_path / "labels"
    assert call(trained, inputs / "sub", "--out", inputs, "--yolo-labels", labels) == 2
    assert f"sub/b.jpg would overwrite {inputs}/b.jpg; name another folder, --out" in capsys.readouterr().err
    assert not labels.exists()
    assert (inputs / "b.jpg").read_bytes() == b"a person's own"


def test_pictures_of_an_earlier_run_are_no_inputs(trained, inputs, tmp_path, monkeypatch):
    """Unless they are named."""
    monkeypatch.chdir(inputs)
    (inputs / "film.mp4").unlink()
    assert call(trained, ".", "--quiet") == 0
    assert (inputs / "found/a.jpg").is_file()
    for named, expected in ((".", ["a.jpg", "sub/b.jpg"]), ("found", ["a.jpg", "sub/b.jpg"])):
        path = tmp_path / f"{named}.json"
        assert call(trained, named, "--no-pictures", "--quiet", "--json", path) == 0
        assert [image["file_name"] for image in json.loads(path.read_text())["images"]] == expected


@pytest.mark.parametrize("quiet", [(), ("--quiet",)])
def test_a_reader_of_messages_who_goes_away_costs_no_detections(trained, inputs, tmp_path, monkeypatch, quiet):
    class Closed:
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None: ...

    (inputs / "bad.jpg").write_bytes(b"no image")
    path = tmp_path / "found.json"
    monkeypatch.setattr(infer.sys, "stderr", Closed())
    assert call(trained, inputs, "--no-pictures", *quiet, "--json", path) == 1
    assert len(json.loads(path.read_text())["images"]) == 6
