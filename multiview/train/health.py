"""Is every edge learning, and is every view alive? Measured now and then, on some rows of all ranks, without gradient.

Alignment and uniformity: Wang and Isola, arXiv:2005.10242. Effective rank: Roy and Vetterli, EUSIPCO 2007, as in RankMe
(arXiv:2210.02885). The bound on mutual information: van den Oord et al., arXiv:1807.03748, Eq. 12.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from multiview.distributed import gather, total
from multiview.graph import AnyEdge
from multiview.objectives.edge import EdgeInput, Side
from multiview.ops.precision import full_precision

ROWS = 256
"""Rows of all ranks that embeddings are judged by: what compares them pair by pair stays small."""

SCORED = 64
"""Rows of a rank that are scored once more against their negatives."""


@torch.no_grad()
def measured(edges: Mapping[str, AnyEdge], inputs: Sequence[EdgeInput]) -> dict[str, Tensor]:
    """Numbers by `measure/edge` and `measure/view`; the same on every rank. Every rank must call it at the same step."""
    found: dict[str, Tensor] = {}
    for (name, edge), given in zip(edges.items(), inputs, strict=True):
        found |= {f"{measure}/{name}": x for measure, x in _of_edge(edge, given).items()}
    for view, z in _views(edges, inputs):
        found |= {f"{measure}/{view}": x for measure, x in of_view(z).items()}
    return found


def _of_edge(edge: AnyEdge, given: EdgeInput) -> dict[str, Tensor]:
    present = gather(given.present)
    sides = [gather(_unit(side))[present][:ROWS] for side in given.sides]
    pairs = [alignment(a, b) for a, b in combinations(sides, 2)]
    found = {"alignment": torch.stack(pairs).mean()} if len(sides[0]) else {}
    scores = edge.objective.scores(given, SCORED)
    return found | (of_scores(scores, given.present[:SCORED]) if scores else {})


def _views(edges: Mapping[str, AnyEdge], inputs: Sequence[EdgeInput]) -> Iterator[tuple[str, Tensor]]:
    """Each view's embeddings of the rows of all ranks that have the edge's views; `view:edge` where a further edge reads others."""
    seen: set[tuple[str, int]] = set()
    for (name, edge), given in zip(edges.items(), inputs, strict=True):
        present = gather(given.present)
        for view, side in zip(edge.views, given.sides, strict=True):
            source = view, id(side.z if side.z is not None else side.key)
            if source not in seen:
                z = gather(_unit(side))[present][:ROWS]
                if len(z) > 1:
                    yield f"{view}:{name}" if any(view == other for other, _ in seen) else view, z
                seen.add(source)


def _unit(side: Side) -> Tensor:
    """The embeddings of a side on the unit sphere: its own, or its keys where it has none."""
    z = side.z if side.z is not None else side.key
    assert z is not None
    return F.normalize(full_precision(z.detach()), dim=1)


def of_view(z: Tensor) -> dict[str, Tensor]:
    """What unit vectors z (n, d) say of their view."""
    return {"uniformity": uniformity(z), "effective_rank": effective_rank(z), "std": relative_std(z)}


def alignment(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared distance of partners a, b (n, d) on the unit sphere: 0 where they agree, 2 where they know nothing of each other."""
    return (a - b).square().sum(1).mean()


def uniformity(z: Tensor) -> Tensor:
    """log of the mean over pairs of e^(-2 distance^2), z (n, d) on the unit sphere: 0 when all are the same, towards -4 when spread."""
    return torch.pdist(z).square().mul(-2).exp().mean().log()


def effective_rank(z: Tensor) -> Tensor:
    """e^entropy of the normalised singular values of z (n, d): the number of directions in use, from 1 to min(n, d)."""
    gram = z @ z.T if len(z) <= z.shape[1] else z.T @ z
    values = torch.linalg.eigvalsh(gram.double()).clamp(min=0).sqrt()
    share = values / values.sum().clamp(min=1e-12)
    return torch.special.entr(share).sum().exp().to(z.dtype)


def relative_std(z: Tensor) -> Tensor:
    """Mean over dimensions of the standard deviation of z (n, d), in units of 1 / sqrt(d): 1 when even on the sphere, 0 when collapsed."""
    return z.std(0, correction=0).mean() * math.sqrt(z.shape[1])


def of_scores(scores: Sequence[Tensor], present: Tensor) -> dict[str, Tensor]:
    """What scores (n, 1 + K) of each direction, the positive first and -inf where there is no negative, say over the present rows of all ranks.

    positive: its share of the softmax. rank: its place, from 1. ceiling: ln(K + 1), what knowing nothing costs. bound: nats of mutual
    information that the edge has shown, the ceiling less the InfoNCE loss.
    """
    rows = [_row_numbers(s)[present] for s in scores]
    sums = total(torch.cat([*rows]).sum(0))
    count = total(torch.tensor(float(sum(len(r) for r in rows)), dtype=sums.dtype, device=sums.device))
    if count == 0:
        return {}
    positive, rank, loss, ceiling = sums / count
    return {"positive": positive, "rank": rank, "ceiling": ceiling, "bound": ceiling - loss}


def _row_numbers(scores: Tensor) -> Tensor:
    """(n, 4): share of the positive, its rank, InfoNCE, ln(K + 1)."""
    loss = torch.logsumexp(scores, 1) - scores[:, 0]
    rank = (scores[:, 1:] > scores[:, :1]).sum(1) + 1
    return torch.stack([(-loss).exp(), rank.to(loss), loss, scores.isfinite().sum(1).to(loss).log()], dim=1)
