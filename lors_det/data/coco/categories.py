"""Categories of a COCO file: each with a name and an id of its own, ids in the order of the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lors_det.data.coco.ids import Id, as_id, ascend, same
from lors_det.data.coco.notes import Notes
from lors_det.data.record import Finding


def usable_categories(entries: list[Any], notes: Notes) -> tuple[list[dict[str, Any]], dict[Id, int], bool]:
    """The categories; the id to use for each id; and whether these are the entries as they are.

    Ids that do not ascend are given anew: pycocotools sorts them, and mmdet would tell the AP of each class as
    another's.
    """
    found: dict[str, dict[str, Any]] = {}
    ids: dict[Id, Id] = {}
    for number, entry in enumerate(entries):
        category_id, name = (as_id(entry.get("id")), _name(entry)) if isinstance(entry, dict) else (None, None)
        if category_id is None or name is None:
            notes.warn("malformed-entry", f"categories[{number}] lacks id or name; it is left out", error=True)
        elif category_id in ids:
            what = f"the category id {category_id} of {name} is used twice; the category is left out"
            notes.warn("duplicate-category-id", what, "give each its own", error=True)
        else:
            if name in found:
                what = f"{name} is the name of several categories, which are taken as one"
                notes.warn("class-names-twice", what, "give each a name of its own", error=True)
            alike = same(entry["id"], category_id) and entry["name"] == name
            made = entry if alike else {**entry, "id": category_id, "name": name}
            ids[category_id] = found.setdefault(name, made)["id"]
    categories = list(found.values())
    if not ascend(category["id"] for category in categories):
        new = {category["id"]: number for number, category in enumerate(categories, start=1)}
        categories = [{**category, "id": new[category["id"]]} for category in categories]
        ids = {listed: new[used] for listed, used in ids.items()}
        what = "ids of categories do not ascend in the order of the file; they are given anew, from 1"
        notes.findings.append(Finding("category-id-order", "note", notes.where, what))
    alike = len(categories) == len(entries) and all(made is entry for made, entry in zip(categories, entries))
    return categories, {listed: int(used) for listed, used in ids.items()}, alike


def _name(category: Mapping[str, Any]) -> str | None:
    """The name of a category, which is not blank; a number is one as it is written."""
    name = category.get("name")
    is_name = isinstance(name, (int, float, str)) and not isinstance(name, bool) and str(name).strip()
    return str(name) if is_name else None
