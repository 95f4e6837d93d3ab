"""Objectives: one file each. `multiview.objectives.base` holds the contract."""

from multiview.objectives.base import EdgeInput, EdgeOutput, Head, Keys, Needs, Objective, Scalar, Side, Situation
from multiview.objectives.cmc import CMC
from multiview.objectives.moco import MoCo
from multiview.objectives.simclr import SimCLR
from multiview.objectives.simsiam import SimSiam

__all__ = [
    "CMC",
    "EdgeInput",
    "EdgeOutput",
    "Head",
    "Keys",
    "MoCo",
    "Needs",
    "Objective",
    "Scalar",
    "Side",
    "SimCLR",
    "SimSiam",
    "Situation",
]
