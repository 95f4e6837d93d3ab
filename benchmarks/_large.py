"""NT-Xent of a batch whose scores do not fit: bytes, their growth, and accuracy beside the dense form."""

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
    """Bytes held beside the embeddings, and by how much more than for half the batch."""
    half, whole = (peak_bytes(partial(backward, nt_xent(n), unit(n), unit(n))) for n in (batch // 2, batch))
    name = f"NT-Xent, {batch:,} samples"
    yield Row(
        work=name, what="peak", ours=megabytes(whole), reference="150 MB", ratio=whole / 150e6, target=1, at_most=True
    )
    yield Row(
        work=f"{name}, over half of them",
        what="peak",
        ours=megabytes(whole),
        reference=megabytes(half),
        ratio=whole / half,
        target=2.2,
        at_most=True,
    )


def accuracy(batch: int, sample: int = 64) -> Iterator[Row]:
    """Error of loss and gradient against float64, over that of the dense form in float32; rounding alone moves it by some percent."""
    a, b = unit(batch), unit(batch)
    loss = nt_xent(len(a))(a, b)
    loss.backward()
    assert a.grad is not None
    exact, dense = (dense_form(a.detach().to(t), b.detach().to(t), sample) for t in (torch.float64, torch.float32))
    ours = (loss.detach(), a.grad[:sample])
    for what, found, truth, other in zip(("loss", "gradient"), ours, exact, dense, strict=True):
        error, theirs = (float((x.double() - truth).norm() / truth.norm()) for x in (found, other))
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
    """Loss, and gradient of the first embeddings, from the softmax over all scores; rows in chunks only to fit the machine."""
    z, partner = torch.cat([a, b]), len(a)
    log_sum = torch.cat([scores(z, slice(i, i + CHUNK)).logsumexp(1) for i in range(0, len(z), CHUNK)])
    loss = (log_sum - (z * z.roll(partner, 0)).sum(1) / T).mean()
    some = scores(z, slice(0, sample))
    weights = torch.exp(some - log_sum[:sample, None]) + torch.exp(some - log_sum)
    weights.diagonal(partner).sub_(2)
    return loss, weights @ z / (T * len(z))


def scores(z: Tensor, part: slice) -> Tensor:
    """Rows of z z' / T without the score of a row with itself."""
    found = z[part] @ z.T / T
    found.diagonal(part.start).fill_(-math.inf)
    return found
