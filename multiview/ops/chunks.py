"""Work in chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def parts(rows: int, step: int) -> list[slice]:
    """Slices of 0 .. rows - 1, `step` rows each."""
    return [slice(start, start + step) for start in range(0, rows, step)]


def in_chunks(
    score: Callable[..., Sequence[Tensor]], step: int, z: Tensor, *others: Tensor | None
) -> tuple[Tensor, ...]:
    """score(z, *others) for `step` rows at a time; each result has one row per row of z.

    Several chunks are computed again in the backward pass, so that memory is that of one chunk.
    `others` have as many rows as z, or are None.
    """
    if max(1, step) >= len(z):
        return tuple(score(z, *others))
    found = [
        checkpoint(score, *(x if x is None else x[part] for x in (z, *others)), use_reentrant=False)
        for part in parts(len(z), max(1, step))
    ]
    return tuple(map(torch.cat, zip(*found, strict=True)))
