"""What runs of a study reached, kept beside its file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from lors_det.errors import InputError
from lors_det.files import write_whole
from lors_det.studies.plan import Run


@dataclass(frozen=True)
class Result:
    """What one run reached."""

    set: str
    arm: str
    seed: int
    course: str
    """Fingerprint of all values that decide weights and figures."""
    data: str
    """Fingerprint of the folder of data; empty where the config has its own."""
    commit: str
    """Of this project, with a + where files were changed since, one for each start; empty outside a checkout."""
    versions: Mapping[str, str]
    """Of Python and packages; ``GPU``, its name, where there was one."""
    metrics: Mapping[str, float]
    """Of the last validation: the best one would choose among validations by what it reports."""
    parameters: Mapping[str, int]
    """``decoder`` and ``model``."""
    macs: Mapping[str, int]
    """``decoder`` and ``total``, of the set's shape."""
    steps: int
    seconds_per_step: float
    """Median."""
    memory_mib: float
    """Most that was resident, or on a GPU allocated."""
    trained_as: str = ""
    """Arm whose training this is, where that validated a mean of the weights: time and memory are of that."""

    @property
    def run(self) -> Run:
        return Run(self.set, self.arm, self.seed)


_TEXTS = ("set", "arm", "course", "data", "commit", "trained_as")
_NUMBERS = ("seed", "steps", "seconds_per_step", "memory_mib")
_NUMBERS_BY_NAME: dict[str, tuple[str, ...]] = {
    "metrics": (),
    "parameters": ("decoder", "model"),
    "macs": ("decoder", "total"),
}
"""And the names that have to be among them."""


def read_results(path: Path) -> dict[Run, Result]:
    """What is known already; nothing where there is no file.

    Raises:
        InputError: if the file holds something else, or one run twice.
    """
    if not path.exists():
        return {}
    if not path.is_file():
        raise InputError(f"{path} is no file, which results are kept in; move it away")
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["runs"]
        odd = next(
            (f"run {number} {odd}" for number, entry in enumerate(entries, 1) for odd in _odd_fields(entry)), None
        )
        results = [Result(**entry) for entry in entries] if odd is None else []
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} holds no results of a study ({error!r}); move it away") from error
    if odd is not None:
        raise InputError(f"{path}: {odd}")
    known: dict[Run, Result] = {}
    for result in results:
        if wrong := next(_misfits(result), None):
            raise InputError(f"{path} holds no results of a study ({result.run}: {wrong}); move it away")
        if known.setdefault(result.run, result) != result:  # files of two machines, put together
            raise InputError(f"{path} holds {result.run} twice, of other values; take one out")
    return known


def _odd_fields(entry: Mapping[str, Any]) -> Iterator[str]:
    """What an entry of another version has, which would be lost where the file is written anew, or has not."""
    needed = {each.name for each in fields(Result) if each.default is MISSING and each.default_factory is MISSING}
    if unknown := sorted(entry.keys() - {each.name for each in fields(Result)}):
        yield f"has {', '.join(unknown)}, of a newer lors_det; go on with that one"
    if missing := sorted(needed - entry.keys()):
        yield f"has no {', '.join(missing)}; mend it, or take it out, and it is run again"


def _misfits(result: Result) -> Iterator[str]:
    """Fields that hold something else, in words."""
    yield from (f"{name} is no text" for name in _TEXTS if not isinstance(getattr(result, name), str))
    yield from (f"{name} is no number" for name in _NUMBERS if not _is_number(getattr(result, name)))
    yield from (f"{name} is no whole number" for name in ("seed", "steps") if type(getattr(result, name)) is not int)
    for name, needed in _NUMBERS_BY_NAME.items():
        values = getattr(result, name)
        if not isinstance(values, dict) or not all(map(_is_number, values.values())):
            yield f"{name} is no numbers by name"
        elif missing := [each for each in needed if each not in values]:
            yield f"{name} has no {missing[0]}"
    versions = result.versions
    if not isinstance(versions, dict) or not all(isinstance(each, str) for each in versions.values()):
        yield "versions is no texts by name"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def write_results(path: Path, results: Iterable[Result]) -> None:
    """Write all results, a line each."""
    lines = [json.dumps(asdict(result), sort_keys=True) for result in sorted(results, key=lambda each: each.run)]
    content = '{"runs": [\n' + ",\n".join(lines) + "\n]}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: file.write(content.encode()))
