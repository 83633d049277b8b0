"""Configs as the commands read them: what nothing reads, and what no training could use, is refused by name."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import pytest
from mmdet.registry import MODELS
from references.tiny import LORS, make_data, tiny_config, write_config

from lors_det.adamixer.criterion import SetCriterion
from lors_det.errors import InputError
from lors_det.plugin.config.keys import taken_by
from lors_det.plugin.config.reading import SAFE_HOOKS, load_config, read_config

MISSPELLED = {  # key: what the message must suggest
    "lors.adaptive_rank": "model.bbox_head.decoder.adaptive_rank",
    "model.bbox_head.decoder.adaptive_rnak": "model.bbox_head.decoder.adaptive_rank",
    "optim_wrapper.optimizer.lrr": "optim_wrapper.optimizer.lr",
    "optim_wrapper.clip_grad.max_nrom": "optim_wrapper.clip_grad.max_norm",
    "optim_wrapper.clip_gard": "optim_wrapper.clip_grad",
    "train_dataloader.batchsize": "train_dataloader.batch_size",
    "train_dataloader.dataset.anno_file": "train_dataloader.dataset.ann_file",
    "train_dataloader.sampler.shufle": "train_dataloader.sampler.shuffle",
    "train_cfg.max_epoch": "train_cfg.max_epochs",
    "model.backbone.deph": "model.backbone.depth",
    "model.neck.out_chanels": "model.neck.out_channels",
    "model.bbox_head.num_query": "model.bbox_head.num_queries",
    "default_hooks.checkpoint.intervall": "default_hooks.checkpoint.interval",
    "default_hooks.chekpoint.interval": "default_hooks.checkpoint",
    "val_evaluator.metrics": "val_evaluator.metric",
    "train_dataloader.dataset.filter_cfg.min_sise": "train_dataloader.dataset.filter_cfg.min_size",
    "train_dataloader.dataset.data_prefix.imgg": "train_dataloader.dataset.data_prefix.img",
    "model.bbox_head.criterion.l1_wieght": "model.bbox_head.criterion.l1_weight",
    "env_cfg.cudnn_benchmrk": "env_cfg.cudnn_benchmark",
    "randomness.sede": "randomness.seed",
    "trian_cfg": "train_cfg",
    "max_epoch": "train_cfg.max_epochs",
}


def nested(key: str, value: object) -> str:
    """An assignment of the value in a config file."""
    first, *rest = key.split(".")
    text = repr(value)
    for part in reversed(rest):
        text = f"dict({part}={text})"
    return f"{first} = {text}\n"


def child(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "child.py"
    path.write_text(f'_base_ = ["{LORS}"]\n{text}')
    return path


@pytest.mark.parametrize("place", ["model", "model.bbox_head"])
def test_what_other_heads_read_of_a_train_cfg_is_refused(tmp_path, place):
    """An assigner and weights of losses are the criterion's here."""
    path = child(tmp_path, nested(f"{place}.train_cfg.assigner", dict(type="HungarianAssigner")))
    with pytest.raises(InputError, match=rf"config key {place}\.train_cfg\.assigner is read by nothing: AdaMixerHead"):
        load_config(path)


def test_a_criterion_of_ones_own_takes_its_own_keys(tmp_path):
    class OwnCriterion(SetCriterion):
        def __init__(self, *, gamma_of_mine: float = 2.0) -> None:
            super().__init__()

    MODELS.register_module(module=OwnCriterion)
    try:
        own = dict(type="OwnCriterion", gamma_of_mine=1.5)
        cfg = read_config(child(tmp_path, nested("model.bbox_head.criterion", own)))
        assert cfg.model.bbox_head.criterion == own
        wrong = child(tmp_path, nested("model.bbox_head.criterion", {**own, "gama_of_mine": 1.5}))
        with pytest.raises(InputError, match=r"criterion\.gama_of_mine is read by nothing: OwnCriterion"):
            read_config(wrong)
    finally:
        MODELS.module_dict.pop("OwnCriterion")


