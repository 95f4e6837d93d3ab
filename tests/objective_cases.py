"""Every objective as the tests use it; an entry here puts an objective under all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import by_hand
import many_views_by_hand
import torch
from edges import DIM
from torch import Tensor

from multiview.check.edges import SAMPLES
from multiview.objectives import (
    BYOL,
    CMC,
    GRAM,
    NNCLR,
    BarlowTwins,
    CoMM,
    EdgeInput,
    MoCo,
    Objective,
    SigLIP,
    SimCLR,
    SimSiam,
    SupCon,
    Symile,
    VICReg,
)
from multiview.ops.negatives import draw_negatives


@dataclass(frozen=True, kw_only=True)
class Case:
    """One objective, or one of its variants.

    Args:
        objective: of embeddings of DIM numbers, for the laws of objectives.
        paper: the loss of an edge as the paper writes it (None = its own test file does).
        small: what one, two and four processes train (None = a variant that needs no such test).
        trial: further options of that training, see `trials.trial`.
        at_chance: a pairwise objective that must not see c = a xor b (None = not tried).
    """

    objective: Objective
    paper: Callable[[EdgeInput], Tensor] | None = None
    small: Objective | None = None
    trial: Mapping[str, Any] = field(default_factory=dict)
    at_chance: Objective | None = None


def of_pair(loss: Callable[..., Tensor], *settings: float) -> Callable[[EdgeInput], Tensor]:
    """A loss by hand of the two views' embeddings and some settings."""
    return lambda edge: loss(edge.a.z, edge.b.z, *settings)


def comm(edge: EdgeInput, t: Tensor | float, weight: float = 1.0) -> Tensor:
    """The sides as lists of samples with their embeddings; those of absent rows are left out."""
    sides = []
    for side in edge.sides:
        here = edge.present if side.present is None else side.present & edge.present
        sides.append([(i, z) for i, z in enumerate(side.z) if here[i]])
    groups = None if edge.group is None else dict(enumerate(edge.group.tolist()))
    return many_views_by_hand.comm(sides[:-2], sides[-2:], t, weight, groups)


def temperature(edge: EdgeInput) -> Tensor:
    return edge.scalars["log_temperature"].exp()


def symile(edge: EdgeInput, t: Tensor | float) -> Tensor:
    numbers = edge.draws.uniform("order", len(edge.sides))
    orders = [torch.argsort(numbers[:, view]).tolist() for view in range(len(edge.sides))]
    return many_views_by_hand.symile([side.z for side in edge.sides], orders, t)


def moco(edge: EdgeInput, t: float, *weighting: float) -> Tensor:
    """Both directions with weighted negatives; no query has older keys of its own in the queue."""
    sides = (edge.a, edge.b), (edge.b, edge.a)
    return sum(by_hand.moco_weighted(x.z, y.key, y.memory.filled_keys(), t, *weighting) for x, y in sides) / 2


def cmc(edge: EdgeInput, negatives: int, t: float, *weighting: float) -> Tensor:
    """Both directions with weighted negatives."""
    drawn = draw_negatives(edge.index, negatives, SAMPLES, generator=torch.Generator().manual_seed(9), exclude=True)
    sides = (edge.a, edge.b), (edge.b, edge.a)
    return sum(by_hand.cmc_weighted(x.z, y.memory.rows, drawn, t, *weighting) for x, y in sides)


DECOUPLED, HARD, DEBIASED = {"decoupled": True}, {"hardness": 0.5}, {"hardness": 1.0, "tau_plus": 0.1}
"""Options of weighted negatives; their values by hand: decoupled, hardness, tau_plus."""

