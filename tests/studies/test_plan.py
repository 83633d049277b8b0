"""A study's file: what it says, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lors_det.errors import InputError
from lors_det.studies.plan import LATER, Run
from lors_det.studies.reading import read_study

WHOLE = """
question: Does it
  help?
seeds: [0, 1]
options: {a: 1, b: 1, c: 1}
sets:
  cells: {shape: [192, 256], options: {b: 2, c: 2}}
  fish: {data: data/fish, image_side: 320}
arms:
  plain: {config: "configs/{set}/plain.py"}
  better: {config: other.py, options: {c: 3}, seeds: [0, 1, 2]}
compare: [[better, plain]]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text)
    return path


def test_what_it_says(tmp_path):
    study = read_study(written(tmp_path, WHOLE))
    assert study.question == "Does it help?"
    assert study.metric == "coco/bbox_mAP"
    runs = list(study.runs())
    assert len(runs) == len(set(runs)) == 2 * (2 + 3)
    assert [run.seed for run in runs] == [0] * 4 + [1] * 4 + [2] * 2  # of each arm one, before any second
    last = Run("cells", "better", 2)
    assert str(last) == "cells/better/seed2"
    assert study.config_of(last) == "other.py"
    assert study.config_of(Run("fish", "plain", 0)) == "configs/fish/plain.py"
    assert study.options_of(last) == {"a": 1, "b": 2, "c": 3, "randomness.seed": 2}
    assert study.first_of(last) is None
    assert study.options_of(Run("fish", "plain", 0)) == {"a": 1, "b": 1, "c": 1, "randomness.seed": 0}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("question: Does it\n  help?", "question: ''", "has no question; state it before anything runs"),
        ("seeds: [0, 1]\n", "seed: [0, 1]\n", r"has seed; it takes question, answer, .*seeds"),
        ("seeds: [0, 1]\n", "seeds: 3\n", r"seeds is 3; it must be a list"),
        ("seeds: [0, 1]\n", "seeds: [0, 0]\n", r"seeds is \[0, 0\], and names a seed twice"),
        ("seeds: [0, 1]\n", "seeds: [true]\n", r"seeds is \[True\]"),
        ("shape: [192, 256]", "shape: 192", r"sets\.cells\.shape is 192; it must be \[height, width\]"),
        ("shape: [192, 256]", "shape: [200, 256]", r"sets\.cells\.shape is \[200, 256\]; .*multiples of 32"),
        ("shape: [192, 256]", "shape: [-32, 0]", r"sets\.cells\.shape is \[-32, 0\]; .*multiples of 32"),
        ("seeds: [0, 1]\n", "seeds: [0]\nseeds: [1]\n", r"the key seeds is there twice.*line 5"),
        ("  plain: {config: ", "  better: {config: ", r"the key better is there twice"),
        ("options: {c: 3}", "options: {randomness.seed: 3}", r"arms\.better\.options has randomness\.seed"),
        ("options: {a: 1, ", "options: {randomness.seed: 1, ", r"options has randomness\.seed, .*write it into seeds"),
        ("  plain: {config: ", "  'a|b': {config: ", r"'a|b' cannot be the name of a folder and a row"),
        ("[[better, plain]]", "[[better, plain], [plain, better]]", r"compare has plain and better twice"),
        ("[[better, plain]]", "[[better, [plain]]]", r"compare names \['plain'\]"),
        ("image_side: 320", "image_side: 0", r"sets\.fish\.image_side is 0"),
        ("image_side: 320", "side: 320", r"sets\.fish has side; it takes data, image_side"),
        ("  plain: {config: ", "  plain/er: {config: ", r"'plain/er' cannot be the name of a folder"),
        ("{config: other.py, ", "{", r"arms\.better has no config"),
        ("options: {c: 3}", "options: 3", r"arms\.better\.options is 3; it must be keys with values"),
        ("options: {c: 3}", "first: {config: a.py, arm: b}", r"better\.first has arm; it takes config, options$"),
        ("options: {c: 3}", "first: {options: {}}", r"arms\.better\.first has no config"),
        ("options: {c: 3}", "option: {}", r"arms\.better has option; it takes config, options, first, seeds"),
        ("[[better, plain]]", "[[better, best]]", r"compare names best; arms are plain, better"),
        ("[[better, plain]]", "[[better]]", r"compare has \['better'\]; it must be two arms"),
        ("[[better, plain]]", "better", r"compare is 'better'"),
        ("seeds: [0, 1]\n", "seeds: [2147483648]\n", r"seeds is \[2147483648\]; .* from 0 to 2147483647"),
        ("options: {c: 3}", "options: {randomness: {seed: 3}}", r"better\.options has randomness\.seed"),
        ("options: {c: 3}", "options: {work_dir: here}", r"better\.options has work_dir, .*--work-dir names"),
        ("options: {c: 3}", "options: false", r"arms\.better\.options is False; it must be keys with values"),
        ("data: data/fish", "data: false", r"sets\.fish\.data is False; it must be a text"),
        ("[[better, plain]]", "false", r"compare is False; it must be a list"),
        ("seeds: [0, 1]\n", "seeds: [0, 1]\nanswer: No\n", r"answer is False; it must be a text"),
        ("seeds: [0, 1, 2]}", "seeds: [2]}", r"compare has \['better', 'plain'\], which have no seed in common"),
        ("  plain: {config: ", '  "a\\tb": {config: ', r"'a\\tb' cannot be the name of a folder and a row"),
        ("arms:\n", "arms:\n  1: {config: a.py}\n  '1': {config: b.py}\n", r"arms has 1 twice, as a number and"),
        ("arms:", "arms: [", r"study\.yaml is no YAML"),
        ("[[better, plain]]", "!!map x", r"study\.yaml is no YAML: expected a mapping node"),
        (
            "options: {c: 3}",
            "options: &all {c: {d: *all}}",
            r"better\.options\.c\.d\.c is an alias of what it stands in",
        ),
        ("options: {c: 3}", "options: {c: &all [*all]}", r"better\.options\.c\.0 is an alias of what it stands in"),
        ("options: {c: 3}", "options: {c: [2026-01-31]}", r"options\.c\.0 is datetime\.date\(2026, .*, a date; write"),
        (
            "options: {c: 3}",
            "options: {c: {2026-01-31: 3}}",
            r"options\.c has the key datetime\.date\(2026, .*, a date",
        ),
        ("options: {c: 3}", "options: {c: {1: 2, '1': 3}}", r"options\.c has the key 1, a int; write it as a text"),
        ("options: {c: 3}", "options: {c: 2026-02-30}", r"study\.yaml is no YAML: 2026-02-30 is no timestamp"),
        ("options: {c: 3}", "options: {c: !!bool x}", r"study\.yaml is no YAML: x is no bool"),
        ("options: {c: 3}", "options: {c: !!set {a}}", r"options\.c is \{'a'\}, a set; write it"),
        (
            "question:",
            "metric: pascal_voc/mAP\nquestion:",
            "metric is pascal_voc/mAP, and results keep those of COCO alone",
        ),
        (
            "question:",
            "metric: coco/bbox_mAP50\nquestion:",
            r"metric is coco/bbox_mAP50, which no validation tells; did you mean coco/bbox_mAP_50\?",
        ),
    ],
)
def test_what_is_wrong(tmp_path, old, new, words):
    assert old in WHOLE
    with pytest.raises(InputError, match=words):
        read_study(written(tmp_path, WHOLE.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "lost"),
    [
        ("c: 1}", "train_cfg.max_epochs: 3}", "train_cfg.max_epochs"),
        ("c: 1}", "train_cfg: {max_epochs: 3}}", "train_cfg.max_epochs"),
        ("c: 1}", "train_cfg: {deep: {er: 3}}}", "train_cfg.deep.er"),
    ],
)
def test_no_value_is_lost_where_a_later_level_sets_the_whole(tmp_path, old, new, lost):
    text = WHOLE.replace(old, new, 1).replace("options: {c: 3}", "options: {train_cfg: {val_interval: 2}}")
    study = read_study(written(tmp_path, text))
    words = rf"options of arm better set train_cfg as a whole, so that {lost}, set before, would be lost"
    with pytest.raises(InputError, match=words):
        study.options_of(Run("cells", "better", 2))


