"""Kernels of adaptive mixing: what lies between its inputs and its output never leaves the chip.

One program serves one query and group, n of N: it holds x (P, C), M (C, C) and S (O, P), padded to powers of two, and
does both products, both norms and both ReLUs. The backward pass computes h and o again.
"""

from __future__ import annotations

import triton
import triton.language as tl

EPS = tl.constexpr(1e-5)


@triton.jit
def _tile(pointer, n, rows: tl.constexpr, columns: tl.constexpr, row, column):
    """Matrix n of a (N, rows, columns) tensor, zero where it is padded."""
    inside = (row[:, None] < rows) & (column[None, :] < columns)
    return tl.load(pointer + n * rows * columns + row[:, None] * columns + column[None, :], inside, 0.0)


@triton.jit
def _store(pointer, n, rows: tl.constexpr, columns: tl.constexpr, row, column, value):
    inside = (row[:, None] < rows) & (column[None, :] < columns)
    address = pointer + n * rows * columns + row[:, None] * columns + column[None, :]
    tl.store(address, value.to(pointer.dtype.element_ty), inside)


@triton.jit
def _normalise(tile, rows: tl.constexpr, columns: tl.constexpr, row, column):
    """((tile - mean) / deviation over the whole matrix, 1 / deviation); zero where it is padded."""
    inside = (row[:, None] < rows) & (column[None, :] < columns)
    mean = tl.sum(tile) / (rows * columns)
    centred = tl.where(inside, tile - mean, 0.0)
    rstd = 1 / tl.sqrt(tl.sum(centred * centred) / (rows * columns) + EPS)
    return centred * rstd, rstd


