"""Objectives, one file each, and their contract: `base.py` (Objective), `needs.py` (what it asks for), `edge.py` (what it reads)."""

from multiview.objectives.base import Objective, Situation
from multiview.objectives.byol import BYOL
from multiview.objectives.cmc import CMC
from multiview.objectives.edge import EdgeInput, EdgeOutput, Side
from multiview.objectives.moco import MoCo
from multiview.objectives.needs import Head, Keys, Needs, Scalar
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