CASES = {
    "CMC": Case(
        objective=CMC(negatives=11, temperature=0.2, dim=DIM),
        small=CMC(negatives=7, dim=5),
    ),
    "CMC-softmax": Case(
        objective=CMC(negatives=11, temperature=0.2, dim=DIM, variant="softmax"),
        at_chance=CMC(negatives=64, dim=16, variant="softmax"),
    ),
    "CMC-shared": Case(
        objective=CMC(negatives=11, temperature=0.2, dim=DIM, variant="softmax", shared=True),
        small=CMC(negatives=7, dim=5, shared=True, variant="softmax"),
    ),
    "CMC-all": Case(
        objective=CMC(temperature=0.2, dim=DIM, variant="softmax", draw="all"),
        small=CMC(dim=5, draw="all"),
        at_chance=CMC(dim=16, variant="softmax", draw="all"),
    ),
    "CMC-all-nce": Case(objective=CMC(temperature=0.2, dim=DIM, draw="all")),
    "CMC-step": Case(
        objective=CMC(negatives=11, temperature=0.2, dim=DIM, variant="softmax", draw="step"),
        small=CMC(negatives=7, dim=5, draw="step"),
    ),
    "CMC-shared-nce": Case(objective=CMC(negatives=11, temperature=0.2, dim=DIM, shared=True)),
    "MoCo": Case(
        objective=MoCo(queue=12, temperature=0.2, dim=DIM),
        small=MoCo(queue=11, dim=5, momentum=0.9),
        at_chance=MoCo(queue=256, temperature=0.2, momentum=0.9, dim=16),
    ),
    "CMC-hard": Case(
        objective=CMC(negatives=11, temperature=0.2, dim=DIM, variant="softmax", **DEBIASED),
        paper=lambda edge: cmc(edge, 11, 0.2, False, 1.0, 0.1),
        small=CMC(negatives=7, dim=5, variant="softmax", **HARD),
    ),
    "MoCo-decoupled": Case(
        objective=MoCo(queue=12, temperature=0.2, dim=DIM, **DECOUPLED, **HARD),
        paper=lambda edge: moco(edge, 0.2, True, 0.5, 0.0),
        small=MoCo(queue=11, dim=5, momentum=0.9, **DECOUPLED),
    ),
    "MoCo-one-way": Case(
        objective=MoCo(queue=12, temperature=0.2, dim=DIM, symmetric=False, exclude=False),
        small=MoCo(queue=11, dim=5, momentum=0.9, symmetric=False),
        trial={"shared": True},
    ),
    "SimCLR": Case(
        objective=SimCLR(temperature=0.2, dim=DIM),
        paper=of_pair(by_hand.nt_xent, 0.2),
        small=SimCLR(dim=5),
        at_chance=SimCLR(temperature=0.2, dim=16),
    ),
    "SimCLR-learned": Case(
        objective=SimCLR(temperature=0.2, learn_temperature=True, dim=DIM),
        paper=lambda edge: by_hand.nt_xent(edge.a.z, edge.b.z, temperature(edge)),
        small=SimCLR(dim=5, learn_temperature=True),
    ),
    "SimCLR-cross": Case(
        objective=SimCLR(temperature=0.2, dim=DIM, negatives="cross"),
        paper=of_pair(by_hand.info_nce, 0.2),
        small=SimCLR(dim=5, negatives="cross"),
        at_chance=SimCLR(temperature=0.2, dim=16, negatives="cross"),
    ),
    "SimCLR-decoupled": Case(
        objective=SimCLR(temperature=0.2, learn_temperature=True, dim=DIM, **DECOUPLED),
        paper=lambda edge: by_hand.nt_xent_weighted(edge.a.z, edge.b.z, temperature(edge), True, 0.0, 0.0),
        small=SimCLR(dim=5, **DECOUPLED),
        at_chance=SimCLR(temperature=0.2, dim=16, **DECOUPLED),
    ),
    "SimCLR-hard": Case(
        objective=SimCLR(temperature=0.2, learn_temperature=True, dim=DIM, **DEBIASED),
        paper=lambda edge: by_hand.nt_xent_weighted(edge.a.z, edge.b.z, temperature(edge), False, 1.0, 0.1),
        small=SimCLR(dim=5, **DEBIASED),
        at_chance=SimCLR(temperature=0.2, dim=16, **DEBIASED),
    ),
    "SimCLR-cross-hard": Case(
        objective=SimCLR(temperature=0.2, dim=DIM, negatives="cross", **DECOUPLED, **HARD),
        paper=of_pair(by_hand.info_nce_weighted, 0.2, True, 0.5, 0.0),
        small=SimCLR(dim=5, negatives="cross", learn_temperature=True, **HARD),
    ),
    "SigLIP": Case(
        objective=SigLIP(bias=-2.0, dim=DIM),
        paper=lambda edge: by_hand.siglip(edge.a.z, edge.b.z, 1 / temperature(edge), edge.scalars["bias"]),
        small=SigLIP(dim=5, bias=-2.0),
        at_chance=SigLIP(dim=16, bias=-5.0),
    ),
    "SimSiam": Case(
        objective=SimSiam(dim=DIM),
        small=SimSiam(dim=5, predictor=4),
        trial={"evaluation": True},
        at_chance=SimSiam(dim=16, predictor=8),
    ),
    "BYOL": Case(
        objective=BYOL(dim=DIM),
        small=BYOL(dim=5, hidden=6, momentum=0.9),
        trial={"evaluation": True},
        at_chance=BYOL(dim=16, hidden=32),
    ),
    "VICReg": Case(
        objective=VICReg(dim=DIM),
        paper=of_pair(by_hand.vicreg, 25.0, 25.0, 1.0),
        small=VICReg(dim=5, hidden=6),
        trial={"evaluation": True},
        at_chance=VICReg(dim=16),
    ),
    "BarlowTwins": Case(
        objective=BarlowTwins(dim=DIM),
        paper=of_pair(by_hand.barlow_twins, 0.005),
        small=BarlowTwins(dim=5, hidden=6),
        trial={"evaluation": True},
        at_chance=BarlowTwins(dim=16),
    ),
    "GRAM": Case(
        objective=GRAM(dim=DIM),
        paper=lambda edge: many_views_by_hand.gram([side.z for side in edge.sides], temperature(edge)),
        small=GRAM(dim=5),
        trial={"joint": True},
    ),
    "GRAM-pair": Case(
        objective=GRAM(dim=DIM, learn_temperature=False, temperature=0.2),
        paper=lambda edge: many_views_by_hand.gram([side.z for side in edge.sides], 0.2),
        small=GRAM(dim=5, learn_temperature=False),
        at_chance=GRAM(temperature=0.2, dim=16),
    ),
    "SupCon": Case(
        objective=SupCon(dim=DIM, temperature=0.3, learn_temperature=True),
        paper=lambda edge: by_hand.supcon(edge.a.z, edge.b.z, edge.labels.tolist(), temperature(edge)),
        small=SupCon(dim=5),
    ),
    "SupCon-cross": Case(
        objective=SupCon(dim=DIM, temperature=0.3, negatives="cross"),
        paper=lambda edge: by_hand.supcon_cross(edge.a.z, edge.b.z, edge.labels.tolist(), 0.3),
        small=SupCon(dim=5, negatives="cross", learn_temperature=True),
    ),
    "NNCLR": Case(
        objective=NNCLR(dim=DIM, queue=12),
        paper=lambda edge: by_hand.nnclr(
            edge.a.z, edge.a.p, edge.b.z, edge.b.p, [side.memory.filled_keys() for side in edge.sides], 0.1
        ),
        small=NNCLR(dim=5, queue=11, hidden=6, predictor=4, learn_temperature=True),
        trial={"evaluation": True},
        at_chance=NNCLR(dim=16, queue=64, hidden=32, predictor=32),
    ),
    "SimCLR-matryoshka": Case(
        objective=SimCLR(temperature=0.2, dim=DIM, matryoshka=(2, 3, DIM)),
        paper=of_pair(by_hand.matryoshka, (2, 3, DIM), 0.2),
        small=SimCLR(dim=5, matryoshka=(2, 5), learn_temperature=True),
        at_chance=SimCLR(temperature=0.2, dim=16, matryoshka=(4, 16)),
    ),
    "MoCo-matryoshka": Case(
        objective=MoCo(queue=12, temperature=0.2, dim=DIM, matryoshka=(4, DIM)),
        small=MoCo(queue=11, dim=5, momentum=0.9, matryoshka=(3, 5)),
    ),
    "VICReg-matryoshka": Case(
        objective=VICReg(dim=DIM, matryoshka=(4, DIM)),
        small=VICReg(dim=5, hidden=6, matryoshka=(3, 5)),
        trial={"evaluation": True},
    ),
    "Symile": Case(
        objective=Symile(dim=DIM),
        paper=lambda edge: symile(edge, temperature(edge)),
        small=Symile(dim=5),
        trial={"joint": True},
    ),
    "Symile-fixed": Case(
        objective=Symile(dim=DIM, learn_temperature=False),
        paper=lambda edge: symile(edge, 0.1),
    ),
    "CoMM": Case(
        objective=CoMM(dim=DIM, temperature=0.3),
        paper=lambda edge: comm(edge, 0.3),
        small=CoMM(dim=5, width=8),
    ),
    "CoMM-attention": Case(
        objective=CoMM(dim=DIM, fusion="attention", learn_temperature=True, alone=0.5),
        paper=lambda edge: comm(edge, temperature(edge), 0.5),
        small=CoMM(dim=5, width=8, fusion="attention", learn_temperature=True),
    ),
    "CoMM-mlp+linear": Case(
        objective=CoMM(dim=DIM, fusion="mlp+linear", temperature=0.3),
        paper=lambda edge: comm(edge, 0.3),
        small=CoMM(dim=5, width=8, fusion="mlp+linear"),
    ),
    "CoMM-mlp+features": Case(
        objective=CoMM(dim=DIM, fusion="mlp+features", temperature=0.3),
        paper=lambda edge: comm(edge, 0.3),
        small=CoMM(dim=5, width=8, fusion="mlp+features"),
    ),
    "CoMM-matryoshka": Case(
        objective=CoMM(dim=DIM, matryoshka=(2, DIM)),
        small=CoMM(dim=5, width=8, matryoshka=(2, 5)),
    ),
}
