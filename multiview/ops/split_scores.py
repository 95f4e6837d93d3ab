"""Scores against a memory bank whose rows are shared out over the processes.

The rows lie in 64 strata: sample i is row i // 64 of stratum i % 64. A process owns 64 / world
strata. Slot k of a draw takes a row of stratum k % 64. So every process scores the samples of all
processes against the rows that it owns, whatever the number of processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from multiview.ops import counter
from multiview.ops.bank_scores import DENSE_RATIO, Pull, own_negatives
from multiview.ops.chunks import parts
from multiview.ops.strata import STRATA, length

HELD = 1 << 27
"""Scores that a process keeps between its two passes over a bank; above, they are made again."""

Block = Callable[[Tensor], tuple[Tensor, Pull]]
"""From embeddings (m, d) to their scores (m, k) in one stratum, and the sums that weights give."""


class OwnStrata(NamedTuple):
    """The rows of a bank that this process owns.

    rows: (s, l, d), s strata of l = ceil(N / 64) rows; in a short stratum the last row is unused.
    first: the number of the first stratum. size: N.
    """

    rows: Tensor
    first: int
    size: int

    @property
    def numbers(self) -> range:
        """The numbers of the own strata."""
        return range(self.first, self.first + len(self.rows))

    def places(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Where the rows of samples `index` lie among all own rows, and whether they are here.

        A row that another process owns gets the place of some row.
        """
        stratum = index % STRATA - self.first
        here = (stratum >= 0) & (stratum < len(self.rows))
        return torch.where(here, stratum * self.rows.shape[1] + index // STRATA, 0), here


def draw(own: OwnStrata, key: int, index: Tensor, count: int, *, exclude: bool) -> Tensor:
    """For each own stratum and sample the rows of the stratum that the sample is scored against.

    Uniform, with replacement; `counter.below` of the sample and the slot.

    Args:
        own: the strata.
        key: of the counter.
        index: (m,) the samples of all processes.
        count: negatives of a sample in all strata together, a multiple of 64.
        exclude: never draw a sample's own row.

    Returns:
        (s, m, count / 64), sorted where that is faster to read.
    """
    start, slots = counter.starts(key, index), torch.arange(count // STRATA, device=index.device) * STRATA
    found = []
    for stratum in own.numbers:
        size, home = length(stratum, own.size), index % STRATA == stratum
        drawn = counter.below(start, slots + stratum, size - home.long() if exclude else size, size)
        if exclude:
            drawn += home[:, None] & (drawn >= (index // STRATA)[:, None])
        found.append(drawn if _reads_all(own, count) else drawn.sort(1).values)
    return torch.stack(found)


def draw_shared(own: OwnStrata, key: int, count: int, device: torch.device) -> Tensor:
    """(s, count / 64): rows of each own stratum for all samples of the step."""
    return draw(own, key, torch.zeros(1, dtype=torch.int64, device=device), count, exclude=False)[:, 0]


def _reads_all(own: OwnStrata, count: int) -> bool:
    return own.rows.shape[1] <= DENSE_RATIO * (count // STRATA)


class Positives(NamedTuple):
    """rows (m, d): of each sample. here (m,): whether its row is here. homes: by own stratum."""

    rows: Tensor
    here: Tensor
    homes: list[Tensor]


@dataclass
class SplitScorer:
    """Scores the samples of all processes against the own strata.

    own: the strata. index: (m,) the samples of all processes. blocks: one per own stratum.
    held: whether the scores of all blocks are kept between two passes.
    """

    own: OwnStrata
    index: Tensor
    blocks: list[Block]
    held: bool

    def scored(self, z: Tensor) -> list[tuple[Tensor, Pull]] | None:
        """The scores of z (m, d) in every own stratum, when there is room for them."""
        return [block(z) for block in self.blocks] if self.held else None

    def positives(self, dtype: torch.dtype) -> Positives:
        """Each sample's own row, where it is here."""
        places, here = self.own.places(self.index)
        rows = self.own.rows.flatten(0, 1)[places].to(dtype)
        return Positives(rows, here, [self.index % STRATA == stratum for stratum in self.own.numbers])


def own_negatives_of(own: OwnStrata, index: Tensor, drawn: Tensor) -> SplitScorer:
    """Each sample of all processes, `index` (m,), against its own draw.

    drawn: of `draw` for these samples.
    """
    blocks = [_own_block(rows, picked) for rows, picked in zip(own.rows, drawn, strict=True)]
    width = own.rows.shape[1] if _reads_all(own, drawn.shape[2] * STRATA) else drawn.shape[2]
    return SplitScorer(own, index, blocks, len(blocks) * drawn.shape[1] * width <= HELD)


def _own_block(rows: Tensor, drawn: Tensor) -> Block:
    scorer = own_negatives(rows, drawn)

    def block(z: Tensor) -> tuple[Tensor, Pull]:
        pieces = parts(len(z), scorer.step)
        found = [scorer.block(z[piece], piece) for piece in pieces]

        def pull(weights: Tensor) -> Tensor:
            return torch.cat([part(weights[piece]) for piece, (_, part) in zip(pieces, found, strict=True)])

        return torch.cat([scores for scores, _ in found]), pull

    return block


def shared_negatives_of(own: OwnStrata, index: Tensor, shared: Tensor, *, exclude: bool) -> SplitScorer:
    """The samples `index` (m,) of all processes against the rows `shared` of `draw_shared`.

    exclude: a sample's own row, where it was drawn, gets the score -inf.
    """
    pieces = zip(own.numbers, own.rows, shared, strict=True)
    blocks = [_shared_block(rows[picked], _hidden(index, s, picked) if exclude else None) for s, rows, picked in pieces]
    return SplitScorer(own, index, blocks, shared.numel() * len(index) <= HELD)


def _hidden(index: Tensor, stratum: int, picked: Tensor) -> Tensor:
    """(m, k) whether a picked row of the stratum is the sample's own."""
    return (index % STRATA == stratum)[:, None] & ((index // STRATA)[:, None] == picked)


def _shared_block(rows: Tensor, hidden: Tensor | None) -> Block:
    def block(z: Tensor) -> tuple[Tensor, Pull]:
        near = rows.to(z.dtype)
        scores = z @ near.T
        return scores if hidden is None else scores.masked_fill_(hidden, -math.inf), lambda weights: weights @ near

    return block
