"""How a run finds its recipe again: by its installed name, or by the file that defines it."""

from __future__ import annotations

import importlib.util
import inspect
import re
import shlex
import sys
from pathlib import Path
from typing import Any, cast

from multiview.errors import MultiviewError
from multiview.options import parse
from multiview.plugins import find, installed, load
from multiview.recipe import Recipe
from multiview.runs import environment
from multiview.train.runfolder import CONFIG


def origin_of(recipe: type[Recipe]) -> dict[str, str] | None:
    """The installed name of a recipe, else its file and class; None for a class without a file."""
    try:
        file = Path(inspect.getfile(recipe)).resolve()
    except (OSError, TypeError):  # a class of a notebook or of `python -c`
        return None
    for plugin in installed("recipes"):
        module, _, attribute = plugin.target.partition(":")
        if attribute == recipe.__name__ and (module == recipe.__module__ or file.stem == module.rsplit(".", 1)[-1]):
            return {"name": plugin.name}
    return {"file": str(file), "class": recipe.__name__} if file.suffix == ".py" else None


def short_name(recipe: type[Any]) -> str:
    """The installed name of a recipe, else the name of its file, else its class name."""
    origin = origin_of(recipe) or {}
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", recipe.__name__).lower()
    return origin.get("name") or (Path(origin["file"]).stem if "file" in origin else words)


def launch_target(recipe: type[Recipe]) -> str:
    """What follows `accelerate launch` to start the recipe: `-m MODULE`, or its file."""
    origin = origin_of(recipe)
    if origin is None:
        return "SCRIPT.py"
    if "file" in origin:
        return shlex.quote(origin["file"])
    plugin = find("recipes", origin["name"])
    module = plugin.target.partition(":")[0]
    return f"-m {module}" if module.startswith("multiview.") else f"-m multiview.cli train {origin['name']}"


def recipe_of(folder: Path) -> Recipe:
    """The recipe that wrote a run folder, with the options of that run.

    Raises MultiviewError when the folder is no run or its recipe cannot be found.
    """
    origin = environment(folder)["recipe"]
    if origin is None:
        raise MultiviewError(
            f"{folder} was trained from Python without a recipe class, so the run cannot be rebuilt from its folder. "
            "Evaluate the Trained that fit returned, or write the setup as a Recipe."
        )
    config = folder / CONFIG
    prog = f"multiview train {origin['name']}" if "name" in origin else origin["file"]
    return parse(_recipe_class(origin, folder), ["--config", str(config)], prog=prog)


def _recipe_class(origin: dict[str, str], folder: Path) -> type[Recipe]:
    if "name" in origin:
        return cast("type[Recipe]", load("recipes", origin["name"]))
    file = Path(origin["file"])
    spec = importlib.util.spec_from_file_location(file.stem, file) if file.is_file() else None
    if spec is None or spec.loader is None:
        raise MultiviewError(
            f"{folder} was trained by the recipe in {file}, but that file is missing. Put the file back, or install "
            "the recipe as a plugin."
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(file.stem, module)
    spec.loader.exec_module(module)
    return cast("type[Recipe]", getattr(module, origin["class"]))
