"""NT-Xent of a batch whose scores do not fit into memory: bytes, their growth, and accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import torch
from _measure import Row, megabytes, peak_bytes
from _works import backward, nt_xent, unit
from torch import Tensor

T = 0.5
CHUNK = 1024


def memory(batch: int) -> Iterator[Row]:
    """Peak bytes beyond the embeddings, and their ratio to those of half the batch."""
    half, whole = (peak_bytes(partial(backward, nt_xent(n), unit(n), unit(n))) for n in (batch // 2, batch))
    name = f"NT-Xent, {batch:,} samples"
    yield Row(
        work=name, what="peak", ours=megabytes(whole), reference="150 MB", ratio=whole / 150e6, target=1, at_most=True
    )
    yield Row(
        work=f"{name}, against half of them",
        what="peak",
        ours=megabytes(whole),
        reference=megabytes(half),
        ratio=whole / half,
        target=2.2,
        at_most=True,
    )


def accuracy(batch: int, sample: int = 64) -> Iterator[Row]:
    """The error against float64, divided by that of the dense form in float32.

    Rounding alone changes the ratio by some percent.
    """
    a, b = unit(batch), unit(batch)
    loss = nt_xent(len(a))(a, b)
    loss.backward()
    assert a.grad is not None
    exact, dense = (dense_form(a.detach().to(t), b.detach().to(t), sample) for t in (torch.float64, torch.float32))
    ours = (loss.detach(), a.grad[:sample])
    for what, value, truth, dense_value in zip(("loss", "gradient"), ours, exact, dense, strict=True):
        error, theirs = (float((x.double() - truth).norm() / truth.norm()) for x in (value, dense_value))
        yield Row(
            work=f"NT-Xent, {batch:,} samples, error of the {what}",
            what="float64",
            ours=f"{error:.2g}",
            reference=f"{theirs:.2g}",
            ratio=error / theirs,
            target=1.05,
            at_most=True,
        )


def dense_form(a: Tensor, b: Tensor, sample: int) -> tuple[Tensor, Tensor]:
    """The loss and the gradient of the first embeddings, from the softmax over all scores.

    Rows are computed in chunks so that they fit into memory.
    """
    z, partner = torch.cat([a, b]), len(a)
    log_sum = torch.cat([scores(z, slice(i, i + CHUNK)).logsumexp(1) for i in range(0, len(z), CHUNK)])
    loss = (log_sum - (z * z.roll(partner, 0)).sum(1) / T).mean()
    first = scores(z, slice(0, sample))
    weights = torch.exp(first - log_sum[:sample, None]) + torch.exp(first - log_sum)
    weights.diagonal(partner).sub_(2)
    return loss, weights @ z / (T * len(z))


def scores(z: Tensor, part: slice) -> Tensor:
    """Rows of z z' / T; the score of a row with itself is -inf."""
    result = z[part] @ z.T / T
    result.diagonal(part.start).fill_(-math.inf)
    return result
