"""The table that sets models side by side."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path

import pytest
from mmengine.config import Config

from lors_det.errors import InputError
from lors_det.plugin.config.reading import config_name, load_config
from lors_det.reports.comparison import comparison, find_configs
from lors_det.reports.finished_runs import finished_runs

NAMES = ("ablations/shapes/lors", "ablations/shapes/adamixer")


@pytest.fixture
def configs(root, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    options = {"model.bbox_head.num_classes": 5}
    return {name: load_config(root / f"configs/{name}.py", options) for name in NAMES}


def test_a_folder_stands_for_its_leaves(root):
    """The reference first; a name is the path under configs/, whichever way a file is named."""
    shapes = list(find_configs([str(root / "configs/ablations/shapes")]))
    assert shapes[0] == "ablations/shapes/lors"
    assert shapes[1:] == sorted(shapes[1:])
    assert sorted(shapes) == sorted(f"ablations/shapes/{p.stem}" for p in root.glob("configs/ablations/shapes/*.py"))
    everything = find_configs([str(root / "configs")])
    assert everything.keys() > find_configs([str(root / "configs/ablations")]).keys() > set(shapes)
    assert {path.resolve() for path in everything.values()} == {
        path for path in root.resolve().glob("configs/**/*.py") if path.parent.name != "_base_"
    }
    assert list(find_configs(["lors_det::ablations/shapes"])) == shapes
    assert find_configs([str(everything[shapes[3]]), str(root / "configs/ablations/shapes")]).keys() == set(shapes)


def test_runs_are_sought_where_training_puts_them(root, configs, tmp_path):
    for name, cfg in configs.items():
        assert config_name(root / f"configs/{name}.py") == name
        assert cfg.work_dir == f"work_dirs/{name}"
    (tmp_path / "mine.py").write_text(f'_base_ = "{root}/configs/ablations/shapes/lors.py"\n')
    cfg = load_config(tmp_path / "mine.py", {"model.bbox_head.num_classes": 5})
    assert cfg.work_dir == f"work_dirs/{config_name(tmp_path / 'mine.py')}"


def test_a_config_elsewhere_is_called_by_its_file(tmp_path):
    assert config_name(tmp_path / "mine.py") == "mine"
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").touch()
    with pytest.raises(InputError, match=r"a/mine\.py and .*b/mine\.py have the same name, mine"):
        find_configs([str(tmp_path / "a/mine.py"), str(tmp_path / "b/mine.py")])


def test_an_empty_folder_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(InputError, match="holds no config"):
        find_configs([str(tmp_path)])
    with pytest.raises(InputError, match=r"config .*nowhere\.py does not exist"):
        find_configs([str(tmp_path / "nowhere.py")])


def log_run(work_dir, aps):
    """What a run of one epoch for each AP logs."""
    (work_dir / "20260101_000000/vis_data").mkdir(parents=True)
    lines = []
    for epoch, ap in enumerate(aps, start=1):
        lines.append(json.dumps({"loss": 1.0, "iter": 10 * epoch, "epoch": epoch}))
        lines.append(json.dumps({"coco/bbox_mAP": ap, "step": epoch}))
    (work_dir / "20260101_000000/vis_data/scalars.json").write_text("\n".join(lines) + "\n")


def cells(table):
    head, rule, *rows = (line.strip("| ").split(" | ") for line in table.splitlines())
    assert len(rule) == len(head)
    return [dict(zip(head, row)) for row in rows]


def test_sizes_come_from_the_models(configs):
    lors, adamixer = cells(comparison(configs, 64, 96))
    assert [lors["model"], adamixer["model"]] == ["lors", "adamixer"]
    assert "AP" not in lors
    parts = [int(lors[part].replace(",", "")) for part in ("shared", "private mixing", "other, per stage", "decoder")]
    assert sum(parts[:3]) == parts[3] < int(adamixer["decoder"].replace(",", ""))
    assert float(lors["decoder GMACs"]) == float(adamixer["decoder GMACs"]) > 0  # folded, as it is evaluated
    assert float(lors["model GMACs"]) > float(lors["decoder GMACs"])


def test_rows_of_different_folders_keep_what_tells_them_apart(configs):
    lors, adamixer = configs.values()
    table = cells(comparison({"ablations/shapes/lors": lors, "ablations/bccd/lors": adamixer}, 64, 64))
    assert [row["model"] for row in table] == ["shapes/lors", "bccd/lors"]
    table = cells(comparison({"ablations/shapes/lors": lors, "mine": adamixer}, 64, 64))
    assert [row["model"] for row in table] == ["ablations/shapes/lors", "mine"]


def test_ap_of_several_seeds_and_of_one_run(configs, tmp_path):
    aps = [0.3, 0.35, 0.31]
    for seed, ap in enumerate(aps):
        log_run(tmp_path / f"runs/{NAMES[0]}/seed{seed}", [0.1, 0.2, ap])
    log_run(tmp_path / f"runs/{NAMES[1]}", [0.1, 0.2, 0.25])
    lors, adamixer = cells(comparison(configs, 64, 64, tmp_path / "runs"))
    assert lors["AP"] == f"{statistics.mean(aps):.3f} ± {statistics.stdev(aps):.3f}"
    assert lors["runs"] == "0.300, 0.350, 0.310"
    assert (adamixer["AP"], adamixer["runs"]) == ("0.250", "0.250")


def test_an_ap_that_says_that_there_is_nothing_to_find_is_none(configs, tmp_path):
    log_run(tmp_path / f"runs/{NAMES[0]}", [0.1, 0.2, -1.0])
    with pytest.raises(InputError, match="coco/bbox_mAP -1, which says that its validation set has no box that counts"):
        comparison(configs, 64, 64, tmp_path / "runs")


def test_a_name_is_one_cell(configs, tmp_path):
    (cfg,) = [*configs.values()][:1]
    (line,) = comparison({"a|b": cfg}, 64, 64).splitlines()[2:]
    assert line.startswith(r"| a\|b | ")


def test_unfinished_and_missing_runs_are_named(configs, tmp_path):
    with pytest.raises(InputError, match=r"runs/ablations/shapes/lors holds no run"):
        comparison(configs, 64, 64, tmp_path / "runs")
    log_run(tmp_path / f"runs/{NAMES[0]}", [0.1, 0.2])
    with pytest.raises(InputError, match="has no AP of its last epoch, 3"):
        comparison(configs, 64, 64, tmp_path / "runs")


def test_unfinished_trainings_by_iterations_are_named(configs, tmp_path):
    """Their validations tell iterations."""
    log_run(tmp_path / "run", [0.1, 0.2])
    Config(dict(train_cfg=dict(type="IterBasedTrainLoop", max_iters=5))).dump(tmp_path / "run/config.py")
    with pytest.raises(InputError, match="has no AP of its last iteration, 5, but of 2"):
        finished_runs(tmp_path / "run", configs[NAMES[0]])
    Config(dict(train_cfg=dict(type="IterBasedTrainLoop", max_iters=2))).dump(tmp_path / "run/config.py")
    assert [run.ap for run in finished_runs(tmp_path / "run", configs[NAMES[0]])] == [0.2]
    (tmp_path / "run/config.py").write_text("train_cfg = dict(")
    with pytest.raises(InputError, match=r"config .*config\.py is damaged"):
        finished_runs(tmp_path / "run", configs[NAMES[0]])


def test_a_run_may_be_validated_on_two_sets(configs, tmp_path):
    log_run(tmp_path / "run", [0.1, 0.2, 0.3])
    parts = [dict(data_root="", data_prefix=dict(img=f"/data/{name}/")) for name in ("cells", "fish")]
    keep(tmp_path / "run", val_dataloader__dataset=dict(type="ConcatDataset", datasets=parts))
    assert len(finished_runs(tmp_path / "run", configs[NAMES[0]])) == 1


def keep(folder, **values):
    """A run's own config; keys with two underscores for a dot."""
    config = Config(dict(train_cfg=dict(max_epochs=3), randomness=dict(seed=0)))
    config.merge_from_dict({key.replace("__", "."): value for key, value in values.items()})
    config.dump(folder / "config.py")


