"""Scores of a block of embeddings against rows of a memory bank, and the way back, without a B x K x D gather.

On a CPU rows are read where they lie, once for the scores and once for their weighted sum. Elsewhere, and of a bank in half precision, they
are gathered for a few samples at a time, scored, and let go. Or, where the samples draw much of the bank, they are multiplied with all of
it, which is much cheaper a row.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from multiview.ops.chunks import parts

Pull = Callable[[Tensor], Tensor]

CACHED_FLOATS = 1 << 20
"""Numbers gathered at a time, 4 MiB in float32: what is written must still be in the cache when it is read."""

LAUNCH_FLOATS = 1 << 26
"""The same where launches are dear and caches small, which is everywhere but on a CPU."""

SCORED = 600_000
"""Scores held at a time, 2.4 MB in float32: a batch of 128 against 4096 negatives in one go."""

DENSE_FLOATS = 1 << 22
"""Scores against the whole bank held at a time, 16 MiB in float32."""

DENSE_RATIO = 5
"""Up to this many bank rows per drawn row the whole bank is the cheaper way (measured on 2 CPU cores, D = 128)."""

CONVERTED_ROWS = 1 << 13
"""Rows of a bank in half precision that are converted at a time."""


class Scorer(NamedTuple):
    """A way to score a batch, `step` samples at a time.

    block(z, part): embeddings (s, d), divided by the temperature, and their place in the batch -> scores (s, 1 + K), the positive first,
    and the function that turns weights of the scores (s, 1 + K) into the weighted sums of rows (s, d).
    """

    block: Callable[[Tensor, slice], tuple[Tensor, Pull]]
    step: int


def in_reading_order(drawn: Tensor, size: int) -> Tensor:
    """Draws (n, 1 + K) from `size` rows, the positive first, each sample's negatives rising where that makes reading them faster."""
    if _reads_all(size, drawn):
        return drawn
    return torch.cat([drawn[:, :1], drawn[:, 1:].sort(1).values], dim=1)


def _reads_all(size: int, drawn: Tensor) -> bool:
    return size <= DENSE_RATIO * drawn.shape[1]


def own_negatives(rows: Tensor, drawn: Tensor) -> Scorer:
    """Each sample against bank rows of its own. rows: (N, d). drawn: (n, 1 + K) integers, the positive first."""
    if _reads_all(len(rows), drawn):
        return Scorer(lambda z, part: _dense(z, rows, drawn[part].long()), max(1, DENSE_FLOATS // len(rows)))
    held = CACHED_FLOATS if rows.is_cpu else LAUNCH_FLOATS
    few = max(1, held // (drawn.shape[1] * rows.shape[1]))
    step = max(few, SCORED // drawn.shape[1])

    def block(z: Tensor, part: slice) -> tuple[Tensor, Pull]:
        if rows.is_cpu and rows.dtype == z.dtype and z.dtype in (torch.float32, torch.float64):
            return _in_place(z, rows, drawn[part])
        return _gathered(z, rows, drawn[part], few)

    return Scorer(block, step)


def shared_negatives(rows: Tensor, index: Tensor, shared: Tensor, *, exclude: bool) -> Scorer:
    """Each sample against its own row of `index` (n,) and against the rows `shared` (K,); with `exclude` it does not see its own there."""
    negatives = rows[shared]

    def block(z: Tensor, part: slice) -> tuple[Tensor, Pull]:
        own, near = rows[index[part]].to(z.dtype), negatives.to(z.dtype)
        scores = torch.cat([(z * own).sum(1, keepdim=True), z @ near.T], dim=1)
        if exclude:
            scores[:, 1:].masked_fill_(index[part, None] == shared, -math.inf)
        return scores, lambda weights: weights[:, :1] * own + weights[:, 1:] @ near

    return Scorer(block, max(1, DENSE_FLOATS // len(shared)))


def _in_place(z: Tensor, rows: Tensor, drawn: Tensor) -> tuple[Tensor, Pull]:
    """Reads rows where they lie. Where draws rise, a few columns of all samples read one part of the bank, out of the cache."""
    few = _columns(rows, drawn)
    scores = z.new_empty(drawn.shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse (CSR tensor support|invariant checks)", UserWarning)
        for some in parts(drawn.shape[1], few):
            scores[:, some] = _at_places(z, rows, drawn[:, some])

    def pull(weights: Tensor) -> Tensor:
        total = torch.zeros_like(z)
        for some in parts(drawn.shape[1], few):
            total += F.embedding_bag(drawn[:, some], rows, mode="sum", per_sample_weights=weights[:, some])
        return total

    return scores, pull


def _columns(rows: Tensor, drawn: Tensor) -> int:
    """How many columns of draws at a time: all, where hardly a row is drawn twice or the bank fits the cache."""
    wanted = min(rows.numel() / CACHED_FLOATS, drawn.numel() / len(rows))
    return max(1, math.ceil(drawn.shape[1] / max(1.0, wanted)))


def _at_places(z: Tensor, rows: Tensor, drawn: Tensor) -> Tensor:
    """The product z rows' at the places of a sparse matrix whose row i has an entry wherever sample i drew."""
    starts = torch.arange(0, drawn.numel() + 1, drawn.shape[1], dtype=drawn.dtype)
    values, shape = z.new_zeros(drawn.numel()), (len(z), len(rows))
    places = torch.sparse_csr_tensor(starts, drawn.reshape(-1), values, shape, check_invariants=False)
    return torch.sparse.sampled_addmm(places, z, rows.T, beta=0.0).values().view(drawn.shape)


def _gathered(z: Tensor, rows: Tensor, drawn: Tensor, few: int) -> tuple[Tensor, Pull]:
    scores = z.new_empty(drawn.shape)
    for part in parts(len(z), few):
        near = _rows_at(rows, drawn[part]).to(z.dtype)
        # Several times faster this way round than near @ z[part, :, None].
        torch.bmm(z[part, None], near.transpose(1, 2), out=scores[part, None])

    def pull(weights: Tensor) -> Tensor:
        if rows.dtype == weights.dtype:
            return F.embedding_bag(drawn, rows, mode="sum", per_sample_weights=weights)
        near = ((part, _rows_at(rows, drawn[part]).to(z.dtype)) for part in parts(len(z), few))
        return torch.cat([torch.bmm(weights[part, None], some)[:, 0] for part, some in near])

    return scores, pull


def _rows_at(rows: Tensor, drawn: Tensor) -> Tensor:
    """rows[drawn], as bags of one row each: that kernel prefetches the rows to come, which halves the time of indexing on a CPU."""
    return F.embedding_bag(drawn.reshape(-1, 1), rows, mode="sum").view(*drawn.shape, -1)


def _dense(z: Tensor, rows: Tensor, drawn: Tensor) -> tuple[Tensor, Pull]:
    every = _products(z, rows)
    return every.gather(1, drawn), lambda weights: _sums(every.zero_().scatter_add_(1, drawn, weights), rows)


def _products(z: Tensor, rows: Tensor) -> Tensor:
    """z rows', (s, N)."""
    if rows.dtype == z.dtype:
        return z @ rows.T
    return torch.cat([z @ some.to(z.dtype).T for some in rows.split(CONVERTED_ROWS)], dim=1)


def _sums(weights: Tensor, rows: Tensor) -> Tensor:
    """weights rows, (s, d)."""
    if rows.dtype == weights.dtype:
        return weights @ rows
    parts = zip(weights.split(CONVERTED_ROWS, dim=1), rows.split(CONVERTED_ROWS), strict=True)
    return torch.stack([w @ some.to(w.dtype) for w, some in parts]).sum(0)
