"""Feed each reader with spoilt files, made by hypothesis from sound ones, for so long.

python -m trials.fuzz                          # every reader for a minute each
python -m trials.fuzz --readers coco checkpoint --minutes 30

A reader may refuse a file by an error for its user, InputError, or read it. Anything else is a finding, and ends the
trial with the smallest file that shows it: another exception, code that is run, a file that is written outside the
folder of the case. The latter two are watched by Python's audit events.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import time
import warnings
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from lors_det.data.doctor.case import open_case
from lors_det.data.doctor.examine import examine
from lors_det.data.folder import read_folder
from lors_det.data.shapes import generate_shapes
from lors_det.errors import InputError

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
RUNS = {"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "ctypes.dlopen", "socket.connect"}
CHANGES = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "shutil.rmtree"}
SHOWN = 2000


class FoundError(AssertionError):
    """What a reader must not do."""


class Watch:
    """Looks at audit events while a reader runs."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        changes = event in CHANGES and not self._inside(arguments[0])
        flags = arguments[2] if event == "open" else None
        writes = isinstance(flags, int) and bool(flags & WRITING) and not self._inside(arguments[0])
        if event in RUNS or changes or writes:
            self.seen.append(f"{event} {arguments!r:.200}")

    def _inside(self, path: Any) -> bool:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return True  # a file that is open already
        return os.path.abspath(os.fsdecode(path)).startswith((str(self.folder), "/dev/", "/proc/"))

    @contextmanager
    def over(self, folder: Path) -> Iterator[None]:
        """Inside, only files below a folder may be written, and nothing be run.

        Raises:
            FoundError: afterwards, if that was tried.
        """
        self.folder, self.seen = str(folder), []
        try:
            yield
        finally:
            self.folder = None
        if self.seen:
            raise FoundError("; ".join(self.seen[:5]))


# what is spoilt ---------------------------------------------------------------------------------------------------


@st.composite
def spoilt_bytes(draw: st.DrawFn, sound: bytes) -> bytes:
    """Some bytes changed, taken out or put in, or the end cut off."""
    content = bytearray(sound)
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        kind = draw(st.sampled_from(["change", "remove", "insert", "cut", "repeat"]))
        if kind == "change":
            content[place : place + 1] = bytes([draw(st.integers(0, 255))])
        elif kind == "remove":
            del content[place : place + draw(st.integers(1, 40))]
        elif kind == "insert":
            content[place:place] = draw(st.binary(min_size=1, max_size=16))
        elif kind == "cut":
            del content[place:]
        else:
            content[place:place] = content[place : place + draw(st.integers(1, 200))]
    return bytes(content)


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["../../x.png", "/etc/passwd", "a\0b", "", "NaN", "1e999", "~/x", "x" * 300, "\ud800"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def spoilt_value(draw: st.DrawFn, sound: Any) -> Any:
    """The same with some of its parts replaced, taken out or doubled."""
    value = json.loads(json.dumps(sound))
    for _ in range(draw(st.integers(1, 4))):
        places = [*_places(value)]
        if not places:
            break
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        kind = draw(st.sampled_from(["replace", "replace", "remove", "double"]))
        if kind == "replace":
            holder[key] = draw(VALUES)
        elif kind == "remove":
            del holder[key]
        elif isinstance(holder, list):
            holder.append(holder[key])
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in [*items]:
        yield value, key
        yield from _places(item)


# sound files ------------------------------------------------------------------------------------------------------

IMAGES = 6


def write_images(folder: Path) -> list[str]:
    """Small photographs; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number}.png" for number in range(IMAGES)]
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return names


def coco_content() -> dict[str, Any]:
    """Six images with a box each."""
    images = [dict(id=n, file_name=f"{n}.png", width=32, height=24) for n in range(IMAGES)]
    boxes = [dict(id=n, image_id=n, category_id=1, bbox=[2, 2, 9, 8], area=72, iscrowd=0) for n in range(IMAGES)]
    return dict(images=images, annotations=boxes, categories=[dict(id=1, name="cat"), dict(id=2, name="dog")])


VOC = (
    "<annotation><folder>x</folder><filename>{name}</filename><size><width>32</width><height>24</height><depth>3</depth>"
    "</size><object><name>cat</name><difficult>0</difficult><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>12</xmax>"
    "<ymax>11</ymax></bndbox></object></annotation>"
)
YAML = "path: .\ntrain: images\nval: images\nnc: 2\nnames:\n  0: cat\n  1: dog\n"


def read_set(folder: Path) -> None:
    """Read a folder of data and examine it, images too, as ``lors-det check-data`` does."""
    for _ in examine(open_case(read_folder(folder), with_images=True)):
        pass


def coco(folder: Path, data: st.DataObject) -> Callable[[], None]:
    """Annotations in COCO's format, spoilt as values or as text."""
    write_images(folder / "train")
    if data.draw(st.booleans()):
        text = json.dumps(data.draw(spoilt_value(coco_content()))).encode()
    else:
        text = data.draw(spoilt_bytes(json.dumps(coco_content()).encode()))
    (folder / "train/_annotations.coco.json").write_bytes(text)
    return lambda: read_set(folder)


def voc(folder: Path, data: st.DataObject) -> Callable[[], None]:
    """An XML file of Pascal VOC, and a list of a split."""
    names = write_images(folder / "JPEGImages")
    (folder / "Annotations").mkdir()
    (folder / "ImageSets/Main").mkdir(parents=True)
    for name in names:
        (folder / "Annotations" / name.replace("png", "xml")).write_text(VOC.format(name=name))
    (folder / "Annotations/1.xml").write_bytes(data.draw(spoilt_bytes(VOC.format(name="1.png").encode())))
    (folder / "ImageSets/Main/train.txt").write_bytes(data.draw(spoilt_bytes(b"0\n1\n2\n3\n") | st.just(b"0\n1\n2\n")))
    return lambda: read_set(folder)


def yolo(folder: Path, data: st.DataObject) -> Callable[[], None]:
    """A label file of YOLO, and data.yaml."""
    names = write_images(folder / "images")
    (folder / "labels").mkdir()
    for name in names:
        (folder / "labels" / name.replace("png", "txt")).write_text("0 0.5 0.5 0.4 0.4\n1 0.3 0.3 0.2 0.2\n")
    (folder / "labels/1.txt").write_bytes(data.draw(spoilt_bytes(b"0 0.5 0.5 0.4 0.4\n1 .3 .3 .2 .2 .3 .5\n")))
    (folder / "data.yaml").write_bytes(data.draw(spoilt_bytes(YAML.encode()) | st.just(YAML.encode())))
    return lambda: read_set(folder)


def images(folder: Path, data: st.DataObject) -> Callable[[], None]:
    """An image of any format, as the doctor, a training and the detector read it."""
    from lors_det.inference.images import read_image

    write_images(folder / "train")
    (folder / "train/_annotations.coco.json").write_text(json.dumps(coco_content()))
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP"]))
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)).save(buffer, kind)
    (folder / "train/1.png").write_bytes(data.draw(spoilt_bytes(buffer.getvalue())))

    def read() -> None:
        read_set(folder)
        read_image(folder / "train/1.png")

    return read