def test_a_run_is_finished_by_its_own_config(configs, tmp_path):
    """Which has the number of epochs where the named one leaves it to the data, and may end early without a gain."""
    lors, adamixer = (tmp_path / f"runs/{name}" for name in NAMES)
    for cfg in configs.values():
        cfg.train_cfg.max_epochs = None
    log_run(adamixer, [0.1, 0.2])
    log_run(lors, [0.1, 0.2])
    assert [row["AP"] for row in cells(comparison(configs, 64, 64, tmp_path / "runs"))] == ["0.200", "0.200"]
    keep(lors)
    with pytest.raises(InputError, match=r"lors has no AP of its last epoch, 3, but of 2; let it finish"):
        comparison(configs, 64, 64, tmp_path / "runs")
    keep(lors, custom_hooks=[dict(type="PatienceHook", patience=1)])
    with pytest.raises(InputError, match="has no AP of its last epoch"):
        comparison(configs, 64, 64, tmp_path / "runs")
    log_run(lors / "tired", [0.3, 0.2])
    keep(lors / "tired", custom_hooks=[dict(type="PatienceHook", patience=1)])
    assert [run.ap for run in finished_runs(lors / "tired", configs[NAMES[0]])] == [0.2]


def test_a_run_without_a_validation_is_named(configs, tmp_path):
    for name in NAMES:
        log_run(tmp_path / f"runs/{name}", [math.nan] * 3)
    with pytest.raises(InputError, match=r"was never validated.*--split val"):
        comparison(configs, 64, 64, tmp_path / "runs")


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (dict(randomness__seed=0), "runs one and two in .* have the same seed, 0"),
        (
            dict(randomness__seed=1, optim_wrapper__optimizer__lr=1e-3),
            r"optim_wrapper.optimizer.lr is not set in one and 0.001 in two; leave",
        ),
        (
            dict(randomness__seed=1, train_cfg__max_epochs=4, model__type="DETR"),
            r"train_cfg.max_epochs is 3 in one and 4 in two \(and 1 more\)",
        ),
        (dict(randomness__seed=1, custom_hooks=[dict(type="EMAHook")]), "custom_hooks is "),
        (dict(randomness__seed=1, load_from="coco.pth"), "load_from is .* and coco.pth in two"),
        (dict(randomness__seed=1, model__backbone__init_cfg__checkpoint="x.pth"), "model.backbone.init_cfg.* in two"),
        (
            dict(randomness__seed=1, train_dataloader__dataset__ann_file="a/tenth.json"),
            r"ann_file is not set in one and tenth\.json",
        ),
        (
            dict(randomness__seed=1, val_dataloader__dataset__ann_file="a/part.json"),
            "ann_file is not set in one and part",
        ),
        (dict(randomness__seed=1, val_dataloader__dataset__pipeline=[dict(type="a" * 99)]), r"pipeline is .*aaa\.\.\."),
        (dict(randomness__seed=1, val_evaluator__metric="proposal"), "val_evaluator.metric is not set in one"),
        (dict(randomness__seed=1, default_hooks__ema__type="EMAHook"), "default_hooks.ema.type is not set in one"),
        (dict(randomness__seed=1, default_hooks__logger__interval=7, val_evaluator__ann_file="b/val.json"), None),
        (dict(randomness__seed=1), None),
        (dict(randomness__seed=None), None),
    ],
    ids=[
        "seed",
        "rate",
        "two",
        "mean",
        "start",
        "weights",
        "images",
        "validated",
        "pipeline",
        "metric",
        "named",
        "log",
        "seeds",
        "no seed",
    ],
)
def test_only_seeds_of_one_training_have_a_mean(configs, tmp_path, values, fault):
    folder = tmp_path / "runs"
    data = dict(val_dataloader__dataset__data_root="")
    for name, others in (("one", {}), ("two", values)):
        log_run(folder / name, [0.1, 0.2, 0.3])
        keep(folder / name, **data, **others)
    if fault is None:
        assert len(finished_runs(folder, configs[NAMES[0]])) == 2
        return
    with pytest.raises(InputError, match=fault):
        finished_runs(folder, configs[NAMES[0]])


