"""A study read from its YAML file; what is wrong with the file is named by its key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from lors_det.errors import InputError
from lors_det.studies.plan import Arm, Data, Study, Trained

_MULTIPLE = 32  # pixels, the coarsest stride, for which arithmetic is counted
_OF_RUNS = {"randomness.seed": "write it into seeds", "work_dir": "--work-dir names the folder of all"}
_OF_ALL_CLASSES = re.compile(r"coco/bbox_(mAP(_50|_75|_s|_m|_l)?|AR@(100|300|1000)|AR_[sml]@1000)")
"""Figures by mmdet's names; those of single classes have the classes'."""
_KEYS = ("question", "answer", "sets", "arms", "seeds", "options", "compare", "metric")


def read_study(path: str | Path) -> Study:
    """Read a study's YAML file.

    ::

        question: Does half the learning rate of the shared base close the gap to AdaMixer?
        answer: ""                                  # when there is one
        seeds: [0, 1, 2]                            # an arm may have its own
        options: {train_cfg.max_epochs: 30}         # of all runs; sets and arms have theirs
        sets:
          bccd: {shape: [192, 256]}
          aquarium: {data: data/aquarium, image_side: 320, shape: [256, 320]}
        arms:
          adamixer: {config: "configs/ablations/{set}/adamixer.py"}
          lors-half: {config: "configs/ablations/{set}/lors.py",
                      options: {optim_wrapper.constructor: MergedOptimWrapperConstructor,
                                optim_wrapper.paramwise_cfg.sharing: {base_lr: 0.5}}}
          lors-later:       # starts from the last weights of what is trained first, which has the options of the study
                            # and the set, and its own
            {config: "configs/ablations/{set}/lors.py", first: {config: "configs/ablations/{set}/adamixer.py"}}
        compare: [[lors-half, adamixer]]            # pairs of arms, tested
        metric: coco/bbox_mAP                       # of the last validation; this is the default

    Raises:
        InputError: if the file is no such description; it names the key.
    """
    path = Path(path)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise InputError(f"study {path} cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"study {path} is no YAML: {' '.join(str(error).split())}") from error
    content = _mapping(content, f"study {path}")
    _known(content, _KEYS, f"study {path}")
    question = content.get("question")
    if not isinstance(question, str) or not question.strip():
        raise InputError(f"study {path} has no question; state it before anything runs")
    seeds = _seeds(content.get("seeds"), f"study {path}: seeds")
    sets = {
        name: _data(value, f"study {path}: sets.{name}")
        for name, value in _named(content.get("sets"), f"study {path}: sets").items()
    }
    arms = {
        name: _arm(value, seeds, f"study {path}: arms.{name}")
        for name, value in _named(content.get("arms"), f"study {path}: arms").items()
    }
    answer = content.get("answer")
    return Study(
        path=path,
        question=" ".join(question.split()),
        answer=" ".join(_text("" if answer is None else answer, f"study {path}: answer").split()),
        sets=sets,
        arms=arms,
        options=_options(content.get("options"), f"study {path}: options"),
        compare=tuple(_pairs(content.get("compare"), arms, f"study {path}: compare")),
        metric=_metric(content.get("metric", "coco/bbox_mAP"), path),
    )


class _Loader(yaml.SafeLoader):
    """PyYAML keeps the last of two values of one key, without a word; and takes 5e-4, without a point, for a text."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError, TypeError) as error:  # 2026-02-30, or a tag of another type
            what = f"{getattr(node, 'value', '')!s} is no {node.tag.rpartition(':')[2]}"
            raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():  # !!map before a text is refused below
            name = (key.tag, str(key.value))
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value} is there twice", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _mapping(value: Any, where: str) -> dict[str, Any]:
    value = {} if value is None else value
    if not isinstance(value, Mapping):
        raise InputError(f"{where} is {value!r}; it must be keys with values")
    named = {str(key): item for key, item in value.items()}
    if len(named) < len(value):  # the number 1 and the text "1"
        twice = next(name for name in named if sum(str(key) == name for key in value) > 1)
        raise InputError(f"{where} has {twice} twice, as a number and as a text; choose another name")
    return named


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where} is {value!r}; it must be a text")
    return value


