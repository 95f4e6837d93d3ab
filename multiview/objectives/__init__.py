"""Objectives: one file each. `multiview.objectives.base` holds the contract."""

from multiview.objectives.base import EdgeInput, EdgeOutput, Head, Keys, Needs, Objective, Scalar, Side, Situation
from multiview.objectives.byol import BYOL
from multiview.objectives.cmc import CMC
from multiview.objectives.moco import MoCo
from multiview.objectives.siglip import SigLIP
from multiview.objectives.simclr import SimCLR
from multiview.objectives.simsiam import SimSiam
from multiview.objectives.symile import Symile
from multiview.objectives.vicreg import VICReg

__all__ = [
    "BYOL",
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
    "SigLIP",
    "SimCLR",
    "SimSiam",
    "Situation",
    "Symile",
    "VICReg",
]
