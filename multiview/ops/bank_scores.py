"""Scores of embeddings against rows of a memory bank, without a B x K x D gather.

There are four ways:

- On a CPU rows are read where they lie, once for the scores and once for their weighted sum.
- On other devices, and for a bank in half precision, rows are gathered for a few samples at a time
  and freed.
- When the samples draw much of the bank, they are multiplied with all of it, which costs much less
  per row.
- When all rows are negatives, or all samples share them, the product has the scores in place.
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
"""Numbers gathered at a time on a CPU, 4 MiB in float32: they must stay in the cache."""

LAUNCH_FLOATS = 1 << 26
"""The same on other devices, where launching a kernel is expensive and caches are small."""

SCORED = 600_000
"""Scores held at a time, 2.4 MB in float32: a batch of 128 against 4096 negatives fits."""

DENSE_FLOATS = 1 << 22
"""Scores against the whole bank held at a time, 16 MiB in float32."""

DENSE_RATIO = 5
"""Up to this many bank rows per drawn row the whole bank is cheaper (2 CPU cores, D = 128)."""

CONVERTED_ROWS = 1 << 13
"""Rows of a bank in half precision that are converted at a time."""


class Scorer(NamedTuple):
    """A way to score a batch, `step` samples at a time.

    block(z, part) takes embeddings (s, d), divided by the temperature, and their place in the
    batch. It returns the scores (s, 1 + K), the positive first, and a function from weights of the
    scores (s, 1 + K) to the weighted sums of bank rows (s, d).
    """

    block: Callable[[Tensor, slice], tuple[Tensor, Pull]]
    step: int


def in_reading_order(drawn: Tensor, size: int) -> Tensor:
    """Draws (n, 1 + K) from `size` rows; negatives are sorted where that is faster to read."""
    if _reads_all(size, drawn):
        return drawn
    return torch.cat([drawn[:, :1], drawn[:, 1:].sort(1).values], dim=1)


def _reads_all(size: int, drawn: Tensor) -> bool:
    return size <= DENSE_RATIO * drawn.shape[1]


def own_negatives(rows: Tensor, drawn: Tensor) -> Scorer:
    """Scores each sample against rows (N, d) at its own draw (n, 1 + K), the positive first."""
    if _reads_all(len(rows), drawn):
        return Scorer(lambda z, part: _dense(z, rows, drawn[part].long()), max(1, DENSE_FLOATS // len(rows)))
    held = CACHED_FLOATS if rows.is_cpu else LAUNCH_FLOATS
    samples = max(1, held // (drawn.shape[1] * rows.shape[1]))
    step = max(samples, SCORED // drawn.shape[1])

    def block(z: Tensor, part: slice) -> tuple[Tensor, Pull]:
        if rows.is_cpu and rows.dtype == z.dtype and z.dtype in (torch.float32, torch.float64):
            return _in_place(z, rows, drawn[part])
        return _gathered(z, rows, drawn[part], samples)

    return Scorer(block, step)


def shared_negatives(
    rows: Tensor, index: Tensor, shared: Tensor, *, exclude: bool, codes: Tensor | None = None
) -> Scorer:
    """Scores each sample against its own row `index` (n,) and the rows `shared` (K,).

    exclude: a sample's own row, where it stands in `shared`, gets the score -inf. codes: (N,) the
    groups of the rows; then all rows of the sample's group do (None = no groups).
    """
    negatives = rows[shared]
    if codes is not None:
        exclude, own_code, codes = True, codes[index], codes[shared]
    else:
        own_code, codes = index, shared

    def block(z: Tensor, part: slice) -> tuple[Tensor, Pull]:
        own, near = rows[index[part]].to(z.dtype), negatives.to(z.dtype)
        scores = z.new_empty(len(z), 1 + len(shared))
        torch.mm(z, near.T, out=scores[:, 1:])
        torch.sum(z * own, 1, keepdim=True, out=scores[:, :1])
        if exclude:
            scores[:, 1:].masked_fill_(own_code[part, None] == codes, -math.inf)
        return scores, lambda weights: weights[:, :1] * own + weights[:, 1:] @ near

    return Scorer(block, max(1, DENSE_FLOATS // len(shared)))


def all_rows(rows: Tensor, index: Tensor, *, exclude: bool, codes: Tensor | None = None) -> Scorer:
    """Scores each sample against its own row `index` (n,), then against every row, (s, 1 + N).

    exclude: the second score of a sample's own row is -inf. codes: (N,) the groups of the rows;
    then those of all rows of the sample's group are (None = no groups).
    """

    def block(z: Tensor, part: slice) -> tuple[Tensor, Pull]:
        own = index[part, None]
        scores = z.new_empty(len(z), 1 + len(rows))
        if rows.dtype == z.dtype:
            torch.mm(z, rows.T, out=scores[:, 1:])
        else:
            scores[:, 1:] = _products(z, rows)
        scores[:, :1] = scores.gather(1, 1 + own)
        if codes is not None:
            scores[:, 1:].masked_fill_(codes[own] == codes, -math.inf)
        elif exclude:
            scores.scatter_(1, 1 + own, -math.inf)

        def pull(weights: Tensor) -> Tensor:
            return _sums(weights[:, 1:].scatter_add_(1, own, weights[:, :1]), rows)

        return scores, pull

    return Scorer(block, max(1, DENSE_FLOATS // len(rows)))


def _in_place(z: Tensor, rows: Tensor, drawn: Tensor) -> tuple[Tensor, Pull]:
    """Reads rows where they lie. With sorted draws, some columns read one cached part."""
    columns = _columns(rows, drawn)
    scores = z.new_empty(drawn.shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse (CSR tensor support|invariant checks)", UserWarning)
        for part in parts(drawn.shape[1], columns):
            scores[:, part] = _at_places(z, rows, drawn[:, part])

    def pull(weights: Tensor) -> Tensor:
        total = torch.zeros_like(z)
        for part in parts(drawn.shape[1], columns):
            total += F.embedding_bag(drawn[:, part], rows, mode="sum", per_sample_weights=weights[:, part])
        return total

    return scores, pull


def _columns(rows: Tensor, drawn: Tensor) -> int:
    """Columns of draws to take at a time: all, when rows repeat little or the bank is cached."""
    wanted = min(rows.numel() / CACHED_FLOATS, drawn.numel() / len(rows))
    return max(1, math.ceil(drawn.shape[1] / max(1.0, wanted)))


def _at_places(z: Tensor, rows: Tensor, drawn: Tensor) -> Tensor:
    """z rows' at the entries of a sparse matrix: row i has an entry per row that sample i drew."""
    starts = torch.arange(0, drawn.numel() + 1, drawn.shape[1], dtype=drawn.dtype)
    values, shape = z.new_zeros(drawn.numel()), (len(z), len(rows))
    places = torch.sparse_csr_tensor(starts, drawn.reshape(-1), values, shape, check_invariants=False)
    return torch.sparse.sampled_addmm(places, z, rows.T, beta=0.0).values().view(drawn.shape)


