"""Loads a trained run from its folder."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

import torch

from multiview.data.load.absent import other_notes
from multiview.data.load.memory import SPEC as MEMORY
from multiview.data.load.memory import open_memory
from multiview.data.load.memory_columns import is_in_memory
from multiview.data.load.mixing import stores_of
from multiview.data.load.open_data import GENERATED, open_data
from multiview.data.load.sourcestore import FOLDER
from multiview.data.load.viewstatistics import with_statistics as view_with_statistics
from multiview.data.sources.hf import PREFIX as HF
from multiview.data.store.reading import Store
from multiview.errors import MultiviewError
from multiview.model import MultiviewModel
from multiview.objectives.base import Situation
from multiview.parsing import parsing
from multiview.portable.dispatch import or_model
from multiview.recipe import Recipe, Setup
from multiview.recipe_origin import recipe_of
from multiview.record import from_plain
from multiview.remote.address import is_address
from multiview.runs import environment
from multiview.setup import with_statistics
from multiview.setup_record import setup_from, with_initial
from multiview.train.best import result_folder
from multiview.train.checkpoint import Checkpoint, newest, views_of
from multiview.train.runfolder import CHECKPOINTS, ENVIRONMENT
from multiview.train.tuned import tuned
from multiview.trained import Trained
from multiview.view import View

if TYPE_CHECKING:
    from multiview.measure.embeddings import Embedded
    from multiview.portable.model import PortableModel
    from multiview.portable.vectors import Vectors

    class Loaded(Trained, PortableModel):  # type: ignore[misc]
        """What `load` returns, for a type checker: a run or a model, with the face of both.

        `trained: mv.Trained = mv.load(...)` or `model: mv.PortableModel = mv.load(...)` says which.
        """

        @overload  # type: ignore[no-overload-impl]
        def embed(self, split: str, store: Store | None = None) -> Embedded: ...

        @overload
        def embed(self, data: Any, *, what: str = "h", split: str | None = None, **how: Any) -> Vectors: ...


@or_model
def load(run: str | Path, data: Any = None, *, setup: Setup | None = None, trust_code: bool = False) -> Loaded:
    """Loads a run: rebuilds it from its recipe, or from the record that `mv.fit` wrote.

    The weights are those of the newest whole checkpoint, or of the best one with `--keep best`.

    Args:
        run: the run folder; its folder `model`, or `hf:OWNER/NAME` of the Hugging Face hub, gives a
            `PortableModel` without data.
        data: a store, a folder, or data in memory as `mv.fit` takes it, to use instead of the data
            that the run was trained on. Views keep the mean and std of the training.
        setup: the setup that `mv.fit` trained, for a run with a part that is no plugin, such as a
            network of your own. Its encoders stay as they are; the run gets copies.
        trust_code: run the Python file of a recipe that the folder names, although you have never
            trained with that file here. Read the file first.

    What is unusual is printed to standard error and kept in `Trained.notes`.

    Raises:
        MultiviewError: the folder is no run, its recipe is missing, or no checkpoint is whole.

    Example:
        >>> trained = mv.load("runs/lab")
        >>> trained.steps
        1
    """
    folder = Path(run)
    recipe = recipe_of(folder, trust_code=trust_code)
    saved, own = newest(result_folder(folder)), _own_data(folder)
    read = partial(open_data, cache=Path(recipe.cache), cache_size=recipe.cache_size)
    its_own = partial(read, mix=recipe.mix)
    store = _own_store(own, folder, its_own) if data is None else _opened(data, read, recipe.group)
    torch.manual_seed(recipe.seed)
    built = tuned(_built(recipe, folder, setup), weights=False)
    known, notes = _with_own_statistics(built, saved, None if data is None else own, read)
    setup = with_statistics(known, store, Situation(saved.state["samples"], recipe.train.batch))
    said = (*saved.refused, *notes, *_others(data, known, setup), *_unfinished(saved, folder))
    model = MultiviewModel({name: copy.deepcopy(encoder) for name, encoder in setup.encoders.items()}, setup.graph)
    _load_weights(model, saved, folder)
    trained = Trained(setup, model, store, folder, saved.state["step"], notes=said, group=recipe.group)
    trained = replace(trained, other_data=_other_data(data, store, folder))
    for note in said:
        print(f"note: {note}", file=sys.stderr)
    return cast("Loaded", trained)


def _others(data: Any, known: Setup, setup: Setup) -> list[str]:
    """Notes on modalities of given data that have other names than those of the training."""
    return [] if data is None else other_notes(known.views, setup.views)


def _load_weights(model: MultiviewModel, saved: Checkpoint, folder: Path) -> None:
    try:
        model.load_state_dict(saved.tensors["model"])
    except (RuntimeError, KeyError) as error:
        raise MultiviewError(
            f"the weights in {folder} do not fit its recipe or setup, which has changed since the run: {error}"
        ) from error
    model.eval()


def _other_data(data: Any, store: Store, folder: Path) -> str:
    """The words for data that the run was not trained on; empty for the run's own data."""
    if data is None or store.manifest.hash == environment(folder)["data"].get("manifest"):
        return ""
    return "data in memory" if is_in_memory(data) else str(data)