def _known(value: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
    unknown = [key for key in value if key not in keys]
    if unknown:
        raise InputError(f"{where} has {', '.join(unknown)}; it takes {', '.join(keys)}")


def _named(value: Any, where: str) -> dict[str, Any]:
    named = _mapping(value, where)
    if not named:
        raise InputError(f"{where} is empty; name at least one")
    wrong = next(
        (
            name
            for name in named
            if not name or set(name) & set("/\\|<>`") or not name.isprintable() or name.startswith(".")
        ),
        None,
    )
    if wrong is not None:
        raise InputError(f"{where}: {wrong!r} cannot be the name of a folder and a row of a table; choose another")
    return named


def _metric(value: Any, path: Path) -> str:
    metric = _text(value, f"study {path}: metric")
    if not metric.startswith("coco/"):
        raise InputError(
            f"study {path}: metric is {metric}, and results keep those of COCO alone, such as coco/bbox_mAP_50"
        )
    if metric.startswith("coco/bbox_") and not _OF_ALL_CLASSES.fullmatch(metric):
        near = get_close_matches(metric, ("coco/bbox_mAP", "coco/bbox_mAP_50", "coco/bbox_mAP_75"), n=1, cutoff=0)
        raise InputError(f"study {path}: metric is {metric}, which no validation tells; did you mean {near[0]}?")
    return metric


def _seeds(value: Any, where: str) -> tuple[int, ...]:
    from lors_det.plugin.config.values import SEEDS  # which imports torch: wrong arguments are answered before

    if not isinstance(value, list) or not value or not all(type(seed) is int and seed in SEEDS for seed in value):
        raise InputError(f"{where} is {value!r}; it must be a list of numbers from 0 to {SEEDS.stop - 1}")
    if len(set(value)) < len(value):
        raise InputError(f"{where} is {value!r}, and names a seed twice")
    return tuple(value)


def _data(value: Any, where: str) -> Data:
    value = _mapping(value, where)
    _known(value, ("data", "image_side", "shape", "options"), where)
    side = value.get("image_side")
    if side is not None and (type(side) is not int or side < 1):
        raise InputError(f"{where}.image_side is {side!r}; it must be a number of pixels")
    shape = value.get("shape", [800, 1280])
    if not isinstance(shape, list) or len(shape) != 2 or not all(type(each) is int for each in shape):
        raise InputError(f"{where}.shape is {shape!r}; it must be [height, width]")
    if any(each < 1 or each % _MULTIPLE for each in shape):
        raise InputError(f"{where}.shape is {shape!r}; sides of a padded image are multiples of {_MULTIPLE} pixels")
    data = value.get("data")
    return Data(
        data=None if data is None else Path(_text(data, f"{where}.data")),
        image_side=side,
        shape=(shape[0], shape[1]),
        options=_options(value.get("options"), f"{where}.options"),
    )


def _options(value: Any, where: str) -> dict[str, Any]:
    from lors_det.plugin.config.names import leaves

    options = _mapping(value, where)
    _plain(options, where)
    for key, _ in leaves(options):
        if key in _OF_RUNS:
            raise InputError(f"{where} has {key}, which is a run's own; {_OF_RUNS[key]}")
    return options


def _plain(value: Any, where: str, around: tuple[Any, ...] = ()) -> None:
    """Refuse what YAML knows and the order of a run, JSON, does not: dates, sets, bytes, and what holds itself."""
    if any(value is each for each in around):
        raise InputError(f"{where} is an alias of what it stands in; write out what is meant")
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(value, dict) and not isinstance(key, str):
                raise InputError(f"{where} has the key {key!r}, a {type(key).__name__}; write it as a text, in quotes")
            _plain(item, f"{where}.{key}", (*around, value))
    elif not isinstance(value, str | int | float | None):
        raise InputError(f"{where} is {value!r}, a {type(value).__name__}; write it as a text, in quotes, or as a list")


def _arm(value: Any, seeds: tuple[int, ...], where: str) -> Arm:
    value = _mapping(value, where)
    own = _seeds(value.pop("seeds"), f"{where}.seeds") if "seeds" in value else seeds
    first = _trained(value.pop("first"), f"{where}.first") if "first" in value else None
    return Arm(*_trained(value, where, ("first", "seeds")), own, first)


def _trained(value: Any, where: str, others: tuple[str, ...] = ()) -> Trained:
    value = _mapping(value, where)
    if unknown := [key for key in value if key not in ("config", "options")]:
        raise InputError(f"{where} has {', '.join(unknown)}; it takes {', '.join(('config', 'options', *others))}")
    if not isinstance(value.get("config"), str):
        raise InputError(f"{where} has no config; name a file, in which {{set}} stands for the set")
    return Trained(value["config"], _options(value.get("options"), f"{where}.options"))


def _pairs(value: Any, arms: Mapping[str, Arm], where: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, list | None):
        raise InputError(f"{where} is {value!r}; it must be a list of pairs of arms")
    seen: set[frozenset[str]] = set()
    for pair in value or ():
        names = list(map(str, pair)) if isinstance(pair, list) else []  # an arm may be called 1
        if len(names) != 2 or names[0] == names[1]:
            raise InputError(f"{where} has {pair!r}; it must be two arms, [better, than this]")
        if missing := [name for name in names if name not in arms]:
            raise InputError(f"{where} names {', '.join(missing)}; arms are {', '.join(arms)}")
        if frozenset(names) in seen:  # it would be one more of the tests that p is corrected for
            raise InputError(f"{where} has {' and '.join(names)} twice; once is both ways")
        if not set(arms[names[0]].seeds) & set(arms[names[1]].seeds):  # which pair the tests
            raise InputError(f"{where} has {pair!r}, which have no seed in common; give both the same seeds")
        seen.add(frozenset(names))
        yield names[0], names[1]
