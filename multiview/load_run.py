"""Loads a trained run from its folder."""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from multiview.data.load.open_data import open_data
from multiview.errors import MultiviewError
from multiview.model import MultiviewModel
from multiview.objectives.base import Situation
from multiview.recipe_origin import recipe_of
from multiview.runs import environment
from multiview.setup import with_statistics
from multiview.train.checkpoint import newest
from multiview.train.runfolder import CHECKPOINTS
from multiview.trained import Trained


def load(run: str | Path, data: str | None = None, *, trust_code: bool = False) -> Trained:
    """Loads a run: rebuilds it from its recipe, with the weights of its newest whole checkpoint.

    Args:
        run: the run folder.
        data: a store or folder to use instead of the data that the run was trained on.
        trust_code: run the Python file of a recipe that the folder names, although you have never
            trained with that file here. Read the file first.

    Raises:
        MultiviewError: the folder is no run, its recipe is missing, or no checkpoint is whole.

    Example:
        >>> trained = mv.load("runs/lab")
        >>> trained.steps
        1
    """
    folder = Path(run)
    facts = environment(folder)["data"]
    recipe = recipe_of(folder, trust_code=trust_code)
    store = open_data(data or (facts["path"] if Path(facts["path"]).exists() else facts["spec"]), Path(recipe.cache))
    torch.manual_seed(recipe.seed)
    _, tensors, state, _ = newest(folder / CHECKPOINTS)
    setup = with_statistics(recipe.build(), store, Situation(samples=state["samples"], per_rank=recipe.train.batch))
    encoders = {name: copy.deepcopy(encoder) for name, encoder in setup.encoders.items()}
    trained = Trained(setup, MultiviewModel(encoders, setup.graph), store, folder, state["step"])
    try:
        trained.model.load_state_dict(tensors["model"])
    except RuntimeError as error:
        raise MultiviewError(
            f"the weights in {folder} do not fit its recipe, so the recipe has changed since the run: {error}"
        ) from error
    trained.model.eval()
    return trained
