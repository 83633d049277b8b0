"""Records as columns, whatever is in them."""

from __future__ import annotations

import numpy as np
import pytest

from lors_det.data.doctor import examine
from lors_det.data.doctor.table import read_table


def test_columns_are_the_records(small):
    table = read_table(small.folder.splits["train"])
    assert table.malformed == ()
    assert table.boxes.shape == (80, 4)
    assert table.usable.all()
    np.testing.assert_array_equal(table.sizes, [(96, 64)] * 40)
    np.testing.assert_array_equal(table.image_of, np.repeat(np.arange(40), 2))
    np.testing.assert_array_equal(table.class_counts, [40, 40])


@pytest.mark.parametrize("section", ["images", "annotations", "categories"])
@pytest.mark.parametrize("entry", [None, 3, [], {}, {"id": [1]}, {"id": None, "file_name": "x"}])
def test_an_entry_that_is_none_is_a_finding(small, section, entry):
    small.records["train"][section].append(entry)
    found = [finding for finding in examine(small.case()) if finding.level == "error"]
    assert [finding.kind for finding in found] == ["malformed-entry"]
    assert section in found[0].where


@pytest.mark.parametrize("section", ["images", "annotations", "categories"])
@pytest.mark.parametrize("value", [None, {}, "text"])
def test_a_section_that_is_none_is_a_finding(small, section, value):
    small.records["train"][section] = value
    assert "malformed-entry" in {finding.kind for finding in examine(small.case())}


@pytest.mark.parametrize("box", [None, [], [1, 2, 3], [1, 2, 3, "4"], [1, 2, 3, float("nan")], "1234", [[1], 2, 3, 4]])
def test_a_box_that_is_none_is_a_finding(small, box):
    small.records["train"]["annotations"][7]["bbox"] = box
    (finding,) = [finding for finding in examine(small.case()) if finding.level == "error"]
    assert finding.kind == "malformed-box"
    assert finding.where == "train, train3.jpg, annotation 8"


@pytest.mark.parametrize("width", [None, "96", -3, 0])
def test_a_size_that_is_none_is_a_finding(small, width):
    small.records["train"]["images"][7]["width"] = width
    assert [finding.kind for finding in examine(small.case()) if finding.level == "error"] == ["no-size"]


def test_a_number_beyond_all_numbers_is_none(small):
    small.records["train"]["annotations"][0]["bbox"][0] = 10**400
    assert [finding.kind for finding in examine(small.case()) if finding.level == "error"] == ["malformed-box"]


def test_ids_may_be_words(small):
    for record in small.records.values():
        for image in record["images"]:
            image["id"] = f"image {image['id']}"
        for annotation in record["annotations"]:
            annotation["image_id"] = f"image {annotation['image_id']}"
    assert [finding for finding in examine(small.case()) if finding.level != "note"] == []
