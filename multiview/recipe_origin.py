"""How a run finds its recipe again: by its installed name, or by the file that defines it."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import os
import re
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from multiview.errors import MultiviewError, printable
from multiview.files import replace_text
from multiview.options import parse
from multiview.plugins import find, installed, load
from multiview.recipe import Recipe
from multiview.runs import config, environment
from multiview.train.runfolder import CONFIG


def origin_of(recipe: type[Recipe]) -> dict[str, str] | None:
    """The installed name of a recipe, else its file and class; None for a class within another.

    A recipe has an installed name when the installed file is the recipe's own file, or an equal
    file: an edited copy is another recipe.
    """
    try:
        file = Path(inspect.getfile(recipe)).resolve()
    except (OSError, TypeError):  # a class of a notebook or of `python -c`
        return None
    if name := _installed_name(recipe, file):
        return {"name": name}
    found = file.suffix == ".py" and file.is_file() and "." not in recipe.__qualname__
    return {"file": str(file), "class": recipe.__qualname__} if found else None


def _installed_name(recipe: type[Recipe], file: Path) -> str | None:
    for plugin in installed("recipes"):
        module, _, attribute = plugin.target.partition(":")
        if attribute == recipe.__qualname__ and _is_same_file(file, module):
            unique = sum(other.name == plugin.name for other in installed("recipes")) == 1
            return plugin.name if unique else plugin.whole
    return None


def _is_same_file(file: Path, module: str) -> bool:
    """Whether `file` is the file of an installed module, or holds the same bytes."""
    try:
        spec = importlib.util.find_spec(module)
        if spec is None or not spec.origin:
            return False
        own = Path(spec.origin).resolve()
        return own == file or (own.stem == file.stem and own.read_bytes() == file.read_bytes())
    except (ImportError, OSError, ValueError):
        return False


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


def recipe_of(folder: Path, *, trust_code: bool = False) -> Recipe:
    """The recipe that wrote a run folder, with the options of that run.

    A run of `fit` has the options that every recipe has; its setup is in the record of the folder.

    trust_code: run the Python file that the folder names, although this user never trained with it.
    Raises MultiviewError when the folder is no run, or its recipe is missing or not trusted.
    """
    origin = environment(folder).get("recipe")
    config(folder)
    if origin is None:
        return parse(Recipe, ["--config", str(folder / CONFIG)], prog="mv.fit")
    prog = f"multiview train {origin['name']}" if "name" in origin else origin["file"]
    kind = _recipe_class(origin, folder, trust_code)
    return parse(kind, kind.as_options([*words_of_run(folder, kind)]), prog=prog)


def words_of_run(folder: Path, kind: type[Recipe]) -> list[str]:
    """The options of a run as words, with those that versions before the option did not note.

    Before runs noted how CMC draws its negatives, it drew them for each sample.
    """
    noted = config(folder)
    older = [f"--{name}={json.dumps(value)}" for name, value in kind.older.items() if name not in noted]
    banks = [name for name, value in noted.items() if isinstance(value, Mapping) and "z_momentum" in value]
    drawn = [f"--{name}.draw=sample" for name in banks if "draw" not in noted[name]]
    return ["--config", str(folder / CONFIG), *older, *drawn]


def remember(origin: dict[str, str] | None) -> None:
    """Notes, in a folder of the user, that the user has run the file of a recipe.

    A run folder may come from a stranger. The Python file that it names is run without a question
    only when this user has trained with that file before.
    """
    if origin is not None and "file" in origin:
        note = _note(Path(origin["file"]))
        with suppress(OSError, RuntimeError):  # a home that cannot be written: the user is asked later
            note.parent.mkdir(parents=True, exist_ok=True)
            replace_text(note, origin["file"] + "\n")


def _note(file: Path) -> Path:
    state = Path(os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser())
    return state / "multiview" / "recipes" / hashlib.sha256(str(file).encode("utf-8", "surrogateescape")).hexdigest()


def _require_trust(file: Path, folder: Path, trust_code: bool) -> None:
    """Raises MultiviewError unless the user has run the file before, or allows to run it."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    if trust_code or _note(file).is_file() or (main and Path(main).resolve() == file):
        return
    question = f"{printable(folder)} asks to run the Python code in {printable(file)}."
    if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty():
        print(f"{question} Read the file first. Run it? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return
    raise MultiviewError(
        f"{question} Nothing was run, because you have not trained with this file here. Read it, then give "
        "--trust_code, or trust_code=True to mv.load."
    )


def _recipe_class(origin: dict[str, str], folder: Path, trust_code: bool) -> type[Recipe]:
    if "name" in origin:
        return cast("type[Recipe]", load("recipes", origin["name"]))
    file = Path(origin["file"])
    if not file.is_file() or file.suffix != ".py":
        raise MultiviewError(
            f"{folder} was trained by the recipe in {file}, but that file is missing. Put the file back, or install "
            "the recipe as a plugin."
        )
    _require_trust(file.resolve(), folder, trust_code)
    return _class_in(file, origin)


def _class_in(file: Path, origin: dict[str, str]) -> type[Recipe]:
    """Runs the file, and gives the class of the recipe in it."""
    try:
        found = attrgetter(origin["class"])(_imported(file))
    except (Exception, SystemExit) as cause:  # whatever the file does
        raise MultiviewError(
            f"the recipe {origin.get('class')} cannot be loaded from {file}: {type(cause).__name__}: {cause}. Put the "
            "file back as it was when the run was trained."
        ) from cause
    if not (isinstance(found, type) and issubclass(found, Recipe)):
        raise MultiviewError(f"{origin['class']} in {file} is no Recipe; put the file back as it was.")
    return found


def _imported(file: Path) -> ModuleType:
    """The module in a file, under a name of its own: another file may have the same name."""
    name = f"{file.stem}_{hashlib.sha256(str(file.resolve()).encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