@pytest.mark.parametrize(
    ("study", "arm", "found"),
    [
        ("a.b.c: 1", "a.b: null", {"a.b": None}),
        ("a: {b: 1, c: 2}", "a: {_delete_: true, b: 3}", {"a": {"_delete_": True, "b": 3}}),
        ("a.b: 1", "a: {b: 2, c: 3}", {"a": {"b": 2, "c": 3}}),
        ("a: {b: 1, c: 2}", "a.b: 3", {"a": {"b": 1, "c": 2}, "a.b": 3}),
    ],
)
def test_what_is_said_to_be_whole_is(tmp_path, study, arm, found):
    text = WHOLE.replace("options: {a: 1, b: 1, c: 1}", f"options: {{{study}}}").replace(
        "options: {b: 2, c: 2}", "options: {}"
    )
    options = read_study(written(tmp_path, text.replace("options: {c: 3}", f"options: {{{arm}}}")))
    assert options.options_of(Run("cells", "better", 2)) == {**found, "randomness.seed": 2}


def test_what_is_trained_first_has_the_values_of_its_set(tmp_path):
    text = WHOLE.replace("options: {c: 3}", "options: {c: 3}, first: {config: 'dense/{set}.py', options: {d: 4}}")
    study = read_study(written(tmp_path, text))
    first = study.first_of(Run("cells", "better", 2))
    assert first == ("dense/cells.py", {"a": 1, "b": 2, "c": 2, "d": 4, "randomness.seed": 2})
    own = study.options_of(Run("cells", "better", 2))
    assert own == {"a": 1, "b": 2, "c": 3, "randomness.seed": 2 + LATER}, "it draws other images than that did"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"gone\.yaml cannot be read"):
        read_study(tmp_path / "gone.yaml")
    with pytest.raises(InputError, match="it must be keys with values"):
        read_study(written(tmp_path, "- 1"))
    with pytest.raises(InputError, match="sets is empty"):
        read_study(written(tmp_path, "question: a\nseeds: [0]\narms: {a: {config: b}}"))


def test_numbers_may_be_written_without_a_point(tmp_path):
    """As Python and YAML 1.2 read them."""
    text = WHOLE.replace("options: {c: 3}", "options: {c: 5e-4, d: -1E+3, e: 1.e2, f: .5e1, g: e5, h: 5e}")
    options = read_study(written(tmp_path, text)).options_of(Run("cells", "better", 2))
    assert [options[key] for key in "cdefgh"] == [5e-4, -1000.0, 100.0, 5.0, "e5", "5e"]


def test_arms_may_be_called_by_numbers(tmp_path):
    text = WHOLE.replace("  plain:", "  1:").replace("[[better, plain]]", "[[better, 1]]")
    assert read_study(written(tmp_path, text)).compare == (("better", "1"),)