@triton.jit
def _relu(tile):
    """As torch's: what is no number stays visible."""
    return tl.maximum(tile, 0.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _normalise_backward(grad, normal, rstd, rows: tl.constexpr, columns: tl.constexpr, row, column):
    """Gradient before the norm and the ReLU, given that after them and the normalised values."""
    inside = (row[:, None] < rows) & (column[None, :] < columns)
    grad = tl.where((normal > 0) & inside, grad, 0.0)
    mean = tl.sum(grad) / (rows * columns)
    slope = tl.sum(grad * normal) / (rows * columns)
    return tl.where(inside, (grad - mean - normal * slope) * rstd, 0.0)


@triton.jit
def mix_forward(
    x_pointer, m_pointer, s_pointer, out_pointer,
    P: tl.constexpr, C: tl.constexpr, O: tl.constexpr,
    PADDED_P: tl.constexpr, PADDED_C: tl.constexpr, PADDED_O: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0).to(tl.int64)
    p, c, o = tl.arange(0, PADDED_P), tl.arange(0, PADDED_C), tl.arange(0, PADDED_O)
    x = _tile(x_pointer, n, P, C, p, c)
    m = _tile(m_pointer, n, C, C, c, c)
    h, _ = _normalise(tl.dot(x, m, input_precision=PRECISION), P, C, p, c)
    h = _relu(h).to(x.dtype)
    s = _tile(s_pointer, n, O, P, o, p)
    out, _ = _normalise(tl.dot(s, h, input_precision=PRECISION), O, C, o, c)
    _store(out_pointer, n, O, C, o, c, _relu(out))


@triton.jit
def mix_backward(
    x_pointer, m_pointer, s_pointer, grad_pointer, dx_pointer, dm_pointer, ds_pointer,
    P: tl.constexpr, C: tl.constexpr, O: tl.constexpr,
    PADDED_P: tl.constexpr, PADDED_C: tl.constexpr, PADDED_O: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    n = tl.program_id(0).to(tl.int64)
    p, c, o = tl.arange(0, PADDED_P), tl.arange(0, PADDED_C), tl.arange(0, PADDED_O)
    x = _tile(x_pointer, n, P, C, p, c)
    m = _tile(m_pointer, n, C, C, c, c)
    normal_h, _ = _normalise(tl.dot(x, m, input_precision=PRECISION), P, C, p, c)
    h = _relu(normal_h).to(x.dtype)
    s = _tile(s_pointer, n, O, P, o, p)
    normal_o, rstd_o = _normalise(tl.dot(s, h, input_precision=PRECISION), O, C, o, c)
    grad = _tile(grad_pointer, n, O, C, o, c).to(tl.float32)
    d_o = _normalise_backward(grad, normal_o, rstd_o, O, C, o, c).to(x.dtype)
    _store(ds_pointer, n, O, P, o, p, tl.dot(d_o, tl.trans(h), input_precision=PRECISION))
    tl.debug_barrier()  # what follows is read and computed again, rather than held in registers that there are not
    s = _tile(s_pointer, n, O, P, o, p)
    d_h = tl.dot(tl.trans(s), d_o, input_precision=PRECISION)
    x = _tile(x_pointer, n, P, C, p, c)
    m = _tile(m_pointer, n, C, C, c, c)
    normal_h, rstd_h = _normalise(tl.dot(x, m, input_precision=PRECISION), P, C, p, c)
    d_h = _normalise_backward(d_h, normal_h, rstd_h, P, C, p, c).to(x.dtype)
    _store(dx_pointer, n, P, C, p, c, tl.dot(d_h, tl.trans(m), input_precision=PRECISION))
    tl.debug_barrier()
    x = _tile(x_pointer, n, P, C, p, c)
    _store(dm_pointer, n, C, C, c, c, tl.dot(tl.trans(x), d_h, input_precision=PRECISION))


@triton.jit
def mix_backward_out(
    x_pointer, m_pointer, s_pointer, grad_pointer, h_pointer, do_pointer,
    P: tl.constexpr, C: tl.constexpr, O: tl.constexpr,
    PADDED_P: tl.constexpr, PADDED_C: tl.constexpr, PADDED_O: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """First part of the backward pass where one kernel would need more than there is: h, and the gradient of S h."""
    n = tl.program_id(0).to(tl.int64)
    p, c, o = tl.arange(0, PADDED_P), tl.arange(0, PADDED_C), tl.arange(0, PADDED_O)
    x = _tile(x_pointer, n, P, C, p, c)
    m = _tile(m_pointer, n, C, C, c, c)
    h, _ = _normalise(tl.dot(x, m, input_precision=PRECISION), P, C, p, c)
    h = _relu(h).to(x.dtype)
    _store(h_pointer, n, P, C, p, c, h)
    s = _tile(s_pointer, n, O, P, o, p)
    normal, rstd = _normalise(tl.dot(s, h, input_precision=PRECISION), O, C, o, c)
    grad = _tile(grad_pointer, n, O, C, o, c).to(tl.float32)
    _store(do_pointer, n, O, C, o, c, _normalise_backward(grad, normal, rstd, O, C, o, c))


@triton.jit
def mix_backward_hidden(
    x_pointer, m_pointer, s_pointer, do_pointer, dh_pointer,
    P: tl.constexpr, C: tl.constexpr, O: tl.constexpr,
    PADDED_P: tl.constexpr, PADDED_C: tl.constexpr, PADDED_O: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Second part: the gradient of x M. Those of S, x and M are plain products of what the two parts store."""
    n = tl.program_id(0).to(tl.int64)
    p, c, o = tl.arange(0, PADDED_P), tl.arange(0, PADDED_C), tl.arange(0, PADDED_O)
    x = _tile(x_pointer, n, P, C, p, c)
    m = _tile(m_pointer, n, C, C, c, c)
    normal, rstd = _normalise(tl.dot(x, m, input_precision=PRECISION), P, C, p, c)
    d_o = _tile(do_pointer, n, O, C, o, c)
    s = _tile(s_pointer, n, O, P, o, p)
    d_h = tl.dot(tl.trans(s), d_o, input_precision=PRECISION)
    _store(dh_pointer, n, P, C, p, c, _normalise_backward(d_h, normal, rstd, P, C, p, c))
