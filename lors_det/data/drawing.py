"""Drawing textured shapes on muted, uneven backgrounds, with fair ground truth.

Shapes rotate, overlap and leave the image. Every drawn object is annotated and shows a part of itself that tells what
it is. Pictures and boxes come from one definition of a shape's pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

CLASSES = ("disc", "square", "triangle", "star", "cross", "ring")
MIN_INSIDE_SHARE = 0.75

_Window = tuple[slice, slice]
_TRIES = 24
_OVERSAMPLING = 4
_PALETTE = "ef476f f3722c ffc233 7cc242 06b98a 18a7d8 3f6ae0 8a4fd8 d64fc0 d62839"
_COLOURS = {
    "red": "d62839",
    "orange": "f3722c",
    "yellow": "ffc233",
    "green": "7cc242",
    "teal": "06b98a",
    "blue": "3f6ae0",
    "violet": "8a4fd8",
    "pink": "d64fc0",
}
_GROUNDS = "e6dcc6 d3dbdf a9b8a0 8fa6b8 b9a4b5 b89684 55677a 33494f 453d52 54483f"


@dataclass(frozen=True)
class Scenes:
    """What images show.

    Args:
        classes: names; class i has the outline ``CLASSES[i % 6]``.
        colours: typical one of each class, "rrggbb rrggbb ...".
        typical_share: of objects that wear their class's colour; the others wear any.
        max_objects: in an image, which has at least one.
        size_range: of objects, as shares of the image's side.
        min_visible_share: of the whole shape, its parts outside the image included.
    """

    classes: tuple[str, ...]
    colours: str
    typical_share: float
    max_objects: int
    size_range: tuple[float, float]
    min_visible_share: float


PLAIN = Scenes(
    classes=CLASSES,
    colours="ffc233 3f6ae0 ef476f 8a4fd8 7cc242 18a7d8",
    typical_share=0.9,
    max_objects=7,
    size_range=(0.14, 0.55),
    min_visible_share=0.6,
)
"""Six classes, few objects, scales by a factor of four. Most things have a typical colour, which does not tell them."""

CROWDED = Scenes(
    classes=tuple(f"{colour} {outline}" for colour in _COLOURS for outline in CLASSES),
    colours=" ".join(colour for colour in _COLOURS.values() for _ in CLASSES),
    typical_share=1.0,
    max_objects=24,
    size_range=(0.06, 0.48),
    min_visible_share=0.4,
)
"""48 classes, outline and colour together; many objects that hide one another, scales by a factor of eight."""


@dataclass(frozen=True)
class Shape:
    """One drawn object.

    `mask` and `visible` are bool (H, W): the shape inside the image, and what later objects leave of it.
    `full_area_px` also counts the pixels outside the image.
    """

    class_index: int
    mask: NDArray[np.bool_]
    visible: NDArray[np.bool_]
    full_area_px: int

    @property
    def box_xywh(self) -> tuple[int, int, int, int]:
        """The mask's tight box in pixels: left, top, width, height."""
        left, top, width, height = cv2.boundingRect(self.mask.astype(np.uint8))
        return left, top, width, height

    @property
    def visible_share(self) -> float:
        """Visible pixels over all pixels of the shape, 0..1."""
        return int(np.count_nonzero(self.visible)) / self.full_area_px


def _bgr(colours: str) -> NDArray[np.float32]:
    """Hexadecimal "rrggbb rrggbb ..." as (N, 3) in 0..255."""
    return np.frombuffer(bytes.fromhex(colours), np.uint8).reshape(-1, 3)[:, ::-1].astype(np.float32)


def _polygon(radii: Sequence[float]) -> NDArray[np.float64]:
    turns = np.arange(len(radii)) * (2 * math.pi / len(radii))
    return np.stack([np.sin(turns), -np.cos(turns)], axis=1) * np.asarray(radii)[:, None]


