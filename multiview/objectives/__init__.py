"""Objectives, one file each, and their contract.

`base.py` has the contract, `needs.py` what an objective asks for, `edge.py` what its loss reads and
returns. Every objective that `pyproject.toml` registers can be imported from here by the name of
its class.
"""

from typing import TYPE_CHECKING, Any

from multiview import plugins
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

if TYPE_CHECKING:
    from multiview.objectives.barlow_twins import BarlowTwins as BarlowTwins
    from multiview.objectives.comm import CoMM as CoMM
    from multiview.objectives.gram import GRAM as GRAM
    from multiview.objectives.nnclr import NNCLR as NNCLR
    from multiview.objectives.supcon import SupCon as SupCon

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


if not TYPE_CHECKING:  # a type checker would take any name for one of this module

    def __getattr__(name: str) -> Any:
        """The class of a registered objective that is not imported above."""
        for plugin in plugins.installed("objectives"):
            if plugin.target.startswith(f"{__name__}.") and plugin.target.endswith(f":{name}"):
                return plugins.load("objectives", plugin.whole)
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
