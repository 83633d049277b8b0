"""What is written as plain data is the same when it is read."""

from __future__ import annotations

import enum
from collections import Counter, OrderedDict, defaultdict, namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from lors_det.plugin.saving.plain_data import NotPlainError, history_of, to_plain


class Colour(enum.IntEnum):
    RED = 1


def through_a_file(value, path: Path):
    torch.save(to_plain(value, "value"), path)
    return torch.load(path, weights_only=True)


def test_values_survive(tmp_path):
    pair = namedtuple("pair", "left right")(1, [2.5])
    value = {
        "numpy": [np.float64(0.5), np.int64(3), np.bool_(True), np.arange(3)],
        "counter": Counter({8: 1, 11: 2}),
        "default": defaultdict(list, a=[1]),
        "ordered": OrderedDict(b=1, a=2),
        "pair": pair,
        "range": range(3),
        "set": frozenset({1, 2}),
        "torch": [torch.ones(2), torch.float16, torch.Size([2, 3]), torch.device("cpu")],
        (1, "key"): None,
    }
    read = through_a_file(value, tmp_path / "value.pth")
    assert read["numpy"][:3] == [0.5, 3, True]
    assert [type(number) for number in read["numpy"][:3]] == [float, int, bool]
    assert read["numpy"][3].tolist() == [0, 1, 2]
    assert read["counter"] == Counter({8: 1, 11: 2})
    assert read["default"] == {"a": [1]}
    assert list(read["ordered"]) == ["b", "a"]
    assert read["pair"] == pair
    assert read["range"] == [0, 1, 2]
    assert read["set"] == {1, 2}
    assert torch.equal(read["torch"][0], torch.ones(2))
    assert read["torch"][1:] == [torch.float16, (2, 3), torch.device("cpu")]
    assert read[1, "key"] is None


def test_histories_survive(tmp_path):
    history = HistoryBuffer([0.5, 0.25], [1, 2], max_length=7)
    again = history_of(through_a_file(history, tmp_path / "history.pth"))
    assert [part.tolist() for part in again.data] == [[0.5, 0.25], [1, 2]]
    assert again.max_length == 7
    assert history_of({"a": 1}) == {"a": 1}


def test_versions_of_modules_stay_on_a_state_dict(tmp_path):
    state = torch.nn.Sequential(torch.nn.BatchNorm2d(2)).state_dict()
    assert through_a_file(state, tmp_path / "state.pth")._metadata == state._metadata


@pytest.mark.parametrize(
    "value", [Colour.RED, object(), np.array(["a"]), lambda: 0], ids=["enum", "object", "text", "function"]
)
def test_what_is_no_plain_data_is_named(value):
    with pytest.raises(NotPlainError, match=rf"the checkpoint's meta\.x\[\] is a {type(value).__name__}"):
        to_plain({"x": [value]}, "meta")
