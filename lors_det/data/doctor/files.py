"""Image files: those that training cannot read, those it reads otherwise than they look, and forms it converts."""

from __future__ import annotations

from collections.abc import Iterator

from lors_det.data.doctor.case import Case
from lors_det.data.doctor.image_facts import ImageFacts
from lors_det.data.record import Finding, Level

BLACK_PEAK = 1 << 12
"""A 16-bit image whose values stay below it, such as 12 bits as they are, has at most 16 of 256 levels when read."""
DARK_PEAK = 1 << 14

_PROBLEMS = {
    "missing": ("it does not exist", "check the folder of the images, or take it out of the set"),
    "unreadable": ("it is there and cannot be read", "give rights to read it, or look after the disk"),
    "truncated": ("its end is missing, OpenCV does not decode it", "copy it again, or take it out of the set"),
    "undecodable": ("OpenCV does not decode it", "convert it to PNG or JPEG, or take it out of the set"),
}
_FORMS = {
    "grey": "it is grey: read as three equal channels",
    "CMYK": "it is CMYK: read as RGB, without its colour profile",
    "palette": "it has a palette: read as RGB",
    "alpha": "it has an alpha channel, which is dropped: what is transparent shows the colour beneath",
}


def check_files(case: Case) -> Iterator[Finding]:
    """A finding for each image that is not simply eight bits of colour."""
    for table in case.tables:
        for index in range(len(table.images)) if case.facts else ():
            facts = case.facts[table.path(index)]
            for kind, level, what, remedy in _findings(facts):
                yield Finding(kind, level, table.image(index), what, remedy)


def _findings(facts: ImageFacts) -> Iterator[tuple[str, Level, str, str]]:
    if facts.problem is not None:
        yield f"{facts.problem}-image", "error", *_PROBLEMS[facts.problem]
        return
    if facts.bits == 16:
        read = f"its 16-bit values reach {facts.peak}, and the loader keeps the upper 8 bits: 0 to {facts.peak >> 8}"
        scale = "scale its values to 0..65535, or convert it to 8 bits"
        if facts.peak < BLACK_PEAK:
            yield "black-16-bit", "error", f"{read}, it goes black", scale
        elif facts.peak < DARK_PEAK:
            yield "dark-16-bit", "warning", f"{read}, it goes dark", scale
        else:
            yield "16-bit", "note", read, ""
    if facts.form in _FORMS:
        yield f"{facts.form.lower()}-image", "note", _FORMS[facts.form], ""
