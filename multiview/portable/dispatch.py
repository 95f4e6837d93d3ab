"""Lets one function load runs and portable models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

from multiview.errors import MultiviewError
from multiview.portable.hub import cached, is_on_hub
from multiview.portable.layout import FOLDER, is_model
from multiview.portable.read import read_model
from multiview.train.runfolder import ENVIRONMENT

P = ParamSpec("P")
R = TypeVar("R")


def or_model(load: Callable[P, R]) -> Callable[P, R]:
    """The function `load`, which now also reads model folders, and models of the hub.

    Its first argument is a folder, or `hf:OWNER/NAME`.
    """

    @wraps(load)
    def load_either(*args: P.args, **kwargs: P.kwargs) -> R:
        first = str(args[0] if args else kwargs.get("run", ""))
        folder = Path(first)
        if not is_model(folder) and not is_on_hub(first):
            _require_finished(folder)
            return load(*args, **kwargs)
        given = [name for name, value in kwargs.items() if name != "run" and value is not None and value is not False]
        _refuse(first, given or ["data"] * (len(args) - 1))
        return cast("R", read_model(folder if is_model(folder) else cached(first)))

    return load_either


def _require_finished(folder: Path) -> None:
    """Raises MultiviewError for the folder `model` of a run that has not written it yet."""
    run = folder.parent
    if folder.name == FOLDER and not folder.exists() and (run / ENVIRONMENT).is_file():
        raise MultiviewError(
            f"the run {run} has no model yet: training writes it at its end. Go on with the same command and --resume "
            f"--out {run}, or load what the run has learned until now: mv.load({str(run)!r})."
        )


def _refuse(folder: str, given: Sequence[str]) -> None:
    """Raises MultiviewError when options are given that only a run has."""
    if given:
        raise MultiviewError(
            f"{folder} is a model, which has no data of its own: leave out {given[0]}, and call model.embed(DATA). To "
            "load the run with its data, give the run folder."
        )
