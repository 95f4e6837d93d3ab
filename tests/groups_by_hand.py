"""The losses of edges whose samples have groups, by hand: pairs of one group are dropped.

The names are those of `objective_cases.CASES`; so are the settings.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import by_hand
import many_views_by_hand
import objective_cases
import torch
from torch import Tensor

from multiview.objectives import EdgeInput
from multiview.ops.negatives import draw_other_groups, draw_shared

T = 0.2
"""The temperature of most cases."""
NEGATIVES = 11
Z = math.exp(3.0)
"""Z of the edges of `agreeing`."""
Reference = Callable[[EdgeInput], Tensor]


def in_batch(loss: Callable[..., Tensor], *settings: Any) -> Reference:
    """A loss of the two views' embeddings, some settings and the groups of the rows."""
    return lambda edge: loss(edge.a.z, edge.b.z, *settings, groups=edge.group.tolist())


def temperature(edge: EdgeInput) -> Tensor:
    return edge.scalars["log_temperature"].exp()


def learned(loss: Callable[..., Tensor], *settings: Any) -> Reference:
    """`in_batch` with a learned temperature."""
    return lambda edge: in_batch(loss, temperature(edge), *settings)(edge)


def siglip(edge: EdgeInput) -> Tensor:
    return in_batch(by_hand.siglip, 1 / temperature(edge), edge.scalars["bias"])(edge)


def symile(edge: EdgeInput, t: Tensor | float) -> Tensor:
    numbers = edge.draws.uniform("order", len(edge.sides))
    orders = [torch.argsort(numbers[:, view]).tolist() for view in range(len(edge.sides))]
    return many_views_by_hand.symile([side.z for side in edge.sides], orders, t, edge.group.tolist())


def directions(edge: EdgeInput) -> list[tuple[Tensor, Tensor]]:
    """Each view's embeddings and the bank of the other view."""
    return [(edge.a.z, edge.b.memory.rows), (edge.b.z, edge.a.memory.rows)]


def drawn(edge: EdgeInput) -> tuple[Tensor, list[int]]:
    """The draws of the edge, checked against its groups, and the sizes of the samples' noise."""
    codes = edge.bank_groups.codes
    rows = draw_other_groups(edge.index, NEGATIVES, edge.bank_groups, generator=seeded())
    assert rows[:, 0].tolist() == edge.index.tolist()
    for row in rows.tolist():
        assert codes[row[0]] not in codes[row[1:]]
    return rows, [sum(int(code != codes[i]) for code in codes) for i in edge.index.tolist()]


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(9)


def cmc(edge: EdgeInput) -> Tensor:
    """Binary NCE; the noise of a sample is uniform over the rows of other groups."""
    rows, sizes = drawn(edge)
    return sum(by_hand.cmc_nce(z, bank, rows, T, Z, sizes) for z, bank in directions(edge))


def cmc_softmax(edge: EdgeInput) -> Tensor:
    rows, _ = drawn(edge)
    return sum(by_hand.cmc_softmax(z, bank, rows, T) for z, bank in directions(edge))


def shown(edge: EdgeInput, z: Tensor, bank: Tensor) -> list[list[Tensor]]:
    """e^s of each sample's own row, and of the rows of the shared draw that are of other groups."""
    codes = edge.bank_groups.codes.tolist()
    rows = draw_shared(NEGATIVES, len(bank), generator=seeded()).tolist()
    return [
        [torch.exp(by_hand.dot(x, bank[k]) / T) for k in (i, *(k for k in rows if codes[k] != codes[i]))]
        for x, i in zip(z, edge.index.tolist(), strict=True)
    ]


def cmc_shared_softmax(edge: EdgeInput) -> Tensor:
    return sum(by_hand.cmc_shared_softmax(shown(edge, z, bank)) for z, bank in directions(edge))


