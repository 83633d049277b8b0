"""The synthetic set: reproducible, fair ground truth, whole or absent on disk."""

import json
import math
import os
import signal
from argparse import ArgumentParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from lors_det.cli import make_shapes
from lors_det.data import drawing, shapes
from lors_det.data.drawing import CLASSES, CROWDED, PLAIN, Scenes, Shape, coverage, render_image
from lors_det.data.shapes import generate_shapes
from lors_det.errors import Terminated

SIZE = 96
SMALL = {"num_train": 12, "num_val": 5, "image_size": SIZE, "seed": 3}


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def records(root: Path, split: str) -> dict:
    return json.loads((root / "annotations" / f"{split}.json").read_text())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("small") / "nested" / "set"
    generate_shapes(root, **SMALL)
    return root


Drawn = list[tuple[np.ndarray, list[Shape]]]


@pytest.fixture(scope="module", params=[PLAIN, CROWDED], ids=["plain", "crowded"])
def scenes(request: pytest.FixtureRequest) -> Scenes:
    return request.param


@pytest.fixture(scope="module")
def drawn(scenes: Scenes) -> Drawn:
    num_images = 150 if scenes is PLAIN else 40  # as many objects
    return [render_image(np.random.default_rng([7, i]), 160, scenes) for i in range(num_images)]


def test_same_seed_gives_the_same_bytes(small: Path, tmp_path: Path) -> None:
    generate_shapes(tmp_path / "again", **SMALL)
    assert files(tmp_path / "again") == files(small)


def test_seed_split_and_index_all_matter(small: Path, tmp_path: Path) -> None:
    generate_shapes(tmp_path / "other", **{**SMALL, "seed": 4})
    ours, theirs = files(small), files(tmp_path / "other")
    images = [content[name] for content in (ours, theirs) for name in content if name.endswith(".jpg")]
    assert len(images) == 2 * (SMALL["num_train"] + SMALL["num_val"])
    assert len(set(images)) == len(images)


def test_images_do_not_depend_on_how_many_are_asked_for(small: Path, tmp_path: Path) -> None:
    generate_shapes(tmp_path / "short", **{**SMALL, "num_train": 4, "num_val": 1})
    whole = files(small)
    for name, content in files(tmp_path / "short").items():
        if name.endswith(".jpg"):
            assert content == whole[name], name
    for split, count in (("train", 4), ("val", 1)):
        expected = [a for a in records(small, split)["annotations"] if a["image_id"] < count]
        assert records(tmp_path / "short", split)["annotations"] == expected


def test_pycocotools_loads_the_set(small: Path) -> None:
    for split in ("train", "val"):
        coco = COCO(str(small / "annotations" / f"{split}.json"))
        assert [(c["id"], c["name"]) for c in coco.cats.values()] == list(enumerate(CLASSES, start=1))
        assert len(coco.getImgIds()) == SMALL[f"num_{split}"]
        assert min(coco.getAnnIds()) == 1  # pycocotools takes id 0 for "no match"
        for image in coco.loadImgs(coco.getImgIds()):
            pixels = cv2.imread(str(small / split / image["file_name"]))
            assert pixels.shape == (image["height"], image["width"], 3) == (SIZE, SIZE, 3)
            found = coco.loadAnns(coco.getAnnIds(image["id"]))
            assert 1 <= len(found) <= PLAIN.max_objects
            for annotation in found:
                x, y, w, h = annotation["bbox"]
                assert 0 <= x < x + w <= SIZE
                assert 0 <= y < y + h <= SIZE
                assert 0 < annotation["area"] <= w * h
                assert annotation["iscrowd"] == 0


def test_files_on_disk_are_the_rendered_images(small: Path) -> None:
    seeds = np.random.SeedSequence([SMALL["seed"], 1, 2, SIZE])
    image, found = render_image(np.random.Generator(np.random.PCG64(seeds)), SIZE)
    stored = cv2.imread(str(small / "val" / "000002.jpg"))
    assert np.abs(stored.astype(int) - image).mean() < 6  # JPEG's loss; another image differs by far more
    annotations = [a for a in records(small, "val")["annotations"] if a["image_id"] == 2]
    assert [a["bbox"] for a in annotations] == [list(shape.box_xywh) for shape in found]
    assert [a["category_id"] - 1 for a in annotations] == [shape.class_index for shape in found]
    assert [a["area"] for a in annotations] == [shape.mask.sum() for shape in found]


