"""Contrastive multiview coding: views, encoders, and a graph of which views are contrasted and how.

Every name is imported when it is first used, so that `import multiview as mv` does not load torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from multiview import old_import_paths

old_import_paths.install()

_WHERE = {
    "Augment": "photometric",
    "BYOL": "objectives",
    "BarlowTwins": "objectives.barlow_twins",
    "CMC": "objectives",
    "Channels": "view",
    "ContrastGraph": "graph",
    "CoMM": "objectives.comm",
    "Crop": "view",
    "Edge": "graph",
    "Encoder": "encoder",
    "GRAM": "objectives.gram",
    "Graph": "graphs",
    "GraphEdge": "graphs",
    "GraphView": "graphs",
    "HyperEdge": "graph",
    "ImageRecipe": "recipe",
    "KeyEncoder": "losses.key_encoder",
    "MoCo": "objectives",
    "MultiviewError": "errors",
    "NNCLR": "objectives.nnclr",
    "Objective": "objectives",
    "Optimizer": "config",
    "PairLoss": "losses.pair_loss",
    "PortableModel": "portable.model",
    "Recipe": "recipe",
    "Schedule": "graph",
    "Setup": "recipe",
    "SigLIP": "objectives",
    "SimCLR": "objectives",
    "SimSiam": "objectives",
    "Stopped": "errors",
    "Store": "data.store.reading",
    "SupCon": "objectives.supcon",
    "Symile": "objectives",
    "Train": "config",
    "Trained": "trained",
    "Tuning": "tuning",
    "VICReg": "objectives",
    "View": "view",
    "export_view": "exports.export",
    "fit": "launch",
    "load": "load_run",
    "main": "launch",
    "make_encoder": "encoder",
    "make_view": "view",
}
_MODULES = ("encoders", "losses", "views")

__all__ = sorted([*_WHERE, *_MODULES])

if TYPE_CHECKING:
    from multiview import encoders as encoders
    from multiview import losses as losses
    from multiview import views as views
    from multiview.config import Optimizer as Optimizer
    from multiview.config import Train as Train
    from multiview.data.store.reading import Store as Store
    from multiview.encoder import Encoder as Encoder
    from multiview.encoder import make_encoder as make_encoder
    from multiview.errors import MultiviewError as MultiviewError
    from multiview.errors import Stopped as Stopped
    from multiview.exports.export import export_view as export_view
    from multiview.graph import ContrastGraph as ContrastGraph
    from multiview.graph import Edge as Edge
    from multiview.graph import HyperEdge as HyperEdge
    from multiview.graph import Schedule as Schedule
    from multiview.graphs import Graph as Graph
    from multiview.graphs import GraphEdge as GraphEdge
    from multiview.graphs import GraphView as GraphView
    from multiview.launch import fit as fit
    from multiview.launch import main as main
    from multiview.load_run import load as load
    from multiview.losses.key_encoder import KeyEncoder as KeyEncoder
    from multiview.losses.pair_loss import PairLoss as PairLoss
    from multiview.objectives import BYOL as BYOL
    from multiview.objectives import CMC as CMC
    from multiview.objectives import MoCo as MoCo
    from multiview.objectives import Objective as Objective
    from multiview.objectives import SigLIP as SigLIP
    from multiview.objectives import SimCLR as SimCLR
    from multiview.objectives import SimSiam as SimSiam
    from multiview.objectives import Symile as Symile
    from multiview.objectives import VICReg as VICReg
    from multiview.objectives.barlow_twins import BarlowTwins as BarlowTwins
    from multiview.objectives.comm import CoMM as CoMM
    from multiview.objectives.gram import GRAM as GRAM
    from multiview.objectives.nnclr import NNCLR as NNCLR
    from multiview.objectives.supcon import SupCon as SupCon
    from multiview.photometric import Augment as Augment
    from multiview.portable.model import PortableModel as PortableModel
    from multiview.recipe import ImageRecipe as ImageRecipe
    from multiview.recipe import Recipe as Recipe
    from multiview.recipe import Setup as Setup
    from multiview.trained import Trained as Trained
    from multiview.tuning import Tuning as Tuning
    from multiview.view import Channels as Channels
    from multiview.view import Crop as Crop
    from multiview.view import View as View
    from multiview.view import make_view as make_view


if not TYPE_CHECKING:  # a type checker would take any name for one of this module

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return importlib.import_module(f"multiview.{name}")
        if name in _WHERE:
            return getattr(importlib.import_module(f"multiview.{_WHERE[name]}"), name)
        if name[:1].isupper():  # an objective that pyproject.toml registers, though no line above names it
            return importlib.import_module("multiview.objectives").__getattr__(name)
        raise AttributeError(f"module 'multiview' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
