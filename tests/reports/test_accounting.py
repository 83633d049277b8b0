"""Counting parameters and arithmetic: by hand, on a full-size model and a small one."""

from __future__ import annotations

import json

import pytest

from lors_det.cli import run
from lors_det.errors import InputError
from lors_det.plugin.config.reading import load_config
from lors_det.reports.accounting import count_macs, count_parameters

R50 = {
    "lors": ("lors_adamixer/lors-adamixer_r50_100-query_1x_coco", 35_348_264, 59_866_872),
    "adamixer": ("adamixer/adamixer_r50_100-query_1x_coco", 110_272_296, 134_790_904),
    "adamixer-g2-p64": ("adamixer/adamixer-g2-p64_r50_100-query_1x_coco", 135_536_424, 160_055_032),
}


@pytest.fixture(autouse=True)
def _without_data(tmp_path, monkeypatch):
    """A checkout may hold data/shapes, as the demo leaves it, whose classes would be counted."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", R50)
def test_published_totals(root, name):
    path, decoder, published = R50[name]
    counts = count_parameters(load_config(root / f"configs/{path}.py"))
    assert counts["decoder"] == decoder
    assert counts["model_as_published"] == counts["model"] + 400 == published
    assert sum(counts[part] for part in ("backbone", "neck", "queries", "decoder")) == counts["model"]
    assert sum(counts[part] for part in ("shared", "private_mixing", "per_stage")) == decoder
    assert sum(part["shared"] + sum(part["per_stage"]) for part in counts["components"].values()) == decoder
    parts = {"lors": (21_020_672, 4_919_808), "adamixer": (0, 100_864_512), "adamixer-g2-p64": (0, 126_128_640)}
    assert (counts["shared"], counts["private_mixing"], counts["per_stage"]) == (*parts[name], 9_407_784)
    assert counts["published_shape"]["decoder"] == 110_272_296
    assert counts["same_shape"]["decoder"] == (110_272_296 if name == "adamixer" else 135_536_424)
    assert counts["same_shape"]["reduction"] == pytest.approx(0.7392 if name == "lors" else 0)


def test_lors_plus(root):
    """28.6 M: five weights of a stage more are shared, each with a residual of rank 8 a stage."""
    config = root / "configs/ablations/coco/plus.py"
    counts = count_parameters(load_config(config))
    shapes = [(256, 768), (256, 256), (256, 2048), (2048, 256), (256, 384)]
    saved = sum(5 * rows * columns - 6 * 8 * (rows + columns) for rows, columns in shapes)
    assert counts["decoder"] == 35_348_264 - saved == 28_628_776
    assert counts["components"]["attention"]["shared"] == 256 * 768 + 256 * 256


def test_a_selection_of_queries_is_counted(root):
    """Each cell of all levels but the finest is embedded and classified; of the chosen ones' boxes it is little."""
    plain, selected = small(root), small(root, query_start="selected")
    counts, macs, of_plain = count_parameters(selected), count_macs(selected, 128, 128), count_macs(plain, 128, 128)
    assert sum(counts[part] for part in ("backbone", "neck", "queries", "decoder")) == counts["model"]
    assert of_plain["selection"] == 0
    parts = ("backbone", "neck", "selection", "decoder")
    assert sum(macs[part] for part in parts) == macs["total"]
    cells, chosen, dim = 16 * 16 + 8 * 8 + 4 * 4, 16, 96
    assert macs["selection"] == (cells + chosen) * dim * (dim + 5) + chosen * dim * (dim + 4)


def test_json(root, capsys):
    options = ["--cfg-options", "model.bbox_head.num_classes=5"]
    run("count-params", [str(root / "configs/ablations/shapes/lors.py"), "--json", *options])
    assert json.loads(capsys.readouterr().out) == count_parameters(small(root))


def small(root, **changes):
    options = {"model.bbox_head.num_classes": 5, **{f"model.bbox_head.{key}": value for key, value in changes.items()}}
    return load_config(root / "configs/ablations/shapes/lors.py", options)


def stage_macs(queries: int) -> dict[str, int]:
    """Multiply-accumulates of the small decoder's four stages, from the shapes of its products."""
    dim, groups, points, out_points, ffn, classes = 96, 4, 9, 24, 384, 5
    width = dim // groups
    kernels = groups * (width * width + out_points * points)
    per_stage = {
        "attention": 4 * dim * dim + 2 * queries * dim,
        "sampling": dim * groups * points * 3 + groups * points * width * 4 * 4,  # four corners on four levels
        "mixing": dim * kernels + groups * points * width * (width + out_points) + out_points * dim * dim,
        "ffn": 2 * dim * ffn,
        "classify": dim * dim + dim * classes,
        "regress": dim * dim + dim * 4,
    }
    return {name: 4 * queries * count for name, count in per_stage.items()}


def correction_macs() -> int:
    """Of the same decoder's weights: both kernels' E right and left (E right), and the projection's up down.

    The former for the D columns of a generator's weight, and for its bias.
    """
    dim, groups, points, out_points, rank, static_rank = 96, 4, 9, 24, 4, 8
    width, all_k = dim // groups, 1 + 1 + 2 + 2
    products = groups * rank * (rank * width + width * width + rank * points + out_points * points)
    return all_k * products * (dim + 1) + 4 * static_rank * dim * out_points * dim


@pytest.mark.parametrize("residuals", [True, False], ids=["lors", "shared-only"])
def test_decoder_arithmetic_by_hand(root, monkeypatch, tmp_path, residuals):
    monkeypatch.chdir(tmp_path)
    off = {} if residuals else {"decoder.adaptive_rank": 0, "decoder.adaptive_groups": None, "decoder.static_rank": 0}
    counts = count_macs(small(root, **off), 128, 128)
    assert counts["components"] == stage_macs(16)
    assert counts["correction"] == (correction_macs() if residuals else 0)
    assert counts["decoder"] == sum(counts["components"].values())
    assert counts["total"] == counts["backbone"] + counts["neck"] + counts["decoder"]
    assert counts["neck"] == 96 * (32 * 32**2 + 64 * 16**2 + 128 * 8**2 + 256 * 4**2)


def test_a_model_without_a_decoder_is_named(root):
    with pytest.raises(InputError, match=r"lacks model\.bbox_head\.decoder"):
        count_parameters(load_config(root / "configs/_base_/model_r50.py"))


def test_a_size_that_the_model_would_pad_is_named(root, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="100 x 128 must be positive multiples of 32"):
        count_macs(small(root), 100, 128)