def test_files_of_a_training_may_have_moved(configs, tmp_path):
    for seed, place in enumerate("ab"):
        log_run(tmp_path / place, [0.1, 0.2, 0.3])
        keep(tmp_path / place, randomness__seed=seed, train_dataloader__dataset__ann_file=f"{place}/train.json")
    assert len(finished_runs(tmp_path, configs[NAMES[0]])) == 2


def test_a_model_is_counted_as_it_was_trained(configs, tmp_path):
    counted = cells(comparison(configs, 64, 64))
    for name, cfg in configs.items():
        log_run(tmp_path / f"runs/{name}", [0.1, 0.2, 0.3])
        cfg.dump(tmp_path / f"runs/{name}/config.py")
        cfg.model.bbox_head.num_classes = 80
    wrong, right = (cells(comparison(configs, 64, 64, runs)) for runs in (None, tmp_path / "runs"))
    for row, other, own in zip(counted, wrong, right):
        assert own["decoder"] == row["decoder"] != other["decoder"]


def test_runs_on_different_sets_are_no_seeds(configs, tmp_path):
    for name in ("cells", "fish"):
        log_run(tmp_path / f"runs/{NAMES[0]}/{name}", [0.1, 0.2, 0.3])
        kept = dict(val_dataloader=dict(dataset=dict(data_root="", data_prefix=dict(img=f"/data/{name}/"))))
        Config(kept).dump(tmp_path / f"runs/{NAMES[0]}/{name}/config.py")
    log_run(tmp_path / f"runs/{NAMES[1]}", [0.1, 0.2, 0.25])
    with pytest.raises(InputError, match="validated on different sets: cells on /data/cells, fish on /data/fish"):
        comparison(configs, 64, 64, tmp_path / "runs")


def test_a_run_is_counted_as_it_was_trained(configs, tmp_path):
    """Not as another model whose config lies beside it, such as one that was folded."""
    place = tmp_path / "run"
    log_run(place, [0.1, 0.2, 0.3])
    cfg = configs[NAMES[0]]
    other = Config(cfg.to_dict())
    other.model.bbox_head.num_queries = 7
    other.dump(place / "dense.py")
    cfg.dump(place / Path(cfg.filename).name)
    (run,) = finished_runs(place, cfg)
    assert run.config.model.bbox_head.num_queries == cfg.model.bbox_head.num_queries
    (place / Path(cfg.filename).name).rename(place / "renamed.py")
    with pytest.raises(InputError, match=r"run holds 2 configs, dense\.py, renamed\.py, and none called"):
        finished_runs(place, cfg)
