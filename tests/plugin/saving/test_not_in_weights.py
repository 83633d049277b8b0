"""Weights that fit a model which computes something else with them are refused, wherever a checkpoint is read."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from mmengine.config import Config
from references.tiny import ADAMIXER, runner_of, tiny_config

from lors_det.adamixer import Decoder, DecoderSpec
from lors_det.checkpoints.convert import convert_file
from lors_det.checkpoints.folding import factorise_file, fold_file
from lors_det.checkpoints.published_names import to_published
from lors_det.data.drawing import CLASSES
from lors_det.errors import InputError
from lors_det.inference import Detector
from lors_det.plugin.saving.not_in_weights import _DEFAULTS, differences, of_config, of_training

HEAD = "model.bbox_head."
OTHER = {
    f"{HEAD}query_start": ("image", r"query_start is 'image', and was 'grid' in training"),
    f"{HEAD}decoder.share": ((0, 0, 0, 1), r"decoder.share is \(0, 0, 0, 1\), and was \(0, 0, 1, 1\) in training"),
    "model.data_preprocessor.bgr_to_rgb": (
        False,
        "model.data_preprocessor.bgr_to_rgb is False, and was True in training",
    ),
    f"{HEAD}decoder.residual_scale": (2.0, "decoder.residual_scale is 2.0, and was 1.0 in training"),
}


BASES = {f"{HEAD}decoder.share": (0, 0, 1, 1)}
"""Two bases: shares of as many users have weights of the same shapes."""


def run_of(data, folder, **options):
    return runner_of(tiny_config(data, folder, **{**BASES, **options}))


@pytest.fixture(scope="module")
def checkpoint(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    run_of(data, folder, **{"train_cfg.max_epochs": 1, **BASES}).train()
    return folder / "epoch_1.pth"


def written(data, folder, name, value, config=None):
    more = {} if config is None else {"config": config}
    tiny_config(data, folder, **more, **{**BASES, name: value}).dump(folder / "other.py")
    return folder / "other.py"


@pytest.mark.parametrize("name", OTHER)
def test_an_evaluation_refuses_it(data, checkpoint, tmp_path, name):
    value, words = OTHER[name]
    with pytest.raises(InputError, match=f"fits by its weights alone: .*{words}; use the config"):
        run_of(data, tmp_path, load_from=str(checkpoint), **{name: value}).test()


@pytest.mark.parametrize("name", OTHER)
def test_so_do_a_detector_and_a_folding_with_a_config(data, checkpoint, tmp_path, name):
    value, words = OTHER[name]
    config = written(data, tmp_path, name, value)
    with pytest.raises(InputError, match=words):
        Detector.from_checkpoint(checkpoint, config=config)
    with pytest.raises(InputError, match=words):
        fold_file(checkpoint, tmp_path / "dense.pth", config)
    assert not (tmp_path / "dense.pth").exists()


def test_a_resumed_training_refuses_it(data, checkpoint, tmp_path):
    with pytest.raises(InputError, match="query_start is 'image'"):
        run_of(data, tmp_path, load_from=str(checkpoint), resume=True, **{f"{HEAD}query_start": "image"}).train()


def test_a_fine_tuning_goes_on_and_says_so(data, checkpoint, tmp_path):
    options = {f"{HEAD}query_start": "image", "train_cfg.max_epochs": 1}
    run_of(data, tmp_path, load_from=str(checkpoint), **options).train()
    log = next(tmp_path.rglob("*.log")).read_text()
    assert "WARNING - model.bbox_head.query_start is 'image', and was 'grid' in training" in log


def test_no_published_model_has_it(checkpoint, tmp_path):
    with pytest.raises(InputError, match=r"of no published model; of those .*query_start is 'image', and was 'grid'"):
        convert_file(checkpoint, tmp_path / "published.pth", back=True)
    assert not (tmp_path / "published.pth").exists()


def test_a_published_one_began_at_the_whole_image(data, tmp_path):
    """Its conversion knows that, and so does the weights file that is made of it."""
    lors = {f"{HEAD}decoder.share": (0, 0, 0, 0), f"{HEAD}query_start": "image"}
    ours = run_of(data, tmp_path, **lors).model.state_dict()
    table = torch.rand(len(ours["bbox_head.queries.content"]), 4)
    published = {"meta": {"CLASSES": CLASSES}, "state_dict": to_published(ours, table)}
    torch.save(published, tmp_path / "published.pth")
    convert_file(tmp_path / "published.pth", tmp_path / "ours.pth")
    convert_file(tmp_path / "ours.pth", tmp_path / "ours.safetensors")
    for path in (tmp_path / "ours.pth", tmp_path / "ours.safetensors"):
        with pytest.raises(InputError, match="query_start is 'grid', and was 'image' in training"):
            run_of(data, tmp_path, load_from=str(path), **{**lors, f"{HEAD}query_start": "grid"}).test()
        Detector.from_checkpoint(path, config=tiny_config(data, tmp_path, **lors))


@pytest.mark.parametrize("values", [7, "grid", None])
def test_values_of_another_kind_are_passed_over(values):
    assert of_training({"meta": {"not_in_weights": values}}) is None


def test_a_factorisation_changes_the_sharing_and_nothing_else(data, tmp_path):
    runner = run_of(data, tmp_path, config=ADAMIXER, **{f"{HEAD}decoder.share": (0, 1, 2, 3)})
    meta = {"config_data": runner.cfg.to_dict(), "dataset_meta": {"classes": ("a",)}}
    torch.save({"meta": meta, "state_dict": runner.model.state_dict()}, tmp_path / "dense.pth")
    scaled = written(data, tmp_path, f"{HEAD}decoder.residual_scale", 2.0)
    factorise_file(tmp_path / "dense.pth", tmp_path / "lors.pth", scaled)
    with pytest.raises(InputError, match="query_start is 'image', and was 'grid'"):
        factorise_file(
            tmp_path / "dense.pth", tmp_path / "lors.pth", written(data, tmp_path, f"{HEAD}query_start", "image")
        )


def test_shares_of_equal_numbers_differ(data, tmp_path):
    one, other = (
        of_config(tiny_config(data, tmp_path, **{f"{HEAD}decoder.share": share}))
        for share in ((0, 0, 1, 1), (0, 1, 0, 1))
    )
    assert differences(one, other) == [
        "model.bbox_head.decoder.share is (0, 1, 0, 1), and was (0, 0, 1, 1) in training"
    ]


def test_no_field_of_a_decoder_is_forgotten():
    """One that changes no weight's name or shape changes training alone, or is compared."""
    of_training_alone = {
        *("mean_gradient", "query_noise", "gradient_stages", "look_forward_twice", "recollect_from"),
        *("out_init", "factor_init", "equal_start", "residual_start"),
    }
    plain = DecoderSpec(
        share=(0, 0, 1, 1), num_groups=2, num_points=4, num_out_points=8, dim=16, num_heads=2, ffn_dim=32,
        adaptive_rank=2, adaptive_groups=(1, 1, 2, 2), static_rank=2,
    )  # fmt: skip
    others = {
        "share": (0, 1, 0, 1), "num_groups": 4, "num_points": 8, "num_out_points": 4, "dim": 32, "num_heads": 4,
        "ffn_dim": 16, "strides": (8, 16, 32, 64), "adaptive_rank": 4, "adaptive_groups": (2, 2, 1, 1),
        "static_rank": 4, "static_groups": (1, 1, 2, 2), "layer_rank": 2, "residual_scale": 2.0, "residual_gain": True,
        "residual_start": 0.5, "mean_gradient": True, "query_noise": 0.1, "gradient_stages": 2,
        "look_forward_twice": True, "recollect_from": 1, "equal_start": True, "out_init": "linear",
        "factor_init": "matrix",
    }  # fmt: skip
    assert others.keys() == {field.name for field in dataclasses.fields(DecoderSpec)}

    def shapes(spec):
        return {name: value.shape for name, value in Decoder(3, spec).state_dict().items()}

    unseen = {
        name for name, value in others.items() if shapes(dataclasses.replace(plain, **{name: value})) == shapes(plain)
    }
    compared = {name.rpartition(".")[2] for name in _DEFAULTS if name.startswith("bbox_head.decoder.")}
    assert unseen == of_training_alone | compared


def test_a_checkpoint_of_version_0_1_0_began_at_the_whole_image(data, tmp_path):
    """Its config has no such key, and one more that changed no result."""
    cfg = tiny_config(data, tmp_path)
    del cfg.model.bbox_head.query_start
    cfg.model.bbox_head.decoder.cache_folds = True
    assert of_training({"meta": {"cfg": cfg.pretty_text}})["bbox_head.query_start"] == "image"


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"cfg": "import os"},
        {"config_data": {}},
        {"config_data": {"model": {"bbox_head": {"type": "DETRHead"}}}},
        {"config_data": {"model": {"bbox_head": {"decoder": {"num_layers": 6}}}}},
    ],
)
def test_where_nothing_is_known_nothing_is_refused(meta):
    assert of_training({"meta": meta}) is None
    assert differences(None, {"bbox_head.query_start": "grid"}) == []
    assert differences({"bbox_head.query_start": "grid"}, of_config(Config())) == []
