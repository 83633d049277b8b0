"""What runs of a study reached, kept beside its file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

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


_KINDS = {
    "seed": int,
    **dict.fromkeys(("set", "arm", "course", "data", "commit"), str),
    **dict.fromkeys(("metrics", "parameters", "macs", "versions"), dict),
}


def read_results(path: Path) -> dict[Run, Result]:
    """What is known already; nothing where there is no file.

    Raises:
        InputError: if the file holds something else.
    """
    if not path.is_file():
        return {}
    names = {field.name for field in fields(Result)}
    try:
        results = [
            Result(**{key: value for key, value in entry.items() if key in names})
            for entry in json.loads(path.read_text(encoding="utf-8"))["runs"]
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} holds no results of a study ({error!r}); move it away") from error
    for result in results:
        if not all(isinstance(getattr(result, name), kind) for name, kind in _KINDS.items()):
            raise InputError(
                f"{path} holds no results of a study ({result.run!r} has values of other kinds); move it away"
            )
    return {result.run: result for result in results}


def write_results(path: Path, results: Iterable[Result]) -> None:
    """Write all results, a line each."""
    lines = [json.dumps(asdict(result), sort_keys=True) for result in sorted(results, key=lambda each: each.run)]
    content = '{"runs": [\n' + ",\n".join(lines) + "\n]}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, lambda file: file.write(content.encode()))