@pytest.mark.parametrize("place", ["option", "file"])
@pytest.mark.parametrize("key", MISSPELLED)
def test_a_key_that_nothing_reads_is_refused_with_the_nearest(tmp_path, key, place):
    path = child(tmp_path, nested(key, 3) if place == "file" else "")
    with pytest.raises(InputError) as caught:
        read_config(path, {key: 3} if place == "option" else None)
    top = key.partition(".")[0]
    named = top if place == "file" and top in ("lors", "trian_cfg", "max_epoch") else key.removesuffix(".interval")
    assert named in str(caught.value)
    hint = "model.bbox_head.decoder" if (place, top) == ("file", "lors") else MISSPELLED[key]
    assert f"did you mean {hint}?" in str(caught.value)


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_other_formats_are_read_with_their_bases(tmp_path, suffix):
    path = tmp_path / f"child{suffix}"
    path.write_text(json.dumps({"_base_": str(LORS), "train_cfg": {"max_epochs": 2}}))  # YAML too
    assert read_config(path).train_cfg.max_epochs == 2
    path.write_text(json.dumps({"_base_": str(LORS), "trian_cfg": {"max_epochs": 2}}))
    with pytest.raises(InputError, match=r"trian_cfg, in .* did you mean train_cfg\?"):
        read_config(path)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("model.backbone.type", "ResNeXtt", "did you mean ResNeXt?"),
        ("optim_wrapper.optimizer.type", "AdamWW", "did you mean AdamW?"),
        ("optim_wrapper.type", "AmpOptimWraper", "did you mean AmpOptimWrapper?"),
        ("param_scheduler.0.type", "MultiStepL", "did you mean MultiStepLR?"),
        ("val_evaluator.type", "CocoMetrik", "did you mean CocoMetric?"),
        ("train_dataloader.sampler.type", "DefaultSamplerr", "did you mean DefaultSampler?"),
        ("train_dataloader.dataset.pipeline.1.type", "LoadAnnotationz", "did you mean LoadAnnotations?"),
        ("model.backbone.norm_cfg.type", "Nothing at all", "custom_imports names the modules"),
    ],
)
def test_types_that_no_registry_knows_are_refused_with_the_nearest(key, value, words):
    with pytest.raises(InputError) as caught:
        read_config(LORS, {key: value})
    assert str(caught.value).startswith(f"config key {key} is {value!r}, which no registry knows")
    assert words in str(caught.value)


@pytest.mark.parametrize("key", ["model", "model.bbox_head", "train_cfg", "optim_wrapper.optimizer", "auto_scale_lr"])
def test_what_must_be_a_dictionary(key):
    with pytest.raises(InputError, match=f"config key {key} is 5; it must be a dictionary"):
        read_config(LORS, {key: 5})


def test_options_that_come_too_late_are_refused():
    with pytest.raises(InputError, match=r"custom_imports\.imports has no effect: .* while the config file is read"):
        read_config(LORS, {"custom_imports.imports": ["os"]})
    with pytest.raises(InputError, match="--launcher names it"):
        read_config(LORS, {"launcher": "slurm"})


def test_real_keys_that_a_config_lacks_are_taken(tmp_path):
    options = {
        "optim_wrapper.accumulative_counts": 2,
        "optim_wrapper.paramwise_cfg.custom_keys": {"backbone": {"lr_mult": 0.1}},
        "train_dataloader.prefetch_factor": 4,
        "model.backbone.frozen_stages": 1,
        "default_hooks.checkpoint.save_last": False,
        "find_unused_parameters": True,
        "model_wrapper_cfg": {"type": "MMDistributedDataParallel", "static_graph": True},
    }
    cfg = read_config(LORS, options)
    assert cfg.optim_wrapper.accumulative_counts == 2
    assert cfg.model_wrapper_cfg.static_graph


def test_what_bases_leave_is_dropped_and_what_a_file_uses_itself_is_its_own(tmp_path):
    cfg = read_config(child(tmp_path, "width = 3\nmodel = dict(bbox_head=dict(num_queries=width * 2))\n_unused = 1\n"))
    assert cfg.model.bbox_head.num_queries == 6
    assert not {"lors", "adamixer", "width", "_unused"} & set(cfg)


def test_a_misspelled_key_in_a_base_is_refused(tmp_path):
    (tmp_path / "base.py").write_text(f'_base_ = ["{LORS}"]\noptim_wraper = dict(lr=1)\n')
    (tmp_path / "leaf.py").write_text('_base_ = ["base.py"]\n')
    with pytest.raises(InputError, match=r"optim_wraper, in a base of .*leaf\.py.* did you mean optim_wrapper\?"):
        read_config(tmp_path / "leaf.py")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("train_dataloader.batch_size", 0, "is 0; it must be a whole number of at least 1"),
        ("train_dataloader.batch_size", 2.5, "is 2.5; it must be a whole number"),
        ("randomness.seed", -1, "is -1; it must be a whole number of at least 0 and at most 2147483647"),
        ("randomness.seed", 2**31, "is 2147483648; it must be a whole number of at least 0 and at most 2147483647"),
        ("train_dataloader.num_workers", -1, "is -1; it must be a whole number of at least 0"),
        ("model.bbox_head.num_queries", "many", "'many'; it must be a whole number"),
        ("optim_wrapper.optimizer.lr", "abc", "'abc'; it must be a number greater than 0"),
        ("optim_wrapper.optimizer.lr", 0, "is 0; it must be a number greater than 0"),
        ("optim_wrapper.clip_grad.max_norm", True, "is True; it must be a number"),
        ("train_cfg.max_epochs", 0, "is 0; it must be a whole number of at least 1"),
    ],
)
def test_numbers_that_no_training_could_use(tmp_path, key, value, words):
    with pytest.raises(InputError, match=rf"config key {key} .*{words}"):
        read_config(child(tmp_path, nested(key, value)))


