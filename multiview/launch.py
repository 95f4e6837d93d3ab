"""Where a recipe starts, from the command line or from Python, and what it exits with."""

from __future__ import annotations

import inspect
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from itertools import pairwise
from multiprocessing import current_process
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from multiview import moved
from multiview.errors import MultiviewError, unknown_name
from multiview.options import parse
from multiview.origin import origin_of, short_name
from multiview.recipe import Recipe, Setup
from multiview.train.runfolder import CONFIG

if TYPE_CHECKING:
    from multiview.trained import Trained

__getattr__ = moved.names_of("launch")

R = TypeVar("R", bound=Recipe)

ARGUMENTS = "\n\nArgs:"
EXITS = (
    "Exits with 0 when done and with 2 for a mistake that its message explains. Ctrl-C, SIGTERM and SIGUSR1 finish the step, save a checkpoint "
    "and exit with 128 + the signal's number (130, 143, 138); --resume goes on from there."
)


def main(recipe: type[Recipe], argv: Sequence[str] | None = None) -> None:
    """Runs a recipe from command-line words and exits: 0 done, 2 a mistake that the message explains, 128 + n stopped by signal n.

    In a worker that imports the script while it starts, where the script has no `if __name__ == "__main__"`, it does nothing.
    """
    if getattr(current_process(), "_inheriting", False):
        return
    sys.exit(exit_code(recipe, sys.argv[1:] if argv is None else argv))


def exit_code(recipe: type[Recipe], argv: Sequence[str]) -> int:
    """What `main` exits with."""
    try:
        trained = start(chosen_by(recipe, argv), workers=0)
    except MultiviewError as error:
        return complain(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    return 128 + trained.stopped_by if trained is not None and trained.stopped_by else 0


def chosen_by(recipe: type[R], argv: Sequence[str]) -> R:
    """The recipe with its options from command-line words; with --resume, those of the run that is continued come before them."""
    prog = Path(sys.argv[0]).name
    about = f"{(inspect.getdoc(recipe) or '').split(ARGUMENTS)[0]}\n\n{EXITS}"
    read = partial(parse, recipe, prog=prog, description=about)
    named = [Path(out) / CONFIG for word, out in pairwise(_spelt_apart(argv)) if word == "--out"]
    if {"--resume", "--resume=true"} & set(argv) and named and named[-1].is_file():
        # Read at once: it says which options there are, where the run's objective is not the recipe's.
        chosen = read(["--config", str(named[-1]), *argv])
        if chosen.resume:
            return chosen
    chosen = read(argv)
    config = Path(chosen.out or "") / CONFIG
    return read(["--config", str(config), *argv]) if chosen.resume and chosen.out and config.is_file() else chosen


def _spelt_apart(argv: Sequence[str]) -> list[str]:
    """`--out=RUN` as `--out RUN`."""
    return [part for word in argv for part in (word.split("=", 1) if word.startswith("--out=") else [word])]


def complain(error: MultiviewError) -> int:
    """Prints one clear message, once even under several processes, and gives the exit code of a user's mistake."""
    if os.environ.get("RANK", "0") == "0":
        print(f"error: {error}", file=sys.stderr)
        if "ACCELERATE_MIXED_PRECISION" in os.environ:  # as its launcher sets for every script
            print("(What accelerate adds below says only that the recipe stopped.)", file=sys.stderr)
    return 2


def start(recipe: Recipe, workers: int = 1) -> Trained | None:
    """Trains and evaluates a recipe from Python, as its command line does; None after plan=True.

    workers: processes that make the store where there is none yet, 0 = one a core; a script that asks for more than one guards its own
    start with `if __name__ == "__main__"`.
    """
    from multiview.run import run

    return run(recipe, name=short_name(type(recipe)), origin=origin_of(type(recipe)), workers=workers)


def fit(setup: Setup, **options: Any) -> Trained:
    """Trains a setup from Python: `fit(Setup(views, encoders, graph), data="scenes", train=Train(epochs=10))`.

    options: the fields of `Recipe` (data, out, seed, train, resume, overwrite, evaluate, cache). The run folder is like any other, but
    without a recipe class `multiview evaluate` cannot rebuild the setup: evaluate through the returned `Trained`.
    """
    from multiview.run import run

    known = {field.name for field in fields(Recipe)} - {"plan"}
    for name in options:
        if name not in known:
            raise unknown_name("option of fit", name, known)
    return cast("Trained", run(Recipe(**options), name="run", origin=None, setup=setup))
