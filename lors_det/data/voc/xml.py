"""One XML file of a Pascal VOC set: its size and its objects."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from lors_det.errors import InputError

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_NOT_DIFFICULT, _DIFFICULT = ("", "0", "false", "unspecified"), ("1", "true")


@dataclass(frozen=True)
class VocObject:
    """An object as the XML states it; `corners` are xmin, ymin, xmax, ymax in 1-based pixels."""

    class_name: str
    corners: tuple[float, float, float, float]
    difficult: bool


def _text(node: ElementTree.Element, path: str, xml: Path) -> str:
    text = (node.findtext(path) or "").strip()
    if not text:
        raise InputError(f"{xml}: <{node.tag}> has no <{path}>; add it or take the image out of the split")
    return text


def _number(node: ElementTree.Element, path: str, xml: Path) -> float:
    text = _text(node, path, xml)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{xml}: <{path}> is {text!r}, it must be a finite number")
    return value


def parse_xml(xml: Path) -> ElementTree.Element:
    """The root of an XML file; an InputError that names file, line and column where it is malformed.

    Its tags are without a namespace.
    """
    try:
        try:
            root = ElementTree.parse(xml).getroot()
        except (ValueError, LookupError):  # an encoding of several bytes a letter, such as GBK, or none
            root = ElementTree.fromstring(_decoded(xml))
    except ElementTree.ParseError as error:
        line, column = error.position
        message = f"{xml}, line {line}, column {column + 1}: malformed XML ({error}); mend the file"
        raise InputError(message) from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def _decoded(xml: Path) -> str:
    """The text of an XML file, by the encoding that its first line states."""
    content = xml.read_bytes()
    stated = re.match(rb"""<\?xml[^>]*?encoding\s*=\s*["']([\w.:-]+)["']""", content)
    encoding = stated[1].decode() if stated else "utf-8"
    try:
        return content.decode(encoding)
    except (ValueError, LookupError) as error:
        raise InputError(f"{xml} states the encoding {encoding}, and is not read by it ({error}); mend it") from error


def size_of(root: ElementTree.Element, xml: Path) -> tuple[int, int]:
    """Width and height in pixels as stated; an InputError where they are missing or no positive whole numbers."""
    width, height = (_number(root, f"size/{side}", xml) for side in ("width", "height"))
    if min(width, height) < 1 or width % 1 or height % 1:
        raise InputError(f"{xml}: <size> is {width:g} x {height:g}; write the image's size in whole pixels")
    return int(width), int(height)


def class_name_of(node: ElementTree.Element, xml: Path) -> str:
    """The name of an <object>; an InputError where it has none."""
    return _text(node, "name", xml)


def object_of(node: ElementTree.Element, xml: Path) -> VocObject:
    """An <object>; an InputError that names the file and the element that is missing or malformed."""
    left, top, right, bottom = (_number(node, f"bndbox/{corner}", xml) for corner in _CORNERS)
    difficult = (node.findtext("difficult") or "").strip()
    if difficult.lower() not in (*_NOT_DIFFICULT, *_DIFFICULT):
        raise InputError(f"{xml}: <difficult> is {difficult!r}, it must be 0 or 1")
    return VocObject(class_name_of(node, xml), (left, top, right, bottom), difficult.lower() in _DIFFICULT)