_A, _B = 0.52, 0.18
_HALF_CROSS = np.array([(_B, -_A), (_B, -_B), (_A, -_B), (_A, _B), (_B, _B), (_B, _A)])
# Contours of each class, (N, 2) points (x, y) around the origin in units of the object's size; inner contours
# are holes. The radii differ so that all classes look equally large.
_OUTLINES = {
    "disc": (_polygon([0.5] * 64),),
    "square": (_polygon([0.6] * 4),),
    "triangle": (_polygon([0.62] * 3),),
    "star": (_polygon([0.6, 0.27] * 5),),
    "cross": (np.concatenate([_HALF_CROSS, -_HALF_CROSS]),),
    "ring": (_polygon([0.5] * 64), _polygon([0.27] * 64)),
}


def coverage(
    class_index: int, *, size_px: float, angle_rad: float, centre_xy: tuple[float, float]
) -> tuple[NDArray[np.float32], int, int]:
    """Antialiased shape in a patch of its own.

    Units are pixels; pixel (i, j) is the square [j, j + 1) x [i, i + 1). Returns the covered share of each
    pixel, float32 (N, N) in 0..1, and the patch's left and top pixel in the image (both may be negative).
    """
    half = math.ceil(0.72 * size_px) + 3  # room for the shadow
    left, top = math.floor(centre_xy[0]) - half, math.floor(centre_xy[1]) - half
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    turn = np.array([[cos, sin], [-sin, cos]]) * size_px
    offset = np.array(centre_xy) - (left, top)
    # OpenCV's integer coordinates are pixel centres; 4 fractional bits.
    contours = [
        np.rint(((points @ turn + offset) * _OVERSAMPLING - 0.5) * 16).astype(np.int32)
        for points in _OUTLINES[CLASSES[class_index]]
    ]
    side = 2 * half + 1
    fine = np.zeros((side * _OVERSAMPLING, side * _OVERSAMPLING), np.uint8)
    cv2.fillPoly(fine, contours, 255, shift=4)
    share = cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    share /= np.float32(255)
    return share, left, top


