"""The first epochs' figures are told beside what is expected of them, on the set that they are of."""

from __future__ import annotations

import pytest
from references.tiny import make_data, runner_of, tiny_config

from lors_det.errors import InputError
from lors_det.plugin.hooks.early_check import EarlyCheckHook


@pytest.mark.parametrize(
    ("expected", "num_images", "said"),
    [
        (
            [0.9, 0.0],
            16,
            ["coco/bbox_mAP is 0.0", "where a sound run has 0.900: far behind", "where a sound run has 0.000\n"],
        ),
        ([0.9, 0.9], 117266, []),
    ],
    ids=["far behind, then not", "another set"],
)
def test_what_is_said(tmp_path, expected, num_images, said):
    hook = dict(type="EarlyCheckHook", expected=expected, num_images=num_images)
    cfg = tiny_config(make_data(tmp_path / "shapes"), tmp_path / "run", **{"default_hooks.early_check": hook})
    runner_of(cfg).train()  # three epochs
    log = next((tmp_path / "run").rglob("*.log")).read_text()
    assert all(words in log for words in said)
    told = [line for line in log.splitlines() if "where a sound run has" in line]
    assert len(told) == (2 if said else 0)
    assert [("WARNING" in line) for line in told] == [True, False][: len(told)]


@pytest.mark.parametrize(
    "values", [dict(expected=[]), dict(expected=["a"]), dict(expected=[0.1], tolerance=-1)], ids=str
)
def test_a_wrong_value_is_named(values):
    with pytest.raises(InputError, match="EarlyCheckHook takes"):
        EarlyCheckHook(**values)