def all_shown(edge: EdgeInput, z: Tensor, bank: Tensor) -> list[list[Tensor]]:
    """e^s of every sample's positive and of each row of another group."""
    codes = edge.bank_groups.codes.tolist()
    found = []
    for i, own in enumerate(edge.index.tolist()):
        rows = [own, *(k for k in range(len(bank)) if codes[k] != codes[own])]
        found.append([torch.exp(by_hand.dot(z[i], bank[k]) / T) for k in rows])
    return found


def cmc_all_softmax(edge: EdgeInput) -> Tensor:
    return sum(by_hand.cmc_shared_softmax(all_shown(edge, z, bank)) for z, bank in directions(edge))


def cmc_all_nce(edge: EdgeInput) -> Tensor:
    pairs = directions(edge)
    return sum(by_hand.cmc_shared_nce(all_shown(edge, z, b), len(b) - 1, len(b), Z) for z, b in pairs)


def cmc_shared_nce(edge: EdgeInput) -> Tensor:
    """The density of the noise is K / N: a row is in the draw K / N times on average."""
    return sum(by_hand.cmc_shared_nce(shown(edge, z, bank), NEGATIVES, len(bank), Z) for z, bank in directions(edge))


def moco(edge: EdgeInput, symmetric: bool) -> Tensor:
    """Keys of the row's group, of whatever sample, are no negatives."""
    losses = []
    for q, other in [(edge.a.z, edge.b), (edge.b.z, edge.a)][: 1 + symmetric]:
        queue = list(zip(other.memory.filled_groups().tolist(), other.memory.filled_keys(), strict=True))
        losses.append(by_hand.moco(q, other.key, queue, edge.group.tolist(), T))
    return sum(losses) / len(losses)


def gram(edge: EdgeInput, t: Tensor | float) -> Tensor:
    return many_views_by_hand.gram([side.z for side in edge.sides], t, edge.group.tolist())


def supcon(loss: Callable[..., Tensor], t: Callable[[EdgeInput], Tensor | float]) -> Reference:
    return lambda edge: in_batch(loss, edge.labels.tolist(), t(edge))(edge)


def nnclr(edge: EdgeInput) -> Tensor:
    queues = [side.memory.filled_keys() for side in edge.sides]
    return by_hand.nnclr(edge.a.z, edge.a.p, edge.b.z, edge.b.p, queues, 0.1, edge.group.tolist())


GROUPED: dict[str, Reference] = {
    "CMC": cmc,
    "CMC-softmax": cmc_softmax,
    "CMC-shared": cmc_shared_softmax,
    "CMC-shared-nce": cmc_shared_nce,
    "CMC-all": cmc_all_softmax,
    "CMC-all-nce": cmc_all_nce,
    "CMC-step": cmc_shared_softmax,
    "MoCo": lambda edge: moco(edge, symmetric=True),
    "MoCo-one-way": lambda edge: moco(edge, symmetric=False),
    "SimCLR": in_batch(by_hand.nt_xent, T),
    "SimCLR-learned": learned(by_hand.nt_xent),
    "SimCLR-cross": in_batch(by_hand.info_nce, T),
    "SimCLR-decoupled": learned(by_hand.nt_xent_weighted, True, 0.0, 0.0),
    "SimCLR-hard": learned(by_hand.nt_xent_weighted, False, 1.0, 0.1),
    "SimCLR-cross-hard": in_batch(by_hand.info_nce_weighted, T, True, 0.5, 0.0),
    "SigLIP": siglip,
    "Symile": lambda edge: symile(edge, temperature(edge)),
    "Symile-fixed": lambda edge: symile(edge, 0.1),
    "CoMM": lambda edge: objective_cases.comm(edge, 0.3),
    "CoMM-attention": lambda edge: objective_cases.comm(edge, temperature(edge), 0.5),
    "GRAM": lambda edge: gram(edge, temperature(edge)),
    "GRAM-pair": lambda edge: gram(edge, 0.2),
    "SupCon": supcon(by_hand.supcon, temperature),
    "SupCon-cross": supcon(by_hand.supcon_cross, lambda _: 0.3),
    "NNCLR": nnclr,
}