def _background(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Float planes (3, side, side): a gradient between two muted colours, soft noise, faint lines."""
    first, second = rng.permutation(_bgr(_GROUNDS))[:2, :, None, None]
    turn = rng.uniform(0, 2 * math.pi)
    x = np.arange(side, dtype=np.float32) / side - 0.5
    ramp = np.clip(0.5 + x * math.cos(turn) + x[:, None] * math.sin(turn), 0, 1) * 0.5
    cells = int(rng.integers(3, 9))
    grain = rng.normal(0, rng.uniform(2, 11), (cells, cells, 1)) + rng.normal(0, 2.5, (cells, cells, 3))
    clouds = cv2.resize(grain.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    lines = np.zeros((side, side), np.float32)
    strength = rng.choice([-1, 1]) * rng.uniform(8, 20)
    for _ in range(int(rng.integers(0, 6))):
        ends = rng.integers(-side // 4, side + side // 4, 4).tolist()
        cv2.line(lines, ends[:2], ends[2:], strength, max(1, round(side / 160 * rng.uniform(1, 4))))
    soft = cv2.GaussianBlur(lines, (3, 3), 0)
    return first + ramp * (second - first) + clouds.transpose(2, 0, 1) + soft


def _fill(rng: np.random.Generator, colour: NDArray[np.float32], *, side: int, size_px: float) -> NDArray[np.float32]:
    """Float planes (3, side, side): a colour (3,) in two tones, plain, striped, checked or dotted."""
    base = (colour + rng.normal(0, 8, 3).astype(np.float32))[:, None, None]
    accent = rng.uniform(0.4, 0.6) * (255 - base) if rng.random() < 0.65 else rng.uniform(-0.45, -0.3) * base
    turn, period = rng.uniform(0, math.pi), max(5.0, size_px * rng.uniform(0.2, 0.4))
    x = (np.arange(side, dtype=np.float32) - side / 2) * (2 * math.pi / period)
    y = x[:, None]
    u, v = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
    kind = int(rng.integers(4)) if size_px >= 20 else 0  # a pattern on less would hide the outline
    wave = (-np.ones_like(u), np.sin(u), np.sin(u) * np.sin(v), np.cos(u) + np.cos(v) - 0.9)[kind]
    pattern = np.clip(0.5 + wave * (period / 6), 0, 1)  # edges about one pixel soft
    return base + pattern * accent - y * (4 * period / size_px)


def _overlap(image_size: int, patch_size: int, *, left: int, top: int) -> tuple[_Window, _Window]:
    """Rows and columns that image and patch share: in the image, and in the patch."""
    starts, ends = (max(0, top), max(0, left)), (top + patch_size, left + patch_size)
    rows, columns = (slice(start, min(image_size, end)) for start, end in zip(starts, ends))
    inside = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    return (rows, columns), inside


def _paint(
    ground: NDArray[np.float32], fill: NDArray[np.float32], patch: NDArray[np.float32], *, inside: _Window
) -> NDArray[np.float32]:
    """`ground`, the image's part of the patch, with a soft shadow and the filled, dark-rimmed shape on it."""
    drop = max(1, len(patch) // 30)
    shadow = cv2.GaussianBlur(np.roll(patch, drop, (0, 1)), (0, 0), 0.5 + drop / 2)[inside]
    rim = (patch - cv2.erode(patch, np.ones((3, 3), np.uint8)))[inside]
    shaded = ground * (1 - 0.35 * shadow)
    rows, columns = inside
    return shaded + patch[inside] * (fill[:, rows, columns] * (1 - 0.3 * rim) - shaded)


def render_image(
    rng: np.random.Generator, image_size: int, scenes: Scenes = PLAIN
) -> tuple[NDArray[np.uint8], list[Shape]]:
    """One uint8 BGR image (image_size, image_size, 3) and its objects, lowest first.

    A place that would put too little of the new object into the image, or hide too much of an earlier one, is
    drawn anew; an object that finds no place is left out.
    """
    canvas = _background(rng, image_size)
    shapes: list[Shape] = []
    low, high = (math.log(share * image_size) for share in scenes.size_range)
    colours = rng.permutation(_bgr(_PALETTE))
    for number in range(rng.integers(1, scenes.max_objects + 1)):
        class_index, size_px = int(rng.integers(len(scenes.classes))), math.exp(rng.uniform(low, high))
        typical = rng.random() < scenes.typical_share
        colour = _bgr(scenes.colours)[class_index] if typical else colours[number % len(colours)]
        for _ in range(_TRIES):
            x, y = rng.uniform(0.3 * size_px, image_size - 0.3 * size_px, 2)
            angle = rng.uniform(0, 2 * math.pi)
            outline = class_index % len(CLASSES)
            patch, left, top = coverage(outline, size_px=size_px, angle_rad=angle, centre_xy=(x, y))
            window, inside = _overlap(image_size, len(patch), left=left, top=top)
            mask = np.zeros((image_size, image_size), bool)
            mask[window] = patch[inside] >= 0.5
            new = Shape(class_index, mask, mask, int(np.count_nonzero(patch >= 0.5)))
            below = [replace(shape, visible=shape.visible & ~mask) for shape in shapes]
            hides = any(shape.visible_share < scenes.min_visible_share for shape in below)
            if new.visible_share >= MIN_INSIDE_SHARE and not hides:
                fill = _fill(rng, colour, side=len(patch), size_px=size_px)
                everywhere = (slice(None), *window)
                canvas[everywhere] = _paint(canvas[everywhere], fill, patch, inside=inside)
                shapes = [*below, new]
                break
    gain, shift = rng.uniform(0.75, 1.1), rng.uniform(-16, 16)
    noise = rng.standard_normal((3 * image_size, image_size), dtype=np.float32)
    image = cv2.addWeighted(  # rounds and saturates
        canvas.reshape(noise.shape), gain, noise, rng.uniform(1, 7), shift + 128 * (1 - gain), dtype=cv2.CV_8U
    )
    return cv2.merge(list(image.reshape(canvas.shape))), shapes
