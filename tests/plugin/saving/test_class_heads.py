"""Class heads of a checkpoint meet a model of other classes."""

from __future__ import annotations

import pytest
import torch
from mmengine.runner import find_latest_checkpoint
from references.tiny import runner_of, tiny_config

from lors_det.errors import InputError
from lors_det.plugin.saving.class_heads import adapt_class_heads

HEAD = "bbox_head.decoder.stack.stages.0.classify.3"


def head(*values):
    rows = torch.tensor(values, dtype=torch.float32)
    return {f"{HEAD}.weight": rows[:, None].repeat(1, 4), f"{HEAD}.bias": rows.clone()}


def test_classes_of_the_same_name_keep_their_rows_wherever_they_stand():
    weights = head(1, 2, 3)
    words = adapt_class_heads(weights, head(-1, -2), ["cat", "dog", "cow"], ["bird", "cat"])
    assert weights[f"{HEAD}.bias"].tolist() == [-1, 1]
    assert weights[f"{HEAD}.weight"][:, 0].tolist() == [-1, 1]
    assert words == "class heads: cat keeps what the checkpoint has learned; bird starts anew"


def test_a_head_of_another_number_of_rows_than_classes_is_refused():
    with pytest.raises(InputError, match=r"tells 3 classes \(cat, dog, cow\), and its .*classify.3.weight has 2 rows"):
        adapt_class_heads(head(1, 2), head(-1, -2), ["cat", "dog", "cow"], ["bird", "cat"])


def test_the_head_that_selects_queries_follows_too():
    names = ("bbox_head.selection.classify.weight", "bbox_head.selection.classify.bias")
    weights, model = (dict(zip(names, head(*values).values())) for values in ((1, 2, 3), (-1, -2)))
    adapt_class_heads(weights, model, ["cat", "dog", "cow"], ["bird", "cow"])
    assert weights[names[0]][:, 0].tolist() == weights[names[1]].tolist() == [-1, 3]


def test_the_same_number_of_other_classes_is_no_reason_to_keep_them():
    weights = head(1, 2)
    words = adapt_class_heads(weights, head(-1, -2), ["cat", "dog"], ["red", "blue"])
    assert weights[f"{HEAD}.bias"].tolist() == [-1, -2]
    assert words == "class heads: red, blue start anew"


def test_the_same_classes_stay_as_they_are():
    weights = head(1, 2)
    assert adapt_class_heads(weights, head(-1, -2), ("cat", "dog"), ["cat", "dog"]) is None
    assert weights[f"{HEAD}.bias"].tolist() == [1, 2]


def test_without_names_the_number_decides():
    weights = head(1, 2)
    assert "does not tell its classes" in adapt_class_heads(weights, head(-1, -2), None, ["cat", "dog"])
    assert weights[f"{HEAD}.bias"].tolist() == [1, 2]
    assert adapt_class_heads(weights, head(-1, -2, -3), None, ["a", "b", "c"]) == "class heads: a, b, c start anew"
    assert weights[f"{HEAD}.bias"].tolist() == [-1, -2, -3]


def test_heads_of_another_width_are_left_to_the_comparison_of_shapes():
    weights = {f"{HEAD}.weight": torch.zeros(2, 5)}
    assert adapt_class_heads(weights, head(-1, -2), ["cat", "dog"], ["red", "blue"]) is None


def test_a_start_from_a_foreign_checkpoint_is_refused(data, tmp_path):
    """Some of its weights fit by chance."""
    runner = runner_of(tiny_config(data, tmp_path))
    own = runner.model.state_dict()
    torch.save({"state_dict": dict(list(own.items())[:5])}, tmp_path / "foreign.pth")
    with pytest.raises(InputError, match=rf"5 of {len(own)} weights fit; .* use the config that it was trained with"):
        runner_of(tiny_config(data, tmp_path, load_from=str(tmp_path / "foreign.pth"))).train()


@pytest.mark.parametrize("swap", [False, True])
def test_fine_tuning_renews_the_heads_of_all_stages(data, tmp_path, swap):
    """From a trained checkpoint; ``swap``: two of its classes in another order, and one more."""
    runner_of(tiny_config(data, tmp_path / "first", **{"train_cfg.max_epochs": 1})).train()
    path = find_latest_checkpoint(str(tmp_path / "first"))
    trained = torch.load(path, weights_only=True)
    old = list(trained["meta"]["dataset_meta"]["classes"])
    if swap:
        trained["meta"]["dataset_meta"]["classes"] = (old[1], old[0], "another", *old[3:])
        torch.save(trained, path)
    runner = runner_of(tiny_config(data, tmp_path / "second", load_from=path))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    before = {name: value.cpu().clone() for name, value in runner.model.state_dict().items()}
    runner.load_or_resume()
    after = {name: value.cpu() for name, value in runner.model.state_dict().items()}
    names = [name for name in after if ".classify.3." in name]
    assert len(names) == 8
    for name in names:
        rows = trained["state_dict"][name]
        wanted = torch.stack([rows[1], rows[0], before[name][2], *rows[3:]]) if swap else rows
        assert torch.equal(after[name], wanted), name
    log = next((tmp_path / "second").rglob("*.log")).read_text()
    total = len(after)
    loaded = f"{total - 8} of {total} weights loaded, 8 of class heads made" if swap else f"{total} of {total} weights"
    assert loaded in log
