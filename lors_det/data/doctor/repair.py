"""A repaired copy of the records: what can be mended without looking at a picture."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from lors_det.data.doctor.case import Case
from lors_det.data.doctor.classes import name_counts
from lors_det.data.doctor.names import RARE, alike
from lors_det.data.doctor.repair_steps import STEPS, Content
from lors_det.data.doctor.table import Table, read_table
from lors_det.data.splits import VAL_FRACTION, complete
from lors_det.data.words import counted, listed

_JUDGED_ANEW = ("outside", "no-box", "missing-folder")
"""Errors of the reader that say nothing of a repaired copy, which names no folders; others do: what the reader left out
is missing there too."""


@dataclass(frozen=True)
class Repair:
    """What became of a case."""

    case: Case
    """Its repaired records, to be written, and to be examined again. Images are relative to the folder asked for."""
    actions: tuple[str, ...]
    """What was done, in words, in that order."""


def repair(case: Case, out: Path, *, fix_classes: bool = False) -> Repair:
    """Mend the records of a case; the case, its records and the images stay as they are.

    Entries and boxes that cannot be used are dropped: of unknown images or categories, of images that are missing or
    cannot be decoded, without area, outside of the image, or repeated. Boxes of another form are converted and boxes
    beyond their image clipped; annotated sizes are corrected, with their boxes where those are of the annotated size;
    shifted category ids are shifted back. All splits get the same categories. A val split of nothing but images of
    train is dropped, and part of train takes its place.

    Without the facts of the image files, sizes are not judged and no image is dropped.

    Args:
        case: what :func:`lors_det.data.doctor.case.open_case` read.
        out: folder that file names are made relative to.
        fix_classes: also give classes whose names are probably another's (:mod:`names`) that name.
    """
    actions: list[str] = []
    tables = _with_own_val(tuple(_mended(case, table, actions) for table in case.tables), actions)
    names = _class_names(replace(case, tables=tables), actions, fix_classes)
    classes = tuple(dict.fromkeys(names.values()))
    if any(table.class_names != classes for table in case.tables):
        actions.append(f"all splits: the categories are {listed(classes)}, in this order")
    facts = {}
    splits = {}
    for table in tables:
        content, files = _record(table, names, classes, out)
        splits[table.name] = replace(
            table.split, content=content, image_root=out, source=f"{table.split.source}, repaired", annotation_file=None
        )
        facts.update({os.path.join(out, new): case.facts[old] for old, new in files.items() if case.facts})
    lasting = tuple(each for each in case.folder.findings if each.level == "error" and each.kind not in _JUDGED_ANEW)
    folder = replace(case.folder, root=out, form="COCO", classes=classes, splits=splits, findings=lasting)
    again = tuple(read_table(splits[table.name]) for table in tables)
    return Repair(replace(case, folder=folder, tables=again, facts=facts), tuple(actions))


def _with_own_val(tables: tuple[Table, ...], actions: list[str]) -> tuple[Table, ...]:
    """The tables; where val has nothing but images of train, it is part of train instead, which is left with the rest.

    A train of one image cannot be divided and stays as it is.
    """
    by_name = {table.name: table for table in tables}
    train, val = by_name.get("train"), by_name.get("val")
    if train is None or val is None or len(set(train.paths)) < 2 or not set(val.paths) <= set(train.paths):
        return tables
    actions.append("val: dropped, since train has all of its images; part of train is val now")
    splits = complete({name: table.split for name, table in by_name.items() if name != "val"}, VAL_FRACTION)
    return tuple(read_table(split) for split in splits.values())


def _mended(case: Case, table: Table, actions: list[str]) -> Table:
    name = table.name

    def did(count: int, thing: str, what: str) -> None:
        if count:
            actions.append(f"{name}: {counted(count, thing)} {what}")

    for step in STEPS:
        content = step(case, table, did)
        if content is not table.split.content:
            table = read_table(replace(table.split, content=content))
    return table


def _record(table: Table, names: dict[str, str], classes: tuple[str, ...], out: Path) -> tuple[Content, dict[str, str]]:
    """The content with the new classes and file names, and the new file name of each path."""
    files = {table.path(index): _relative(table.path(index), out) for index in range(len(table.images))}
    ids = [classes.index(names[name]) + 1 for name in table.class_names]
    content = {
        **table.split.content,
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, start=1)],
        "images": [{**image, "file_name": files[table.path(index)]} for index, image in enumerate(table.images)],
        "annotations": [
            {**{key: annotation[key] for key in annotation if key != "stated_as"}, "category_id": ids[label]}
            for annotation, label in zip(table.annotations, table.class_of.tolist())
        ],
    }
    return content, files


def _relative(path: str, out: Path) -> str:
    """A path as seen from ``out``, with slashes; folders that are links are followed, so that ``..`` leads back."""
    folder, name = os.path.split(path)
    place = os.path.join(os.path.relpath(os.path.realpath(folder), os.path.realpath(out)), name)
    return Path(place).as_posix()


def _class_names(case: Case, actions: list[str], fix: bool) -> dict[str, str]:
    """The name that each class gets, in the order of the classes."""
    counts = name_counts(case)
    names = {name: name for name in counts}
    for rare, common, how in alike(counts) if fix else ():
        if how != "class-plural" or counts[rare] <= RARE * counts[common]:
            names[rare] = common
            actions.append(f"all splits: {counted(counts[rare], 'box')} of {rare!r} made {common!r}")
    for name in names:
        while names[names[name]] != names[name]:  # a typing error of what is itself one
            names[name] = names[names[name]]
    return names
