"""Measures whether every edge learns and no view has collapsed, on some rows of all processes.

Alignment and uniformity: Wang and Isola, arXiv:2005.10242. Effective rank: Roy and Vetterli,
EUSIPCO 2007, as in RankMe (arXiv:2210.02885). Bound on mutual information: van den Oord et al.,
arXiv:1807.03748, Eq. 12.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from multiview.distributed import gather, total
from multiview.graph import AnyEdge, halves
from multiview.model import fused_name
from multiview.objectives.edge import EdgeInput, Side
from multiview.ops.precision import full_precision

ROWS = 256
"""Rows of all processes whose embeddings are measured; bounds the cost of comparing all pairs."""

SCORED = 64
"""Rows of each process that are scored against their negatives."""


@torch.no_grad()
def measured(edges: Mapping[str, AnyEdge], inputs: Sequence[EdgeInput]) -> dict[str, Tensor]:
    """Values `measure/edge` and `measure/view`, the same in every process.

    Every process must call the function in the same step.
    """
    values: dict[str, Tensor] = {}
    for (name, edge), edge_input in zip(edges.items(), inputs, strict=True):
        values |= {f"{measure}/{name}": x for measure, x in _of_edge(edge, edge_input).items()}
    for view, z in _views(edges, inputs):
        values |= {f"{measure}/{view}": x for measure, x in of_view(z).items()}
    return values


def _of_edge(edge: AnyEdge, edge_input: EdgeInput) -> dict[str, Tensor]:
    present = gather(edge_input.present)
    whole = edge_input.sides[-2:] if edge.objective.fuses else edge_input.sides
    sides = [gather(_unit(side))[present][:ROWS] for side in whole]
    pairs = [alignment(a, b) for a, b in combinations(sides, 2)]
    values = {"alignment": torch.stack(pairs).mean()} if len(sides[0]) else {}
    scores = edge.objective.scores(edge_input, SCORED)
    return values | (of_scores(scores, edge_input.present[:SCORED]) if scores else {})


def _views(edges: Mapping[str, AnyEdge], inputs: Sequence[EdgeInput]) -> Iterator[tuple[str, Tensor]]:
    """Embeddings of each view, over the rows of all processes that have the views of the edge.

    The name is `view:edge` when a second edge uses other embeddings of the same view.
    """
    seen: set[tuple[str, int]] = set()
    for (name, edge), edge_input in zip(edges.items(), inputs, strict=True):
        for view, side in zip(_names(edge), edge_input.sides, strict=True):
            present = gather(edge_input.present if side.present is None else side.present)
            source = view, id(side.z if side.z is not None else side.key)
            if source not in seen:
                z = gather(_unit(side))[present][:ROWS]
                if len(z) > 1:
                    yield f"{view}:{name}" if any(view == other for other, _ in seen) else view, z
                seen.add(source)


def _names(edge: AnyEdge) -> tuple[str, ...]:
    """The names of the sides of an edge: its views, and those of both fused embeddings."""
    return (*edge.views, *map(fused_name, halves(edge))) if edge.objective.fuses else edge.views


def _unit(side: Side) -> Tensor:
    """The embeddings of a side on the unit sphere, or its keys when it has no embeddings."""
    z = side.z if side.z is not None else side.key
    assert z is not None
    return F.normalize(full_precision(z.detach()), dim=1)


def of_view(z: Tensor) -> dict[str, Tensor]:
    """The measures of a view with embeddings z (n, d) on the unit sphere."""
    return {"uniformity": uniformity(z), "effective_rank": effective_rank(z), "std": relative_std(z)}


def alignment(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared distance of unit vectors a and b (n, d): 0 when equal, 2 when independent."""
    return (a - b).square().sum(1).mean()


def uniformity(z: Tensor) -> Tensor:
    """log of the mean of e^(-2 distance^2) over pairs of z (n, d) on the unit sphere.

    0 when all rows are equal, near -4 when they are spread evenly.
    """
    return torch.pdist(z).square().mul(-2).exp().mean().log()


def effective_rank(z: Tensor) -> Tensor:
    """e^entropy of the normalised singular values of z (n, d), from 1 to min(n, d).

    The number of directions that the embeddings use.
    """
    # In float32, because MPS has no float64; there the CPU computes what MPS cannot.
    values = torch.linalg.svdvals(z if z.device.type in ("cpu", "cuda") else z.cpu())
    share = values / values.sum().clamp(min=1e-12)
    return torch.special.entr(share).sum().exp().to(z.dtype)


def relative_std(z: Tensor) -> Tensor:
    """Mean over dimensions of the standard deviation of z (n, d), times sqrt(d).

    1 when the rows are spread evenly on the unit sphere, 0 when collapsed.
    """
    return z.std(0, correction=0).mean() * math.sqrt(z.shape[1])


def of_scores(scores: Sequence[Tensor], present: Tensor) -> dict[str, Tensor]:
    """Means over the present rows of all processes.

    positive: the softmax probability of the positive. rank: the rank of the positive, from 1.
    ceiling: ln(K + 1), the InfoNCE loss of a random guess. bound: a lower bound on the mutual
    information in nats, `ceiling` - InfoNCE. scores: (n, 1 + K) for each direction: the positive
    first, -inf where there is no negative. present: (n,) the rows that have both views.
    """
    rows = [_row_numbers(s)[present] for s in scores]
    sums = total(torch.cat([*rows]).sum(0))
    count = total(torch.tensor(float(sum(len(r) for r in rows)), dtype=sums.dtype, device=sums.device))
    positive, rank, loss, ceiling = sums / count.clamp(min=1)
    if ceiling == 0:  # there were no rows or no negatives: nothing was ranked
        return {}
    return {"positive": positive, "rank": rank, "ceiling": ceiling, "bound": ceiling - loss}


def _row_numbers(scores: Tensor) -> Tensor:
    """(n, 4): probability and rank of the positive, InfoNCE, ln(K + 1)."""
    loss = torch.logsumexp(scores, 1) - scores[:, 0]
    rank = (scores[:, 1:] > scores[:, :1]).sum(1) + 1
    return torch.stack([(-loss).exp(), rank.to(loss), loss, scores.isfinite().sum(1).to(loss).log()], dim=1)
