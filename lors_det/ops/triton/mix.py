"""Adaptive mixing in one kernel a direction: what lies between its inputs and its output never leaves the chip.

One program serves one query and group, n of N: it holds x (P, C), M (C, C) and S (O, P), padded to powers of two, and
does both products, both norms and both ReLUs. The backward pass keeps the inputs alone and computes h and o again.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

EPS = tl.constexpr(1e-5)
NUM_WARPS = 8
"""Fewer or more spill registers at the published shapes."""


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
    x_pointer, m_pointer, s_pointer, grad_pointer, do_pointer,
    P: tl.constexpr, C: tl.constexpr, O: tl.constexpr,
    PADDED_P: tl.constexpr, PADDED_C: tl.constexpr, PADDED_O: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """First part of the backward pass where one kernel would need more registers than there are: gradient of S h."""
    n = tl.program_id(0).to(tl.int64)
    p, c, o = tl.arange(0, PADDED_P), tl.arange(0, PADDED_C), tl.arange(0, PADDED_O)
    x = _tile(x_pointer, n, P, C, p, c)
    m = _tile(m_pointer, n, C, C, c, c)
    h, _ = _normalise(tl.dot(x, m, input_precision=PRECISION), P, C, p, c)
    s = _tile(s_pointer, n, O, P, o, p)
    normal, rstd = _normalise(tl.dot(s, _relu(h).to(x.dtype), input_precision=PRECISION), O, C, o, c)
    grad = _tile(grad_pointer, n, O, C, o, c).to(tl.float32)
    _store(do_pointer, n, O, C, o, c, _normalise_backward(grad, normal, rstd, O, C, o, c))


@triton.jit
def mix_backward_hidden(
    x_pointer, m_pointer, s_pointer, do_pointer, ds_pointer, dh_pointer,
    P: tl.constexpr, C: tl.constexpr, O: tl.constexpr,
    PADDED_P: tl.constexpr, PADDED_C: tl.constexpr, PADDED_O: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Second part: gradients of S and of x M."""
    n = tl.program_id(0).to(tl.int64)
    p, c, o = tl.arange(0, PADDED_P), tl.arange(0, PADDED_C), tl.arange(0, PADDED_O)
    x = _tile(x_pointer, n, P, C, p, c)
    m = _tile(m_pointer, n, C, C, c, c)
    normal, rstd = _normalise(tl.dot(x, m, input_precision=PRECISION), P, C, p, c)
    h = _relu(normal).to(x.dtype)
    d_o = _tile(do_pointer, n, O, C, o, c)
    _store(ds_pointer, n, O, P, o, p, tl.dot(d_o, tl.trans(h), input_precision=PRECISION))
    s = _tile(s_pointer, n, O, P, o, p)
    d_h = tl.dot(tl.trans(s), d_o, input_precision=PRECISION)
    _store(dh_pointer, n, P, C, p, c, _normalise_backward(d_h, normal, rstd, P, C, p, c))


def padded(size: int) -> int:
    """The power of two, at least 16, that a matrix product's side is padded to."""
    return max(16, triton.next_power_of_2(size))


def constants(num_points: int, channels: int, num_out: int) -> dict[str, int]:
    """Compile-time constants of both kernels, less the precision."""
    return dict(
        P=num_points,
        C=channels,
        O=num_out,
        PADDED_P=padded(num_points),
        PADDED_C=padded(channels),
        PADDED_O=padded(num_out),
    )


def precision(dtype: torch.dtype) -> str:
    """How float32 products are made: as torch is told to make its own."""
    return "tf32" if dtype == torch.float32 and torch.backends.cuda.matmul.allow_tf32 else "ieee"


class Mix(torch.autograd.Function):
    """(N, P, C), (N, C, C), (N, O, P) -> (N, O, C), contiguous and of one dtype."""

    @staticmethod
    def forward(ctx, x: Tensor, channel: Tensor, spatial: Tensor, split: bool) -> Tensor:
        out = x.new_empty(len(x), spatial.shape[1], x.shape[2])
        _launch(mix_forward, x, channel, spatial, out)
        ctx.save_for_backward(x, channel, spatial)
        ctx.split = split
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, channel, spatial = ctx.saved_tensors
        grad, d_spatial = grad.contiguous(), torch.empty_like(spatial)
        if ctx.split:
            d_out, d_hidden = torch.empty_like(grad), torch.empty_like(x)
            _launch(mix_backward_out, x, channel, spatial, grad, d_out)
            _launch(mix_backward_hidden, x, channel, spatial, d_out, d_spatial, d_hidden)
            return d_hidden.bmm(channel.mT), x.mT.bmm(d_hidden), d_spatial, None
        d_x, d_channel = torch.empty_like(x), torch.empty_like(channel)
        _launch(mix_backward, x, channel, spatial, grad, d_x, d_channel, d_spatial)
        return d_x, d_channel, d_spatial, None


def _launch(kernel: triton.JITFunction, x: Tensor, channel: Tensor, spatial: Tensor, *rest: Tensor) -> None:
    """One program for each of the N matrices."""
    sizes = constants(x.shape[1], x.shape[2], spatial.shape[1])
    kernel[(len(x),)](x, channel, spatial, *rest, **sizes, PRECISION=precision(x.dtype), num_warps=NUM_WARPS)


def mix(x: Tensor, channel: Tensor, spatial: Tensor, *, split: bool | None = None) -> Tensor:
    """(N, P, C), (N, C, C), (N, O, P) -> (N, O, C), see :func:`lors_det.ops.mixing.adaptive_mix`.

    ``split`` takes the backward pass in two kernels and two products instead of one kernel; by default where the GPU is
    older than compute capability 9.0, on which the one kernel would spill registers.
    """
    if split is None:
        split = x.is_cuda and torch.cuda.get_device_capability(x.device) < (9, 0)
    return Mix.apply(x.contiguous(), channel.contiguous(), spatial.contiguous(), split)
