"""Loads a trained run from its folder."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from multiview.data.load.open_data import open_data
from multiview.data.load.viewstatistics import with_statistics as view_with_statistics
from multiview.errors import MultiviewError
from multiview.model import MultiviewModel
from multiview.objectives.base import Situation
from multiview.parsing import parsing
from multiview.recipe import Setup
from multiview.recipe_origin import recipe_of
from multiview.record import from_plain
from multiview.runs import environment
from multiview.setup import with_statistics
from multiview.train.checkpoint import Checkpoint, newest, views_of
from multiview.train.runfolder import CHECKPOINTS, ENVIRONMENT
from multiview.train.tuned import tuned
from multiview.trained import Trained
from multiview.view import View


def load(run: str | Path, data: str | Path | None = None, *, trust_code: bool = False) -> Trained:
    """Loads a run: rebuilds it from its recipe, with the weights of its newest whole checkpoint.

    Args:
        run: the run folder.
        data: a store or folder to use instead of the data that the run was trained on. Views keep
            the mean and std of the training.
        trust_code: run the Python file of a recipe that the folder names, although you have never
            trained with that file here. Read the file first.

    What is unusual, such as a damaged newest checkpoint, is printed to standard error and kept in
    `Trained.notes`.

    Raises:
        MultiviewError: the folder is no run, its recipe is missing, or no checkpoint is whole.

    Example:
        >>> trained = mv.load("runs/lab")
        >>> trained.steps
        1
    """
    folder = Path(run)
    recipe = recipe_of(folder, trust_code=trust_code)
    saved, own = newest(folder / CHECKPOINTS), _own_data(folder)
    store = open_data(str(data or own), Path(recipe.cache))
    torch.manual_seed(recipe.seed)
    built = tuned(recipe.build(), weights=False)
    setup, notes = _with_own_statistics(built, saved, own if data else None, Path(recipe.cache))
    setup = with_statistics(setup, store, Situation(saved.state["samples"], recipe.train.batch))
    encoders = {name: copy.deepcopy(encoder) for name, encoder in setup.encoders.items()}
    said = (*saved.refused, *notes, *_unfinished(saved, folder))
    model = MultiviewModel(encoders, setup.graph)
    other = data if data and store.manifest.hash != environment(folder)["data"].get("manifest") else ""
    trained = Trained(setup, model, store, folder, saved.state["step"], notes=said, other_data=other)
    _load_weights(trained.model, saved, folder)
    for note in said:
        print(f"note: {note}", file=sys.stderr)
    return trained


def _load_weights(model: MultiviewModel, saved: Checkpoint, folder: Path) -> None:
    try:
        model.load_state_dict(saved.tensors["model"])
    except (RuntimeError, KeyError) as error:
        raise MultiviewError(
            f"the weights in {folder} do not fit its recipe, so the recipe has changed since the run: {error}"
        ) from error
    model.eval()


def _with_own_statistics(setup: Setup, saved: Checkpoint, own: str | None, cache: Path) -> tuple[Setup, list[str]]:
    """The setup with the mean and std that its views had in training, and notes for the user.

    own: the data of the run when other data is read; None when the run's own data is read.
    """
    records = views_of(saved.path).get("views", {})
    known = {name: _recorded(view, records[name]) for name, view in setup.views.items() if name in records}
    setup = replace(setup, views={**setup.views, **known})
    if own is None or len(known) == len(setup.views):
        return setup, []
    try:
        store = open_data(own, cache)
        return replace(setup, views={n: view_with_statistics(view, store) for n, view in setup.views.items()}), []
    except MultiviewError as error:
        reason = str(error)
    return setup, [
        "the checkpoint is of an older version without the statistics of its views, and the data that the run was "
        f"trained on cannot be read ({reason}): the views are normalised by the statistics of the given data, so that "
        "features may differ"
    ]


def _own_data(folder: Path) -> str:
    """The data that the run was trained on: the path of its store, else the words of --data."""
    with parsing(f"the data of {folder} in its {ENVIRONMENT}", "Give the data, as in --data FOLDER."):
        facts = environment(folder)["data"]
        return str(facts["path"] if Path(facts["path"]).exists() else facts["spec"])


def _recorded(view: View, record: Mapping[str, Any]) -> View:
    """The view with the mean and std of its record."""
    with parsing("the record of a view in the checkpoint", "Use another checkpoint."):
        mean, std = from_plain(record["mean"]), from_plain(record["std"])
        return replace(view, mean=mean or view.mean, std=std or view.std)


def _unfinished(saved: Checkpoint, folder: Path) -> list[str]:
    step, steps = saved.state["step"], saved.state.get("steps", 0)
    return [f"{folder} is at step {step} of {steps}: its training is not finished"] if step < steps else []
