"""Kernels of 3-D sampling: level weights, corner addresses and the sum over corners stay in registers.

One program serves a block of points of one query and group: it reads 4 L rows of C channels for each point from the
channels-last bank and sums them in float32. The backward pass reads them again, and adds to the bank's gradient
atomically, in float32.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _weight(z, level: tl.constexpr, CENTRES: tl.constexpr):
    """(w, d w / d z / w) of one level for every point: w is the softmax over levels of -(z - c)^2 / 2, c = log2 s.

    The difference of two exponents is (c' - c) (z - (c + c') / 2), and the derivative sum_c' w' (c - c'): no large
    numbers are subtracted from each other.
    """
    total, slope = tl.zeros_like(z), tl.zeros_like(z)
    for other in tl.static_range(len(CENTRES)):
        exponent = (CENTRES[other] - CENTRES[level]) * (z - (CENTRES[other] + CENTRES[level]) / 2)
        # a level that far off has no weight; beyond, the exponential would be infinite and its slope no number
        share = tl.exp(tl.minimum(exponent, 80.0, propagate_nan=tl.PropagateNan.ALL))
        total += share
        slope += (CENTRES[level] - CENTRES[other]) * share
    return 1 / total, slope / total


@triton.jit
def _pixel(column, row, inside, width):
    """Place of a corner in its level, 0 outside: counted in integers, for float32 counts no further than 2^24."""
    return tl.where(inside, row, 0.0).to(tl.int64) * width + tl.where(inside, column, 0.0).to(tl.int64)


@triton.jit(do_not_specialize=["num_rows", "num_queries"])  # images of another size need no other kernel
def sample_forward(
    bank_pointer, levels_pointer, points_pointer, out_pointer, num_rows, num_queries,
    G: tl.constexpr, P: tl.constexpr, C: tl.constexpr, PADDED_C: tl.constexpr,
    STRIDES: tl.constexpr, CENTRES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0).to(tl.int64)  # (image, query, group)
    p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    c = tl.arange(0, PADDED_C)
    point = points_pointer + (n * P + p) * 3
    x, y, z = tl.load(point, p < P, 0.0), tl.load(point + 1, p < P, 0.0), tl.load(point + 2, p < P, 0.0)
    image = bank_pointer + n // (G * num_queries) * num_rows * G * C + n % G * C
    total = tl.zeros((BLOCK, PADDED_C), tl.float32)
    for level in tl.static_range(len(STRIDES)):
        height = tl.load(levels_pointer + 3 * level)
        width = tl.load(levels_pointer + 3 * level + 1)
        start = tl.load(levels_pointer + 3 * level + 2)
        weight, _ = _weight(z, level, CENTRES)
        column, row = x / STRIDES[level] - 0.5, y / STRIDES[level] - 0.5
        left, top = tl.floor(column), tl.floor(row)
        for corner in tl.static_range(4):
            corner_x, corner_y = left + corner % 2, top + corner // 2
            share = (1 - tl.abs(column - corner_x)) * (1 - tl.abs(row - corner_y))
            inside = (corner_x >= 0) & (corner_x < width) & (corner_y >= 0) & (corner_y < height)
            pixel = start + _pixel(corner_x, corner_y, inside, width)
            read = (inside & (p < P))[:, None] & (c < C)[None, :]
            value = tl.load(image + pixel[:, None] * (G * C) + c[None, :], read, 0.0).to(tl.float32)
            total += (weight * share)[:, None] * value
    tl.store(
        out_pointer + (n * P + p)[:, None] * C + c[None, :],
        total.to(out_pointer.dtype.element_ty),
        (p < P)[:, None] & (c < C)[None, :],
    )


@triton.jit(do_not_specialize=["num_rows", "num_queries"])  # images of another size need no other kernel
def sample_backward(
    bank_pointer, levels_pointer, points_pointer, grad_pointer, d_bank_pointer, d_points_pointer, num_rows, num_queries,
    G: tl.constexpr, P: tl.constexpr, C: tl.constexpr, PADDED_C: tl.constexpr,
    STRIDES: tl.constexpr, CENTRES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0).to(tl.int64)
    p = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    c = tl.arange(0, PADDED_C)
    point = (n * P + p) * 3
    x = tl.load(points_pointer + point, p < P, 0.0)
    y = tl.load(points_pointer + point + 1, p < P, 0.0)
    z = tl.load(points_pointer + point + 2, p < P, 0.0)
    own = (p < P)[:, None] & (c < C)[None, :]
    grad = tl.load(grad_pointer + (n * P + p)[:, None] * C + c[None, :], own, 0.0).to(tl.float32)
    image = n // (G * num_queries) * num_rows * G * C + n % G * C
    d_x, d_y, d_z = tl.zeros_like(x), tl.zeros_like(x), tl.zeros_like(x)
    for level in tl.static_range(len(STRIDES)):
        height = tl.load(levels_pointer + 3 * level)
        width = tl.load(levels_pointer + 3 * level + 1)
        start = tl.load(levels_pointer + 3 * level + 2)
        weight, slope = _weight(z, level, CENTRES)
        column, row = x / STRIDES[level] - 0.5, y / STRIDES[level] - 0.5
        left, top = tl.floor(column), tl.floor(row)
        change = tl.zeros_like(d_x)
        for corner in tl.static_range(4):
            corner_x, corner_y = left + corner % 2, top + corner // 2
            share_x, share_y = 1 - tl.abs(column - corner_x), 1 - tl.abs(row - corner_y)
            inside = (corner_x >= 0) & (corner_x < width) & (corner_y >= 0) & (corner_y < height)
            pixel = start + _pixel(corner_x, corner_y, inside, width)
            address = image + pixel[:, None] * (G * C) + c[None, :]
            read = inside[:, None] & own
            product = tl.sum(grad * tl.load(bank_pointer + address, read, 0.0).to(tl.float32), axis=1)
            tl.atomic_add(d_bank_pointer + address, (weight * share_x * share_y)[:, None] * grad, read, sem="relaxed")
            change += share_x * share_y * product
            d_x += weight * share_y * product * (2 * (corner % 2) - 1) / STRIDES[level]
            d_y += weight * share_x * product * (2 * (corner // 2) - 1) / STRIDES[level]
        d_z += weight * slope * change
    tl.store(d_points_pointer + point, d_x, p < P)
    tl.store(d_points_pointer + point + 1, d_y, p < P)
    tl.store(d_points_pointer + point + 2, d_z, p < P)
