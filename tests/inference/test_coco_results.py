"""The JSON file is what COCO's tools read, and scores as the test command does."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from references.trained import evaluated

from lors_det.errors import InputError
from lors_det.inference import Detections
from lors_det.inference.coco_results import CocoResults
from lors_det.inference.scoring import score

CLASSES = ("dog", "cat")


def two(size: tuple[int, int] = (64, 40)) -> Detections:
    boxes = np.array([[1, 2, 11, 22], [0, 0, 5, 5]], np.float32)
    return Detections(boxes, np.array([0.75, 0.125], np.float32), np.array([1, 0]), CLASSES, size)


def truth(path: Path, names: tuple[str, ...] = ("x/a.jpg", "b.jpg"), classes=("cat", "cow", "dog")) -> Path:
    images = [dict(id=number, file_name=name, width=9, height=9) for number, name in enumerate(names, 11)]
    categories = [dict(id=number, name=name) for number, name in enumerate(classes, 5)]
    path.write_text(json.dumps(dict(images=images, categories=categories)))
    return path


def test_without_annotations_it_is_a_record_of_its_own(tmp_path):
    path = tmp_path / "found.json"
    with CocoResults(path, CLASSES) as results:
        for name, index in (("a.jpg", None), ("film.mp4", 0), ("film.mp4", 1)):
            results.add(results.image_id(name, None), two(), name=name, frame_index=index)
        assert not path.exists()
    with contextlib.redirect_stdout(io.StringIO()):
        record = COCO(str(path))
    assert [category["name"] for category in record.loadCats(record.getCatIds())] == ["dog", "cat"]
    assert [image["file_name"] for image in record.loadImgs([1, 2, 3])] == ["a.jpg", "film.mp4", "film.mp4"]
    assert [image.get("frame_index") for image in record.loadImgs([1, 2, 3])] == [None, 0, 1]
    assert record.loadImgs([1])[0]["width"] == 64
    (best, _) = record.loadAnns(record.getAnnIds(imgIds=[2]))
    assert (best["category_id"], best["bbox"], best["area"], best["score"]) == (2, [1, 2, 10, 20], 200, 0.75)
    assert record.getAnnIds() == [1, 2, 3, 4, 5, 6]


def test_with_annotations_it_is_a_list_with_their_ids(tmp_path):
    path = tmp_path / "results.json"
    given = truth(tmp_path / "truth.json")
    with CocoResults(path, CLASSES, annotations=given, score_threshold=0.5) as results:
        assert results.num_left_out == 2
        number = results.image_id("a.jpg", Path("/photos/x/a.jpg"))
        results.add(number, two(), name="a.jpg")
        assert results.num_left_out == 1
        with pytest.raises(InputError, match=r"x/a\.jpg of .* which came before"):
            results.image_id("a.jpg", Path("/photos/x/a.jpg"))
        with pytest.raises(InputError, match=r"/photos/y/a\.jpg is not in annotation file"):
            results.image_id("a.jpg", Path("/photos/y/a.jpg"))
    assert json.loads(path.read_text()) == [
        {"image_id": 11, "category_id": 5, "bbox": [1, 2, 10, 20], "score": 0.75},
    ]


def test_nothing_found_is_a_file_too(tmp_path):
    for options, empty in (({"annotations": truth(tmp_path / "truth.json")}, []), ({}, None)):
        with CocoResults(tmp_path / "none.json", CLASSES, **options):
            pass
        content = json.loads((tmp_path / "none.json").read_text())
        assert content == empty if empty is not None else content["annotations"] == []


def stopped_by(error: BaseException, path: Path) -> None:
    with CocoResults(path, CLASSES) as results:
        results.add(results.image_id("a.jpg", None), two(), name="a.jpg")
        raise error


def test_an_error_leaves_what_was_found_under_another_name(tmp_path, capsys):
    path, partial = tmp_path / "found.json", tmp_path / "found.partial.json"
    with pytest.raises(RuntimeError):
        stopped_by(RuntimeError(), path)
    assert capsys.readouterr().err == f"what was found before is in {partial}\n"
    assert len(json.loads(partial.read_text())["annotations"]) == 2
    assert list(tmp_path.iterdir()) == [partial]
    with pytest.raises(InputError, match=f"^b.jpg is bad; what was found before is in {partial}$"):
        stopped_by(InputError("b.jpg is bad"), path)


def test_where_nothing_more_can_be_written_the_first_error_is_told(tmp_path):
    (tmp_path / "found.partial.json").mkdir()
    with pytest.raises(InputError, match=r"^the disk is full$"):
        stopped_by(InputError("the disk is full"), tmp_path / "found.json")


def test_ctrl_c_leaves_the_file(tmp_path):
    path = tmp_path / "found.json"
    with pytest.raises(KeyboardInterrupt):
        stopped_by(KeyboardInterrupt(), path)
    assert len(json.loads(path.read_text())["annotations"]) == 2
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "has no images or no categories"),
        ({"images": [{}], "categories": [{"id": 1, "name": "dog"}]}, "lacks its id or name"),
        ({"images": [{"id": 1, "file_name": "a"}], "categories": [{"id": 1, "name": "dog"}]}, "lacks .* classes cat"),
    ],
)
def test_wrong_annotations_are_named(tmp_path, content, words):
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=words):
        CocoResults(tmp_path / "out.json", CLASSES, annotations=path)
    with pytest.raises(InputError, match="its folder does not exist"):
        CocoResults(tmp_path / "none/out.json", CLASSES)


def test_what_is_there_is_not_replaced(tmp_path):
    given = truth(tmp_path / "truth.json")
    (tmp_path / "link.json").symlink_to(given)
    for path in (given, tmp_path / "link.json"):
        with pytest.raises(InputError, match="would replace the annotations by the results"):
            CocoResults(path, CLASSES, annotations=given)
    with pytest.raises(InputError, match="is a folder; name a file to write"):
        CocoResults(tmp_path, CLASSES)


def test_pycocotools_gives_the_ap_of_the_test_command(detector, trained, tmp_path):
    """Of a truth that the tiny model half knows: some of its own detections, moved."""
    content = json.loads(trained.annotations.read_text())
    content["categories"] = [{**each, "id": each["id"] * 10} for each in content["categories"]]
    ids = [category["id"] for category in content["categories"]]
    random, content["annotations"] = np.random.default_rng(0), []
    everything = detector(trained.images)
    for image, found in zip(content["images"], everything):
        for entry in found[:: int(random.integers(2, 5))].to_coco(image["id"], ids):
            box = [float(value) for value in np.add(entry["bbox"], random.uniform(0, 4, 4))]
            more = dict(id=len(content["annotations"]) + 1, area=box[2] * box[3], iscrowd=0, bbox=box)
            content["annotations"].append({**entry, **more})
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content))
    _, metrics = evaluated(trained, tmp_path, annotations=path)

    with CocoResults(tmp_path / "results.json", detector.classes, annotations=path) as results:
        for image, found in zip(trained.images, everything):
            results.add(results.image_id(image.name, image), found, name=image.name)
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(str(path))
        scored = COCOeval(known, known.loadRes(str(tmp_path / "results.json")), "bbox")
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    assert 0.05 < scored.stats[0] < 0.95
    assert metrics["coco/bbox_mAP"] == pytest.approx(scored.stats[0], abs=5.1e-4)  # it rounds to three digits
    assert metrics["coco/bbox_mAP_50"] == pytest.approx(scored.stats[1], abs=5.1e-4)
    figures = score(tmp_path / "results.json", path, detector.classes)
    names = ("bbox_mAP", "bbox_mAP_50", "bbox_mAP_75", "bbox_mAP_s", "bbox_mAP_m", "bbox_mAP_l")
    assert list(figures.values()) == pytest.approx([metrics[f"coco/{name}"] for name in names], abs=5.1e-4)


@pytest.mark.parametrize("image_ids", [(11, 12), ("eleven", "12")])
@pytest.mark.parametrize("annotation_ids", [(1, 2), (0, 1), (5, 5), (None, "x")])
def test_what_is_scored(tmp_path, annotation_ids, image_ids):
    """Classes that were asked for alone; ids count for nothing, nor what may be left out, nor what is no box."""
    path, found = truth(tmp_path / "truth.json"), tmp_path / "found.json"
    content = json.loads(path.read_text())
    for image, number in zip(content["images"], image_ids):
        image["id"] = number
    of_class = {each["name"]: each["id"] for each in content["categories"]}
    boxes = [[1.0, 2.0, 10.0, 20.0], [30.0, 2.0, 10.0, 20.0]]
    content["annotations"] = [
        *(
            {"id": number, "image_id": image_ids[0], "category_id": of_class["dog"], "bbox": box}
            for number, box in zip(annotation_ids, boxes)
        ),
        {"image_id": image_ids[1], "category_id": of_class["cat"], "bbox": boxes[0], "area": 200.0, "iscrowd": 0},
        {"image_id": image_ids[0], "category_id": of_class["dog"], "bbox": None},
        {"image_id": image_ids[0], "category_id": of_class["dog"], "bbox": [1, 2, 3]},
        {"image_id": [1], "category_id": of_class["dog"], "bbox": boxes[0]},
        None,
    ]
    path.write_text(json.dumps(content))
    found.write_text(
        json.dumps([dict(image_id=image_ids[0], category_id=of_class["dog"], bbox=box, score=0.5) for box in boxes])
    )
    said: list[str] = []
    assert score(found, path, ["dog"], said.append)["AP"] == pytest.approx(1)
    assert "4 annotations without a box of four numbers, or of no image or category that it lists" in said[0]
    said.clear()
    assert score(found, path, ["cow"], said.append) is None
    assert said[0].startswith(f"{path}: 1 annotation without")  # what is of no category, and not of dogs
    assert score(found, path, ["dog", "cat"])["AP"] == pytest.approx(0.5)
    assert score(found, path, ["dog"])["large"] == -1
    assert score(found, path, ["cow"]) is None
    found.write_text("[]")
    assert set(score(found, path, ["dog"]).values()) == {0}
    for nothing in ([], None, "x"):
        path.write_text(json.dumps({**content, "annotations": nothing}))
        assert score(found, path, ["dog"]) is None


@pytest.mark.parametrize("name", ["../set/x/a.jpg", "/photos/set/x/a.jpg", "x\\a.jpg", "./x/a.jpg", "y/../x/a.jpg"])
def test_names_are_found_however_they_are_written(tmp_path, name):
    given = truth(tmp_path / "truth.json", (name, "b.jpg"))
    with CocoResults(tmp_path / "results.json", CLASSES, annotations=given) as results:
        assert results.image_id("a.jpg", Path("/photos/set/x/a.jpg")) == 11


def test_two_images_of_a_name_are_refused(tmp_path):
    given = truth(tmp_path / "truth.json", ("../a.jpg", "a.jpg"))
    with pytest.raises(InputError, match=r"lists image name a\.jpg twice"):
        CocoResults(tmp_path / "results.json", CLASSES, annotations=given)


@pytest.mark.parametrize(
    ("section", "values", "fault"),
    [
        ("images", dict(id=11), "lists image id 11 twice; give every image its own id"),
        ("images", dict(id=[1]), "the id of an entry of images is neither a number nor a text"),
        ("categories", dict(id=77), "lists category name .* twice"),
        ("categories", dict(name="another"), "lists category id .* twice"),
    ],
)
def test_ids_that_are_no_ids_are_refused(tmp_path, section, values, fault):
    given = truth(tmp_path / "truth.json", ("a.jpg", "b.jpg"))
    content = json.loads(given.read_text())
    last = content[section][-1]
    content[section].append({**last, **({"file_name": "c.jpg"} if section == "images" else {}), **values})
    given.write_text(json.dumps(content))
    with pytest.raises(InputError, match=fault):
        CocoResults(tmp_path / "results.json", CLASSES, annotations=given)