def _gathered(z: Tensor, rows: Tensor, drawn: Tensor, step: int) -> tuple[Tensor, Pull]:
    scores = z.new_empty(drawn.shape)
    for part in parts(len(z), step):
        near = _rows_at(rows, drawn[part]).to(z.dtype)
        # In this order several times faster than near @ z[part, :, None].
        torch.bmm(z[part, None], near.transpose(1, 2), out=scores[part, None])

    def pull(weights: Tensor) -> Tensor:
        if rows.dtype == weights.dtype:
            return F.embedding_bag(drawn, rows, mode="sum", per_sample_weights=weights)
        near = ((part, _rows_at(rows, drawn[part]).to(z.dtype)) for part in parts(len(z), step))
        return torch.cat([torch.bmm(weights[part, None], chunk)[:, 0] for part, chunk in near])

    return scores, pull


def _rows_at(rows: Tensor, drawn: Tensor) -> Tensor:
    """rows[drawn], as bags of one row: that kernel prefetches, which halves the time on a CPU."""
    return F.embedding_bag(drawn.reshape(-1, 1), rows, mode="sum").view(*drawn.shape, -1)


def _dense(z: Tensor, rows: Tensor, drawn: Tensor) -> tuple[Tensor, Pull]:
    products = _products(z, rows)
    return products.gather(1, drawn), lambda weights: _sums(products.zero_().scatter_add_(1, drawn, weights), rows)


def _products(z: Tensor, rows: Tensor) -> Tensor:
    """z rows', (s, N)."""
    if rows.dtype == z.dtype:
        return z @ rows.T
    return torch.cat([z @ chunk.to(z.dtype).T for chunk in rows.split(CONVERTED_ROWS)], dim=1)


def _sums(weights: Tensor, rows: Tensor) -> Tensor:
    """weights rows, (s, d)."""
    if rows.dtype == weights.dtype:
        return weights @ rows
    pairs = zip(weights.split(CONVERTED_ROWS, dim=1), rows.split(CONVERTED_ROWS), strict=True)
    return torch.stack([w @ chunk.to(w.dtype) for w, chunk in pairs]).sum(0)
