"""Starts a recipe, from the command line or from Python."""

from __future__ import annotations

import inspect
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from itertools import pairwise
from multiprocessing import current_process
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar, Unpack, cast

from multiview import old_import_paths
from multiview.child import protect_children, protected_children
from multiview.config import OF_GRAPHS, Optimizer, Train
from multiview.errors import MultiviewError, Stopped, unknown_name
from multiview.exits import DONE, exit_code_of, stopped_by
from multiview.options import parse
from multiview.papers import is_graph_file
from multiview.plugins import load
from multiview.recipe import Recipe, Setup
from multiview.recipe_origin import launch_target, origin_of, remember, short_name, words_of_run
from multiview.train.runfolder import CONFIG, optimizer_of
from multiview.typed_length import with_typed_length

if TYPE_CHECKING:
    from multiview.graphs.values import Graph
    from multiview.trained import Trained

__getattr__ = old_import_paths.names_of("launch")

R = TypeVar("R", bound=Recipe)

ARGUMENTS = "\n\nArgs:"
EXITS = (
    "Exits with 0 when done and with 2 after a mistake that the message explains. Ctrl-C, SIGTERM, SIGUSR1 and a "
    "closed terminal (SIGHUP) finish the step, save a checkpoint and exit with 128 + the number of the signal "
    "(130, 143, 138, 129). --resume continues."
)


def main(recipe: type[Recipe], argv: Sequence[str] | None = None) -> None:
    """Runs a recipe with command-line options and exits.

    Exit codes: 0 done, 2 a mistake that the message explains, 128 + n stopped by signal n. Worker
    processes that import the script while they start do not run the recipe again.

    Args:
        recipe: the class of the recipe.
        argv: the options (default: those that the script was started with).

    Example:
        >>> from multiview.recipes.simclr import SimClrRecipe
        >>> mv.main(SimClrRecipe, ["--epochs", "0"])  # prints "error: epochs is 0; give 1 or more."
        Traceback (most recent call last):
        SystemExit: 2
    """
    if getattr(current_process(), "_inheriting", False):
        return
    protect_children()
    sys.exit(exit_code(recipe, sys.argv[1:] if argv is None else argv))


def exit_code(recipe: type[Recipe], argv: Sequence[str]) -> int:
    """Runs a recipe with command-line options; returns the exit code, see `main`."""
    return exit_code_of(lambda: train_from_words(recipe, argv))


def train_from_words(recipe: type[Recipe], argv: Sequence[str], prog: str | None = None) -> int:
    """Runs a recipe with command-line options; returns the exit code.

    `prog`: the words to type before `argv`, for help and errors; None = the name of the script.
    """
    try:
        trained = _start(parse_recipe(recipe, argv, prog), workers=0)
    except MultiviewError as error:
        error.args = (recipe.explained(argv, str(error)), *error.args[1:])
        raise
    return stopped_by(trained.stopped_by) if trained is not None else DONE


def named(name: str, words: Sequence[str]) -> tuple[type[Recipe], list[str]]:
    """The recipe of this name with its words; a graph file is the first word of `graph`.

    Raises MultiviewError, with the nearest name, when there is no such recipe.
    """
    if is_graph_file(name):
        return load("recipes", "graph"), [name, *words]
    return load("recipes", name), [*words]


def parse_named(name: str, words: Sequence[str], prog: str) -> Recipe:
    """`parse_recipe` for the name of a recipe or a graph file."""
    return parse_recipe(*named(name, words), prog)


def parse_recipe(recipe: type[R], argv: Sequence[str], prog: str | None = None) -> R:
    """The recipe with the options in `argv`; --resume takes the other options from the run."""
    several = f"`accelerate launch {launch_target(recipe)} [options]` starts the same run in several processes."
    about = f"{(inspect.getdoc(recipe) or '').split(ARGUMENTS)[0]}\n\n{several}\n\n{EXITS}"

    def read(words: Sequence[str]) -> R:
        return parse(
            recipe, with_typed_length(recipe.as_options(words)), prog=prog or Path(sys.argv[0]).name, description=about
        )

    configs = [Path(out) / CONFIG for word, out in pairwise(_split_out(argv)) if word == "--out"]
    if {"--resume", "--resume=true"} & set(argv) and configs and configs[-1].is_file():
        # Config first: the run's objective may have other options than the recipe's default.
        options = read([*words_of_run(configs[-1].parent, recipe), *argv])
        if options.resume:
            return options
    options = read(argv)
    file = Path(options.out or "") / CONFIG
    if not (options.resume and options.out and file.is_file()):
        return options
    return read([*words_of_run(file.parent, recipe), *argv])


def _split_out(argv: Sequence[str]) -> list[str]:
    """Splits `--out=RUN` into `--out RUN`."""
    return [part for word in argv for part in (word.split("=", 1) if word.startswith("--out=") else [word])]


def start(recipe: Recipe, workers: int = 1) -> Trained | None:
    """Trains and evaluates a recipe from Python; returns None when `recipe.plan` is set.

    Raises Stopped, which carries the half-trained run, when a signal stopped the training.

    Args:
        recipe: the recipe with its options.
        workers: processes that prepare the data when there is no store yet, 0 = one per core. With
            more than one, guard the script with `if __name__ == "__main__"`.
    """
    return _unless_stopped(_start(recipe, workers))


