"""A work dir keeps the checkpoints of one run."""

from __future__ import annotations

import re
from pathlib import Path

from lors_det.errors import InputError
from lors_det.plugin.saving.latest import LAST, candidates
from lors_det.training.resuming import FormerRun

_WRITTEN = re.compile(r"(best_.+_)?(epoch|iter)_\d+\.pth")
"""Names of the checkpoints that a training writes."""


def check_not_mixed(
    work_dir: str, former: FormerRun | None, resume_from: str | Path | None, out_dir: str | None = None
) -> None:
    """A work dir keeps the checkpoints of one run: those of two could not be told apart.

    Args:
        work_dir: of the run that is to begin, or to go on.
        former: the run that is resumed.
        resume_from: the checkpoint that was named for it, "auto" for the work dir's last.
        out_dir: where the checkpoint hook has a folder of the work dir's name, in place of the work dir.

    Raises:
        InputError: if there are checkpoints of a run that is not the one that is resumed.
    """
    folders = [Path(work_dir), *([Path(out_dir, Path(work_dir).name)] if out_dir else [])]
    own = {folder.resolve() for folder in folders}
    if former is not None and former.checkpoint.resolve().parent in own:
        return
    found = [path for folder in folders for path in folder.glob("*.pth") if _WRITTEN.fullmatch(path.name)]
    if Path(work_dir, LAST).is_file():  # which names one of whatever name
        found += [path for path in candidates(Path(work_dir))[:1] if path.resolve().parent in own]
    if not found:
        return
    names = sorted({str(path) for path in found})
    more = f" and {len(names) - 1} more" if names[1:] else ""
    another = "--work-dir names another place"
    if not all(path.name.startswith("best_") for path in found):
        bare = " without a name" if resume_from not in (None, "auto") else ""
        remedy = f"--resume{bare} goes on with that run, {another}; or move or remove the folder"
    else:
        remedy = f"it left nothing to go on from; --load-from starts from its weights, {another}"
    raise InputError(
        f"{work_dir} has checkpoints of an earlier run, {names[0]}{more}, and this one's would mix with them: {remedy}"
    )
