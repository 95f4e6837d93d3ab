"""The files of a model folder, and the checks when it is read. Needs no PyTorch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from multiview.errors import MultiviewError
from multiview.files import sha256
from multiview.parsing import parsing, read_json

SCHEMA = 1
MODEL = "model.json"
CARD = "README.md"
VIEW = "view.json"
WEIGHTS = "model.safetensors"
HEADS = "heads.safetensors"
FOLDER = "model"
"""The name of the model folder in a run folder."""
REMEDY = "Copy the model folder again, or write it again from its run."
TAKEN = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)
"""Names that Windows keeps for devices."""
LONGEST = 60


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What `model.json` says about a model folder.

    Args:
        folder: where it is.
        folders: view -> name of its folder.
        edges: edge -> its views.
        data: where the training data came from, as `facts_of_data` writes it.
        run: facts of the run, for the reader of the file.
        digest: sha256 of weights and records; equal models have equal digests.
        fusions: name -> record of a fusion, see `save_fusions`.
    """

    folder: Path
    folders: Mapping[str, str]
    edges: Mapping[str, tuple[str, ...]]
    data: Mapping[str, Any]
    run: Mapping[str, Any]
    digest: str
    fusions: Mapping[str, Any] = field(default_factory=dict)

    def path(self, view: str) -> Path:
        """The folder of a view."""
        return self.folder / self.folders[view]


def is_model(folder: Path) -> bool:
    """Whether a folder holds a portable model."""
    return (folder / MODEL).is_file()


def folder_names(views: Iterable[str]) -> dict[str, str]:
    """view -> the name of its folder: the view's name where every file system takes it."""
    found: dict[str, str] = {}
    for view in views:
        name = re.sub(r"[^\w-]", "_", view, flags=re.ASCII)[:LONGEST] or "_"
        if name != view or TAKEN.fullmatch(name) or name.casefold() in {each.casefold() for each in found.values()}:
            name = f"{name}-{hashlib.sha256(view.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
        found[view] = name
    return found


def index(
    folder: Path, folders: Mapping[str, str], edges: Mapping[str, tuple[str, ...]], **facts: Mapping[str, Any]
) -> str:
    """The text of `model.json` for the files that are in `folder`."""
    paths = sorted(path for name in set(folders.values()) for path in (folder / name).rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): sha256(path) for path in paths if path.name != CARD}
    plain = {"views": dict(folders), "edges": {name: list(views) for name, views in edges.items()}}
    return json.dumps({"schema": SCHEMA, "digest": _digest(plain, files), **plain, **facts, "files": files}, indent=1)


def read_layout(folder: Path) -> Layout:
    """Reads `model.json` and checks every file of the folder.

    Raises MultiviewError when the folder is no model, of a newer version, or damaged.
    """
    if not is_model(folder):
        raise MultiviewError(
            f"{folder} is no model: it has no {MODEL}. Give the folder `{FOLDER}` of a run, or a copy of it."
        )
    content = read_json(folder / MODEL, REMEDY)
    with parsing(str(folder / MODEL), REMEDY):
        _require_known(content["schema"], folder)
        layout = _layout(folder, content)
        _require_whole(folder, content["files"])
    return layout


def _require_known(schema: Any, folder: Path) -> None:
    if isinstance(schema, int) and schema > SCHEMA:
        raise MultiviewError(
            f"the model in {folder} has schema {schema}, this version reads up to {SCHEMA}: type "
            "pip install --upgrade multiview-cmc."
        )


def _layout(folder: Path, content: Mapping[str, Any]) -> Layout:
    folders, files = content["views"], content["files"]
    edges = {name: tuple(views) for name, views in content["edges"].items()}
    _require_inside(folders.values(), files)
    if content["digest"] != _digest({"views": folders, "edges": content["edges"]}, files):
        raise ValueError("its digest is wrong")
    facts: dict[str, Any] = {"data": dict(content["data"]), "run": dict(content["run"]), "digest": content["digest"]}
    facts["fusions"] = dict(content.get("fusions", {}))
    return Layout(folder=folder, folders=folders, edges=edges, **facts)


def _require_inside(folders: Iterable[str], files: Iterable[str]) -> None:
    """Raises ValueError or TypeError for a name that leads out of the model folder."""
    for name in [*folders, *files]:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"{name!r} is no name of a file in this folder")
    if any(len(Path(name).parts) != 1 for name in folders):
        raise ValueError("the folder of a view is no name")


def _digest(plain: Mapping[str, Any], files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps([plain, files], sort_keys=True).encode()).hexdigest()


def _require_whole(folder: Path, files: Mapping[str, str]) -> None:
    """Raises MultiviewError unless every listed file is there, unaltered."""
    for name, expected in files.items():
        path = folder / name
        fault = "is missing" if not path.is_file() else "is damaged" if sha256(path) != expected else ""
        if fault:
            raise MultiviewError(f"the model in {folder} is not whole: {name} {fault}. {REMEDY}")
