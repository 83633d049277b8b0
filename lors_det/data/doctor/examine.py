"""All checks, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lors_det.data.doctor.amounts import check_amounts, check_constant
from lors_det.data.doctor.box_form import check_box_form
from lors_det.data.doctor.boxes import check_boxes, check_crowds, check_empty_images
from lors_det.data.doctor.case import Case
from lors_det.data.doctor.classes import check_class_counts, check_class_lists, check_ids, check_names
from lors_det.data.doctor.duplicates import check_duplicates
from lors_det.data.doctor.files import check_files
from lors_det.data.doctor.leaks import check_leaks
from lors_det.data.doctor.sizes import check_sizes
from lors_det.data.record import Finding, Level

Check = Callable[[Case], Iterable[Finding]]

CHECKS: tuple[Check, ...] = (
    check_class_lists,
    check_ids,
    check_class_counts,
    check_names,
    check_files,
    check_sizes,
    check_box_form,
    check_boxes,
    check_crowds,
    check_empty_images,
    check_duplicates,
    check_leaks,
    check_amounts,
    check_constant,
)
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
"""The worst first."""


def examine(case: Case) -> tuple[Finding, ...]:
    """What the reader met, what the records hold that cannot be used, and what the checks find; each once."""
    found = [*case.folder.findings, *(each for table in case.tables for each in table.malformed)]
    known = {(each.kind, each.where) for each in found}
    for check in CHECKS:
        found += [each for each in check(case) if (each.kind, each.where) not in known]
    return tuple(found)