def _own_store(own: str, folder: Path, read: Callable[..., Store]) -> Store:
    """The data that the run was trained on. Raises MultiviewError when it is there no more."""
    try:
        return read(own)
    except MultiviewError as error:
        made = own == MEMORY or own.split(":")[0] in (*GENERATED, HF) or is_address(own)
        if made or Path(own.removeprefix(f"{FOLDER}:")).exists():
            raise
        raise MultiviewError(
            f"the data that {folder} was trained on is not there: {error} If it was moved, name its new place: "
            f"mv.load({str(folder)!r}, data='PLACE') in Python, or --data PLACE for a command."
        ) from error


def _opened(data: Any, read: Callable[..., Store], group: str | None) -> Store:
    return open_memory(data, group=group) if is_in_memory(data) else read(str(data))


def _built(recipe: Recipe, folder: Path, setup: Setup | None) -> Setup:
    """The setup that is given, else that of the recipe, else that of the record in the folder."""
    if setup is None and environment(folder)["recipe"] is not None:
        return recipe.build()
    return with_initial(setup or setup_from(folder), folder)


def _with_own_statistics(
    setup: Setup, saved: Checkpoint, own: str | None, read: Callable[..., Store]
) -> tuple[Setup, list[str]]:
    """The setup with the mean and std that its views had in training, and notes for the user.

    own: the data of the run when other data is read; None when the run's own data is read.
    """
    records = views_of(saved.path).get("views", {})
    known = {name: _recorded(view, records[name]) for name, view in setup.views.items() if name in records}
    setup = replace(setup, views={**setup.views, **known})
    if own is None or len(known) == len(setup.views):
        return setup, []
    try:
        store = read(own)
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
        if facts["spec"] == MEMORY:
            return MEMORY
        there = Path(facts["path"]).exists() or len(stores_of(facts["path"])) > 1
        return str(facts["path"] if there else facts["spec"])


def _recorded(view: View, record: Mapping[str, Any]) -> View:
    """The view with the mean and std of its record."""
    with parsing("the record of a view in the checkpoint", "Use another checkpoint."):
        mean, std = from_plain(record["mean"]), from_plain(record["std"])
        return replace(view, mean=mean or view.mean, std=std or view.std)


def _unfinished(saved: Checkpoint, folder: Path) -> list[str]:
    step = saved.state["step"]
    if saved.path.parent != folder / CHECKPOINTS:  # the best checkpoint; the training went on
        names = [path.name.removeprefix("step-") for path in (folder / CHECKPOINTS).glob("step-*")]
        step = max([step, *(int(name) for name in names if name.isdigit())])
    steps = saved.state.get("steps", 0)
    go_on = f"To go on, give the same command with --resume --out {folder}."
    return [f"{folder} is at step {step} of {steps}: its training is not finished. {go_on}"] if step < steps else []