def checkpoint(folder: Path, data: st.DataObject) -> Callable[[], None]:
    """A checkpoint, spoilt as a file."""
    from lors_det.inference import Detector

    path = folder / "model.pth"
    path.write_bytes(data.draw(spoilt_bytes(sound_checkpoint())))
    return lambda: void(Detector.from_checkpoint(path, device="cpu"))


def config(folder: Path, data: st.DataObject) -> Callable[[], None]:
    """The config inside a checkpoint, spoilt as values."""
    from lors_det.inference import Detector

    path = folder / "model.pth"
    content = torch.load(io.BytesIO(sound_checkpoint()), weights_only=True)
    content["meta"]["config_data"] = data.draw(spoilt_value(content["meta"]["config_data"]))
    torch.save(content, path)
    return lambda: void(Detector.from_checkpoint(path, device="cpu"))


def void(_: object) -> None:
    """Nothing of it."""


_SOUND: list[bytes] = []


def sound_checkpoint() -> bytes:
    """Of a small detector with random weights, made once."""
    if not _SOUND:
        from mmdet.registry import MODELS

        from lors_det.plugin.config.reading import load_config

        root = Path(__file__).parent.parent
        with tempfile.TemporaryDirectory() as outer:
            place = f"{outer}/shapes"
            generate_shapes(Path(place), num_train=1, num_val=1, image_size=64)
            small: dict[str, Any] = {
                "model.bbox_head.num_queries": 4,
                "val_evaluator.ann_file": f"{place}/annotations/val.json",
                "test_evaluator.ann_file": f"{place}/annotations/val.json",
                **{f"{split}_dataloader.dataset.data_root": f"{place}/" for split in ("train", "val", "test")},
            }
            cfg = load_config(next(root.glob("configs/shapes/lors-adamixer_*.py")), small, place)
        content = {
            "state_dict": MODELS.build(cfg.model).state_dict(),
            "meta": {"config_data": json.loads(json.dumps(cfg.to_dict())), "dataset_meta": {"classes": list("abcdef")}},
        }
        buffer = io.BytesIO()
        torch.save(content, buffer)
        _SOUND.append(buffer.getvalue())
    return _SOUND[0]


READERS = {reader.__name__: reader for reader in (coco, voc, yolo, images, checkpoint, config)}


# the trial --------------------------------------------------------------------------------------------------------


def examples(name: str, number: int, count: int, watch: Watch, ends: Counter[str]) -> None:
    """Try so many spoilt files on a reader.

    Args:
        name: of the reader.
        number: another one gives other files.
        count: of files.
        watch: over what is run and written.
        ends: counts what was read and what was refused.

    Raises:
        FoundError: with the smallest file that shows it.
    """

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def check(data: st.DataObject) -> None:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place, "set")
            folder.mkdir()
            read = READERS[name](folder, data)
            try:
                with watch.over(folder), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                    read()
                ends["read"] += 1
            except InputError as error:
                if not str(error).strip():
                    raise FoundError("an error without words") from error
                ends["refused"] += 1

    check()


def main() -> None:
    """The command."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--readers", nargs="+", choices=READERS, default=[*READERS])
    parser.add_argument("--minutes", type=float, default=1.0, help="for each reader")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    watch = Watch()
    for name in args.readers:
        ends, began, number = Counter[str](), time.monotonic(), args.seed
        while time.monotonic() - began < 60 * args.minutes:
            examples(name, number, 200, watch, ends)
            number += 1
        print(f"{name:10} {sum(ends.values()):7} files: {dict(ends)}", flush=True)


if __name__ == "__main__":
    main()