def _start(recipe: Recipe, workers: int) -> Trained | None:
    from multiview.data.load.open_data import require_there

    require_there(recipe.data)  # before torch is imported
    from multiview.run import run

    kind = type(recipe)
    origin = origin_of(kind)
    remember(origin)
    with protected_children():
        return run(recipe, name=short_name(kind), origin=origin, workers=workers, script=launch_target(kind))


def _unless_stopped(trained: Trained | None) -> Trained | None:
    """The run; raises Stopped when a signal ended it before its last step."""
    if trained is None or not trained.stopped_by:
        return trained
    raise Stopped(
        f"{signal.Signals(trained.stopped_by).name} stopped the run at step {trained.steps}; its checkpoint is in "
        f"{trained.folder}. Continue with resume=True and out={str(trained.folder)!r}. To use the half-trained "
        "encoders, catch mv.Stopped and read its `trained`.",
        trained,
    )


class SizedDataset(Protocol):
    """A dataset of PyTorch or Hugging Face, or a list: `data[number]` is a dict."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Any: ...


DataInMemory = Mapping[str, Any] | SizedDataset
"""What `fit` takes in place of a path; a data frame is a `SizedDataset` for a type checker."""


class FitOptions(TypedDict, total=False):
    """The keyword arguments of `fit`: fields of `Recipe`; `data` may also be in memory."""

    data: str | os.PathLike[str] | DataInMemory
    out: str | os.PathLike[str] | None
    seed: int
    resume: bool
    overwrite: bool
    evaluate: bool
    group: str | None
    target: tuple[str, ...] | None
    cache: str | os.PathLike[str]
    cache_size: str | None
    mix: str | None
    train: Train


def fit(setup: Setup | Graph, **options: Unpack[FitOptions]) -> Trained:
    """Trains a setup from Python.

    The run folder holds a record of the setup (`setup.json`), so that `mv.load`, `multiview
    evaluate` and `compare` work as for a recipe. A part that is no plugin cannot be recorded:
    `mv.load(run, setup=setup)` takes the setup again.

    Raises Stopped, which carries the half-trained run, when a signal (Ctrl-C, SIGTERM) stopped the
    training.

    Args:
        setup: views, encoders and graph; or a graph in words.
        options: fields of `Recipe`, such as data, out, seed, train, resume and evaluate. `data` may
            also be in memory: a dict of arrays or tensors, a data frame, or a dataset of dicts
            (docs/data.md). `mv.Graph` without an optimiser takes that of graph files, AdamW.

    Example:
        >>> views = {name: mv.views.rgb(mv.Crop(name=name, size=16)) for name in ("one", "two")}
        >>> encoders = {"one": mv.make_encoder("convnet", 3, width=0.25), "two": "one"}
        >>> setup = mv.Setup(views, encoders, mv.ContrastGraph.full(views, mv.SimCLR()))
        >>> train = mv.Train(steps=1, batch=8, knn_every=0)
        >>> trained = mv.fit(setup, data="scenes:40", train=train, evaluate=False)
        step 1/1 ...
        >>> trained.steps
        1
        >>> import torch
        >>> samples = [{"image": torch.zeros(3, 16, 16, dtype=torch.uint8)} for _ in range(40)]
        >>> mv.fit(setup, data=samples, train=train, evaluate=False).steps
        'image' (3, 16, 16) is taken ...
        1
    """
    from multiview.run import run

    known = FitOptions.__annotations__
    for name in options:
        if name not in known:
            raise unknown_name("option of fit", name, known, _options_of_training(name))
    setup = _as_setup(setup)
    data, plain = _without_data(options)
    recipe = _with_optimiser_of_graphs(Recipe(**plain), setup)
    with protected_children():
        return cast("Trained", _unless_stopped(run(recipe, name="run", origin=None, setup=setup, data=data)))


def _as_setup(given: Setup | Graph) -> Setup:
    """The setup; that of a graph in words. Raises MultiviewError for anything else."""
    from multiview.graphs.values import Graph

    setup = given.setup() if isinstance(given, Graph) else given
    if not isinstance(setup, Setup):
        raise MultiviewError(f"setup is a {type(setup).__name__}; give mv.Setup(views, encoders, graph).")
    return setup


def _with_optimiser_of_graphs(recipe: Recipe, setup: Setup) -> Recipe:
    """The recipe with the optimiser of graph files, where none was given for a graph in words.

    A resumed run keeps the optimiser that it recorded.
    """
    if setup.source is None or recipe.train.optimizer is not Train.optimizer:
        return recipe
    recorded = optimizer_of(Path(recipe.out)) if recipe.resume and recipe.out else None
    return replace(recipe, train=replace(recipe.train, optimizer=recorded or OF_GRAPHS))


def _without_data(options: FitOptions) -> tuple[Any, dict[str, Any]]:
    """The data in memory, None without such data, and the options of a recipe."""
    from multiview.data.load.memory import SPEC
    from multiview.data.load.memory_columns import check_data, is_in_memory

    plain = cast("dict[str, Any]", dict(options))
    data = plain.get("data", SPEC)
    if not is_in_memory(data):
        return None, plain
    check_data(data)
    return data, plain | {"data": SPEC}


def _options_of_training(name: str) -> str:
    """Where an option of `Train` or `Optimizer` belongs."""
    if name in {field.name for field in fields(Train)}:
        return f"It is an option of training: fit(setup, train=mv.Train({name}=...))."
    if name in {field.name for field in fields(Optimizer)}:
        return f"It is one of the optimiser: fit(setup, train=mv.Train(optimizer=mv.Optimizer({name}=...)))."
    return ""
