"""Videos are read frame by frame, and written whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lors_det.errors import InputError
from lors_det.inference import videos
from lors_det.inference.videos import VideoReader, written_video


def frame(level: int) -> np.ndarray:
    """Red, so that swapped channels show."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[..., 0] = level
    return image


def test_frames_come_back_in_order_and_colour(tmp_path):
    path = tmp_path / "film.mp4"
    with written_video(path, 12.5) as writer:
        for level in range(60, 240, 20):
            writer.add(frame(level))
        assert not path.exists()
    reader = VideoReader(path)
    assert reader.fps == pytest.approx(12.5)
    assert reader.num_frames == 9
    means = [image.mean(axis=(0, 1)) for image in reader]
    assert len(means) == 9
    assert np.all(np.diff([mean[0] for mean in means]) > 10)
    assert max(mean[2] for mean in means) < 30
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("step", "levels"), [(2, [60, 100, 140, 180, 220]), (4, [60, 140, 220]), (20, [60])])
def test_every_nth_frame_alone(tmp_path, step, levels):
    path = tmp_path / "film.mp4"
    with written_video(path, 12) as writer:
        for level in range(60, 240, 20):
            writer.add(frame(level))
    reader = VideoReader(path, step=step)
    assert reader.fps == pytest.approx(12 / step)
    assert reader.num_frames == len(levels)
    means = [image[..., 0].mean() for image in reader]
    assert np.allclose(means, levels, atol=9)
    reader.check_whole(len(means))


def test_an_error_leaves_nothing_and_ctrl_c_leaves_what_there_is(tmp_path):
    path = tmp_path / "film.mp4"

    def stopped_by(error: type[BaseException]) -> None:
        with written_video(path, 10) as writer:
            writer.add(frame(99))
            raise error

    with pytest.raises(RuntimeError):
        stopped_by(RuntimeError)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt):
        stopped_by(KeyboardInterrupt)
    assert len(list(VideoReader(path))) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_ctrl_c_before_the_first_frame_leaves_the_former_video(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(b"former")
    with pytest.raises(KeyboardInterrupt), written_video(path, 10):
        raise KeyboardInterrupt
    assert path.read_bytes() == b"former"
    assert list(tmp_path.iterdir()) == [path]


def test_ctrl_c_ends_the_run_though_the_disk_is_full(tmp_path, monkeypatch, capsys):
    def full(*_: object) -> None:
        raise InputError("the disk may be full")

    def stopped() -> None:
        with written_video(tmp_path / "film.mp4", 10) as writer:
            writer.add(frame(99))
            raise KeyboardInterrupt

    monkeypatch.setattr(videos, "_check_written", full)
    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert capsys.readouterr().err == "error: the disk may be full\n"
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_the_disk_does_not_hold_is_no_video(tmp_path):
    """OpenCV says nothing; a limit on the size of files stands for a full disk."""
    code = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from lors_det.errors import InputError
from lors_det.inference.videos import written_video
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
random = np.random.default_rng(0)
try:
    with written_video(Path(sys.argv[1]), 10) as writer:
        for _ in range(20):
            writer.add(random.integers(0, 256, (96, 128, 3), np.uint8))
except InputError as error:
    print(error)
"""
    path = tmp_path / "film.mp4"
    path.write_bytes(b"former")
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=120)
    assert done.stdout == f"video {path} could not be written whole; the disk may be full\n", done.stderr
    assert path.read_bytes() == b"former"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("fps", [0.0004, 23.976, 59.973, 90.5471, 119.88, 239.374, 239.76, 960.25])
def test_every_rate_can_be_written(tmp_path, fps):
    with written_video(tmp_path / "film.mp4", fps) as writer:
        for level in range(20):
            writer.add(frame(level))
    reader = VideoReader(tmp_path / "film.mp4")
    assert reader.fps == pytest.approx(max(fps, 0.002), rel=3e-4)
    assert reader.num_frames == 20


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no file has such a name")
def test_a_name_that_is_no_utf_8_is_refused(tmp_path):
    """At which OpenCV would end the process."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4"))
    with written_video(tmp_path / "film.mp4", 10) as writer:
        writer.add(frame(99))
    os.rename(tmp_path / "film.mp4", path)
    with pytest.raises(
        InputError, match=r"^video .*/\\udcff.mp4 cannot be opened, since its name is not UTF-8; rename"
    ):
        VideoReader(path)
    with pytest.raises(InputError, match="its name is not UTF-8"), written_video(path, 10) as writer:
        writer.add(frame(99))
    assert list(tmp_path.iterdir()) == [path]


def test_a_frame_of_another_size_is_scaled(tmp_path):
    """As a stream may send that changes its mode."""
    with written_video(tmp_path / "film.mp4", 10) as writer:
        for image in (frame(99), np.repeat(frame(200), 2, axis=0), frame(99)):
            writer.add(image)
    frames = list(VideoReader(tmp_path / "film.mp4"))
    assert [image.shape for image in frames] == [(48, 64, 3)] * 3
    assert frames[1][..., 0].mean() > 150


def test_no_column_or_row_of_an_odd_size_is_lost(tmp_path):
    image = np.zeros((97, 131, 3), np.uint8)
    image[:, 128:, 0] = image[94:, :, 2] = 255
    with written_video(tmp_path / "film.mp4", 10) as writer:
        writer.add(image)
    (found,) = VideoReader(tmp_path / "film.mp4")
    assert found.shape == (98, 132, 3)
    assert found[:90, 130:, 0].mean() > 150
    assert found[96:, :120, 2].mean() > 150


def test_what_is_no_video_is_named(tmp_path):
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(InputError, match=r"broken\.mp4 cannot be opened"):
        VideoReader(path)
    with pytest.raises(InputError, match="camera 99 cannot be opened"):
        VideoReader(99)
    with pytest.raises(InputError, match="camera 99999999999 cannot be opened"):
        VideoReader(99999999999)


def test_a_size_that_the_codec_lacks_is_named(tmp_path):
    words = r"no video of 9000 x 9000 pixels as MPEG-4 .*, or the codec this size"
    with pytest.raises(InputError, match=words), written_video(tmp_path / "film.mp4", 10) as writer:
        writer.add(np.zeros((9000, 9000, 3), np.uint8))
    assert not any(tmp_path.iterdir())