def test_boxes_are_tight(drawn: Drawn) -> None:
    for _, found in drawn:
        for shape in found:
            rows, columns = np.nonzero(shape.mask)
            corners = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            x, y, w, h = shape.box_xywh
            assert (x, y, x + w, y + h) == corners


def test_every_object_shows_enough_of_itself(drawn: Drawn, scenes: Scenes) -> None:
    hidden = 0
    for _, found in drawn:
        above = np.zeros((160, 160), bool)
        for shape in reversed(found):
            visible = shape.mask & ~above
            assert np.array_equal(visible, shape.visible)
            assert visible.sum() >= scenes.min_visible_share * shape.full_area_px
            assert shape.mask.sum() >= drawing.MIN_INSIDE_SHARE * shape.full_area_px
            hidden += bool((shape.mask & above).any())
            above |= shape.mask
    assert hidden > 20  # overlap does occur


def test_masks_lie_on_what_is_drawn(drawn: Drawn) -> None:
    """Fills are saturated and grounds are muted, so saturation must tell a mask from its surroundings."""
    inside, outside = [], []
    for image, found in drawn:
        saturation = cv2.cvtColor(cv2.GaussianBlur(image, (3, 3), 0), cv2.COLOR_BGR2HSV)[..., 1]
        everything = np.any([shape.mask for shape in found], axis=0)
        outside.append(saturation[~everything].mean())
        inside += [saturation[shape.visible].mean() - outside[-1] for shape in found]
    assert np.mean(np.array(inside) > 15) > 0.97, np.sort(inside)[:20]


@pytest.mark.parametrize("class_index", range(len(CLASSES)), ids=CLASSES)
def test_shapes_stand_where_they_are_put(class_index: int) -> None:
    size, (x, y) = 60.0, (20.25, 31.75)
    patch, left, top = coverage(class_index, size_px=size, angle_rad=0.4, centre_xy=(x, y))
    turned, *_ = coverage(class_index, size_px=size, angle_rad=1.9, centre_xy=(x, y))
    rows, columns = np.mgrid[0 : len(patch), 0 : len(patch)] + 0.5
    mass = patch.sum()
    assert (patch * columns).sum() / mass + left == pytest.approx(x, abs=0.1)
    assert (patch * rows).sum() / mass + top == pytest.approx(y, abs=0.1)
    assert turned.sum() == pytest.approx(mass, rel=0.01)
    assert patch[[0, -1]].max() == patch[:, [0, -1]].max() == 0  # nothing is cut off


def test_disc_and_ring_have_their_exact_extent() -> None:
    for name, holes in (("disc", 0.0), ("ring", 0.27)):
        patch, left, top = coverage(CLASSES.index(name), size_px=40, angle_rad=1.0, centre_xy=(50, 60))
        rows, columns = np.nonzero(patch >= 0.5)
        assert (columns.min() + left, columns.max() + left + 1) == (30, 70)
        assert (rows.min() + top, rows.max() + top + 1) == (40, 80)
        exact, edge = math.pi * 40**2 * (0.25 - holes**2), math.pi * 40 * (1 + 2 * holes)
        # OpenCV fills the pixels under an edge too: up to half a fine pixel, an eighth of a pixel, along it.
        assert 0.995 * exact < patch.sum() < exact + edge / 8


def test_classes_and_sizes_are_balanced() -> None:
    """At 64 px for speed; the distribution does not depend on the size."""
    found = [s for i in range(600) for s in render_image(np.random.default_rng([9, i]), 64)[1]]
    counts = np.bincount([s.class_index for s in found], minlength=len(CLASSES))
    share = counts / counts.sum()
    assert np.all(np.abs(share - 1 / len(CLASSES)) < 0.03), counts  # 4 standard deviations
    sides = np.array([max(s.box_xywh[2:]) for s in found]) / 64
    assert np.all((sides > 0.1) & (sides < 0.7))
    assert min(np.mean(sides < 0.25), np.mean(sides > 0.35)) > 0.2


def test_crowded_scenes_are_crowded() -> None:
    found = [render_image(np.random.default_rng([9, i]), 192, CROWDED)[1] for i in range(60)]
    assert np.mean([len(objects) for objects in found]) > 10
    assert max(len(objects) for objects in found) > 20
    every = [shape for objects in found for shape in objects]
    assert {shape.class_index for shape in every} == set(range(48))
    sides = np.array([max(shape.box_xywh[2:]) for shape in every])
    assert np.quantile(sides, 0.95) > 5 * np.quantile(sides, 0.05)
    assert np.mean([(shape.visible != shape.mask).any() for shape in every]) > 0.2