def test_text_in_place_of_a_number_or_truth_value():
    with pytest.raises(InputError, match=r"decoder\.ffn_dim=wide: it must be a number, as 384 is"):
        read_config(LORS, {"model.bbox_head.decoder.ffn_dim": "wide"})
    with pytest.raises(InputError, match=r"backbone\.norm_eval=maybe: it must be True or False"):
        read_config(LORS, {"model.backbone.norm_eval": "maybe"})


def test_an_import_that_does_not_exist_is_named(tmp_path):
    text = 'custom_imports = dict(imports=["lors_det.plugin", "no_such_module"], allow_failed_imports=False)\n'
    with pytest.raises(InputError, match=r"child\.py cannot be read: ImportError: .*no_such_module"):
        read_config(child(tmp_path, text))


def test_options_that_do_not_fit_are_named():
    with pytest.raises(InputError, match="--cfg-options do not fit"):
        read_config(LORS, {"train_dataloader.dataset.pipeline.99.type": "Resize"})


def test_without_workers_nothing_of_theirs_remains():
    cfg = read_config(LORS, {"train_dataloader.num_workers": 0})
    assert "persistent_workers" not in cfg.train_dataloader
    assert cfg.val_dataloader.persistent_workers


def test_what_makes_a_run_safe_survives_a_users_hooks(tmp_path):
    data = make_data(tmp_path / "shapes")
    own = [dict(type="EMAHook", momentum=0.1)]
    path = write_config(tmp_path / "own.py", data, custom_hooks=own, default_hooks={"plain_checkpoint": None})
    cfg = load_config(path)
    types = [hook["type"] for hook in cfg.default_hooks.values()]
    assert sorted(types.count(hook["type"]) for hook in SAFE_HOOKS.values()) == [1] * len(SAFE_HOOKS)
    assert [hook.type for hook in cfg.custom_hooks] == ["EMAHook"]


def test_work_dirs_are_named_by_the_configs_path(tmp_path):
    data = make_data(tmp_path / "shapes")
    (tmp_path / "configs/mine").mkdir(parents=True)
    assert load_config(write_config(tmp_path / "configs/mine/a.py", data)).work_dir == "work_dirs/mine/a"
    assert load_config(write_config(tmp_path / "b.py", data)).work_dir == "work_dirs/b"
    assert tiny_config(data, tmp_path / "run").work_dir == str(tmp_path / "run")


def test_arguments_are_read_through_a_class_and_its_bases():
    class Base:
        def __init__(self, depth, *, width=1):
            pass

    class Middle(Base):
        def __init__(self, height, **kwargs):
            pass

    class Leaf(Middle):
        def __init__(self, *args, length=1, **kwargs):
            pass

    class Closed(Middle):
        def __init__(self, height):
            pass

    assert taken_by(Leaf) is None  # a user's own class may do anything with them
    Leaf.__module__ = "mmdet.models"
    assert taken_by(Leaf) == {"length", "height", "depth", "width"}
    assert taken_by(Closed) == {"height"}
    assert taken_by(lambda a, **kwargs: None) is None
    assert taken_by(lambda a: None) == {"a"}


def test_values_that_are_given_stay_what_they_are(tmp_path):
    """They are those of the next config, too, as of a study's next arm."""
    options = {"train_cfg": {"max_epochs": 1}, "optim_wrapper": {"_delete_": True, "type": "OptimWrapper"}}
    options["optim_wrapper"]["optimizer"] = {"type": "SGD", "lr": 1e-3}
    before = deepcopy(options)
    for _ in range(2):
        cfg = read_config(child(tmp_path, ""), options)
        cfg.train_cfg.max_epochs = 7
        assert options == before
        assert set(cfg.optim_wrapper) == {"type", "optimizer"}


@pytest.mark.parametrize("key", ["custom_hooks", "param_scheduler"])
@pytest.mark.parametrize("entry", [{"priority": 3}, 3])
def test_what_nothing_can_be_built_of_is_named(tmp_path, key, entry):
    with pytest.raises(InputError, match=rf"config key {key}\.0 is .*; it must be a dictionary with a type"):
        read_config(child(tmp_path, ""), {key: [entry]})
