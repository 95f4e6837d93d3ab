"""Writes the model folder of a trained run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiview.data.store.manifest import Manifest
from multiview.errors import MultiviewError
from multiview.files import refuse_link, sync
from multiview.graph import needs_of_edge
from multiview.model import MultiviewModel, Projection
from multiview.plugins import find
from multiview.portable.card import card_of_model, card_of_view
from multiview.portable.layout import CARD, FOLDER, MODEL, SCHEMA, VIEW, folder_names, index, is_model
from multiview.portable.networks import save_encoder, save_fusions, save_heads

if TYPE_CHECKING:
    from multiview.trained import Trained

PACKAGES = ("multiview-cmc", "torch", "torchvision", "torchaudio", "timm", "transformers", "kornia")


def write_model(trained: Trained, folder: Path | None = None) -> tuple[Path, list[str]]:
    """Writes the model folder (default: `RUN/model`); returns it, and notes on what it lacks."""
    folder = folder or Path(trained.folder or "") / FOLDER
    _require_free(folder)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        notes = _write(trained, draft)
        _put(draft, folder)
    except OSError as cause:
        raise MultiviewError(f"the model could not be written to {folder}: {cause}. Make room, and repeat.") from cause
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder, notes


def _require_free(folder: Path) -> None:
    refuse_link(folder)
    if folder.exists() and not is_model(folder) and any(folder.iterdir()):
        raise MultiviewError(f"{folder} is not empty and holds no model; move it away, and write the model again.")


def _put(draft: Path, folder: Path) -> None:
    """Gives the draft its name; an older model goes when the new one has the name."""
    old = draft.with_name(f"{draft.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    draft.rename(folder)
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _write(trained: Trained, draft: Path) -> list[str]:
    shutil.rmtree(draft, ignore_errors=True)
    graph, model = trained.setup.graph, trained.model
    folders, notes = folder_names(graph.drawn_once), []
    for view in folders:
        (draft / folders[view]).mkdir(parents=True)
        about = _write_view(trained, view, draft / folders[view])
        notes += _reason(view, about)
        owner = model.owners[view]
        _write_text(draft / folders[view] / CARD, card_of_view(view, about, folders[owner] if owner != view else None))
    run = {"name": trained.folder.name if trained.folder else "", "steps": trained.steps, "versions": _versions()}
    edges = {name: tuple(v for v in edge.views if v in folders) for name, edge in graph.named_edges().items()}
    facts = {"data": facts_of_data(trained.store.manifest), "run": run}
    if fusions := save_fusions(model, folders, draft):
        facts["fusions"] = fusions
    _write_text(draft / MODEL, index(draft, folders, edges, **facts))
    _write_text(draft / CARD, card_of_model(trained, folders, run))
    for path in [*draft.rglob("*"), draft]:
        sync(path)
    return notes


def _reason(view: str, about: Mapping[str, Any]) -> list[str]:
    """Why the view cannot be built from its record; nothing when it can."""
    reasons = [about[part]["reason"] for part in ("view", "encoder") if "reason" in about[part]]
    return [f"the view '{view}' cannot be loaded from {FOLDER} without your code: {why}." for why in reasons[:1]]


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _write_view(trained: Trained, view: str, folder: Path) -> dict[str, Any]:
    """Writes weights and record of one view; returns the record."""
    value = replace(trained.setup.views[view], augment=None, mask=None, distort=None)
    owner = trained.model.owners[view]
    heads, edges = _heads(trained.model, view)
    encoder = {"same": owner} if owner != view else save_encoder(trained.model.encoder(view), value, folder)
    about: dict[str, Any] = {"schema": SCHEMA, "name": view, "view": value.record(), "encoder": encoder}
    about |= {"modality": trained.store.modality(value.modality).as_plain()}
    about |= {"heads": save_heads(heads, folder), "z": edges, "packages": _packages(about)}
    (folder / VIEW).write_text(json.dumps(about, indent=1), encoding="utf-8")
    return about


def _heads(model: MultiviewModel, view: str) -> tuple[dict[str, Projection], dict[str, str]]:
    """The projectors of a view by name, and for each of its edges the name."""
    edges = {}
    heads = {}
    for name, edge in model.graph.named_edges().items():
        for each, needs in zip(edge.views, needs_of_edge(edge), strict=True):
            if each == view and name not in edges and needs.projector.fusion is None:
                edges[name] = needs.projector.name
                heads[needs.projector.name] = model.projector(view, needs.projector)
    return heads, edges


def _packages(about: Mapping[str, Any]) -> dict[str, str]:
    """The packages that register the view and the encoder: `{"encoder": "multiview-cmc"}`."""
    found = {}
    for part, group in (("view", "views"), ("encoder", "encoders")):
        name = about[part].get("name")
        if name:
            found[part] = find(group, name.partition(":")[0]).origin
    return found


def facts_of_data(manifest: Manifest) -> dict[str, Any]:
    """Where the data of a store comes from, as far as reading other files alike needs it."""
    origin = manifest.provenance
    return {
        "source": origin.source,
        "options": dict(origin.options),
        "manifest": manifest.hash,
        "samples": manifest.count,
        "splits": dict(manifest.splits),
        "classes": len(manifest.classes),
        "modalities": [each.as_plain() for each in manifest.modalities],
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