def test_a_crowded_class_is_its_outline_in_its_colour() -> None:
    """The fill's hue is that of the class: the nearest of the eight, for nearly every object."""
    hues = np.array([_hue(CROWDED.colours.split()[i * len(CLASSES)]) for i in range(8)])
    right = []
    for i in range(40):
        image, found = render_image(np.random.default_rng([11, i]), 192, CROWDED)
        hue = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)[..., 0].astype(float)
        for shape in found:
            turns = hue[shape.visible] * (2 * np.pi / 180)
            mean = np.angle(np.exp(1j * turns).mean())
            right.append(np.abs(np.exp(1j * hues) - np.exp(1j * mean)).argmin() == shape.class_index // len(CLASSES))
    assert CROWDED.classes[:7] == (*(f"red {name}" for name in CLASSES), "orange disc")
    assert np.mean(right) > 0.9


def _hue(colour: str) -> float:
    pixel = np.uint8([[list(bytes.fromhex(colour))[::-1]]])
    return float(cv2.cvtColor(pixel, cv2.COLOR_BGR2HSV)[0, 0, 0]) * (2 * np.pi / 180)


def test_a_crowded_set_is_another(tmp_path: Path) -> None:
    arguments = {**SMALL, "num_train": 2, "num_val": 1}
    parser = ArgumentParser()
    make_shapes.add_arguments(parser)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in arguments.items()]
    make_shapes.main(parser.parse_args([str(tmp_path / "crowded"), "--crowded", *options]))
    assert [c["name"] for c in records(tmp_path / "crowded", "val")["categories"]] == list(CROWDED.classes)
    generate_shapes(tmp_path / "crowded", **arguments, crowded=True)  # is kept
    with pytest.raises(FileExistsError, match="name another folder"):
        generate_shapes(tmp_path / "crowded", **arguments)
    with pytest.raises(FileExistsError, match="'scenes': 'crowded'"):
        generate_shapes(tmp_path / "crowded", **{**arguments, "seed": 4}, crowded=True)


def test_second_call_keeps_the_set(tmp_path: Path) -> None:
    root, arguments = tmp_path / "set", {**SMALL, "num_train": 2, "num_val": 1}
    generate_shapes(root, **arguments)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    generate_shapes(root, **arguments)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("kind", ["foreign", "other arguments", "half", "images gone"])
def test_refuses_a_folder_with_something_else(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "set"
    if kind == "foreign":
        root.mkdir()
        (root / "thesis.txt").write_text("only copy")
    else:
        generate_shapes(root, num_train=1, num_val=1, image_size=64, seed=1)
        if kind == "half":
            (root / "annotations" / "val.json").write_text('{"info": ')
        if kind == "images gone":
            (root / "train" / "000000.jpg").unlink()
    before = files(tmp_path)
    with pytest.raises(FileExistsError, match="name another folder or move it away"):
        generate_shapes(root, num_train=1, num_val=1, image_size=64, seed=1 if kind in ("half", "images gone") else 2)
    assert files(tmp_path) == before


def test_nothing_stays_behind_when_generation_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes.cv2, "imwrite", lambda *_: False)  # a full disk
    with pytest.raises(OSError, match="cannot write"):
        generate_shapes(tmp_path / "set", num_train=1, num_val=1, image_size=64)
    assert list(tmp_path.iterdir()) == []


def test_nothing_stays_behind_when_a_cluster_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> bool:
        os.kill(os.getpid(), signal.SIGTERM)
        return True

    monkeypatch.setattr(shapes.cv2, "imwrite", killed)
    parser = ArgumentParser()
    make_shapes.add_arguments(parser)
    with pytest.raises(Terminated):
        make_shapes.main(parser.parse_args([str(tmp_path / "set"), "--num-train", "1", "--num-val", "1"]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [
        ("num_train", 0, "least"),
        ("num_val", -1, "least"),
        ("image_size", 63, "least"),
        ("image_size", 4097, "most"),
        ("seed", -1, "least"),
    ],
)
def test_arguments_out_of_range_are_named(tmp_path: Path, name: str, value: int, least: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}, it must be at {least}"):
        generate_shapes(tmp_path / "set", **{**SMALL, name: value})
    assert list(tmp_path.iterdir()) == []
