"""What lies among the inputs and is not looked at: pictures of an earlier run, and formats that are not read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lors_det.data.images import IMAGE_SUFFIXES, is_image
from lors_det.data.words import counted
from lors_det.files import short_path
from lors_det.inference.sources import count_passed_over


def pictures_to_leave_out(inputs: Sequence[str], out: Path, *, drawn: bool) -> Path | None:
    """The folder of pictures, which are no inputs of another run, unless one without pictures names what is in it."""
    folder = out.resolve()
    named = any(folder in (place, *place.parents) for place in _places(inputs))
    return None if named and not drawn else folder


def notes(inputs: Sequence[str], pictures: Path | None, *, drawn: bool) -> Iterator[str]:
    """Words on what is passed over, for a person who expects it to be looked at.

    Args:
        inputs: what :func:`lors_det.inference.sources.find_sources` takes.
        pictures: the folder that it leaves out.
        drawn: whether pictures are written there, so that those of an earlier run are no surprise.
    """
    if number := count_passed_over(inputs, leave_out=pictures):
        yield (
            f"{counted(number, 'image')} passed over, of formats that are not read; these are: "
            f"{', '.join(IMAGE_SUFFIXES)}"
        )
    if not drawn and pictures is not None and (number := _images_in(pictures, inputs)):
        yield (
            f"{counted(number, 'image')} in {short_path(pictures)}, the folder of pictures, passed over; name another "
            "one to look at them, --out"
        )


def _images_in(folder: Path, inputs: Sequence[str]) -> int:
    """Images in a folder that lies in one of the inputs, and is not looked into."""
    inside = any(place in folder.parents for place in _places(inputs))
    return sum(is_image(path.name) for path in folder.rglob("*")) if inside else 0


def _places(inputs: Sequence[str]) -> Iterator[Path]:
    return (Path(text).expanduser().resolve() for text in inputs)
