"""Reads a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from multiview.data.modality import Modality
from multiview.encoder import Encoder
from multiview.errors import MultiviewError
from multiview.parsing import parsing, read_json
from multiview.plugins import installed
from multiview.portable.layout import REMEDY, VIEW, Layout, read_layout
from multiview.portable.model import PortableModel, ViewPart
from multiview.portable.networks import load_encoder, load_fusion, load_heads
from multiview.view import view_from


def read_model(folder: Path) -> PortableModel:
    """The model in a folder. Needs no data and no recipe, and runs no code but installed plugins.

    Raises MultiviewError when a file is damaged, when the folder is of a newer version, and when
    no view can be built; the message names the missing plugin.
    """
    layout = read_layout(folder.absolute())
    records = {view: _record(layout, view) for view in layout.folders}
    parts, missing = _parts(layout, records)
    if not parts:
        raise MultiviewError(next(iter(missing.values()), f"the model in {folder} has no view."))
    fusions = {name: load_fusion(record, layout.folder) for name, record in layout.fusions.items()}
    return PortableModel(layout, parts, missing, fusions)


def _parts(layout: Layout, records: Mapping[str, dict[str, Any]]) -> tuple[dict[str, ViewPart], dict[str, str]]:
    """The views that can be built, and for each of the others the reason."""
    parts, missing, encoders = {}, {}, {}
    for view, record in records.items():
        try:
            owner = record["encoder"].get("same", view)
            if owner not in encoders:
                encoders[owner] = _encoder(layout, records, owner)
            parts[view] = _part(layout, view, record, encoders[owner])
        except MultiviewError as cause:
            missing[view] = f"the view '{view}' of {layout.folder} cannot be built: {cause}{_remedy(record)}"
    return parts, missing


def _record(layout: Layout, view: str) -> dict[str, Any]:
    file = layout.path(view) / VIEW
    record = read_json(file, REMEDY)
    with parsing(str(file), REMEDY):
        for name in ("view", "encoder", "modality", "heads", "z"):
            if not isinstance(record[name], dict):
                raise TypeError(f"{name} is no mapping")
        if record["encoder"].get("same", view) not in layout.folders:
            raise ValueError("its encoder is that of an unknown view")
    return dict(record)


def _encoder(layout: Layout, records: Mapping[str, dict[str, Any]], owner: str) -> Encoder:
    return load_encoder(records[owner]["encoder"], layout.path(owner))


def _part(layout: Layout, view: str, record: Mapping[str, Any], encoder: Encoder) -> ViewPart:
    value = view_from(record["view"])
    with parsing(str(layout.path(view) / VIEW), REMEDY):
        fields = {**record["modality"], "shape": tuple(record["modality"]["shape"])}
        modality = Modality(**{**fields, "names": tuple(fields["names"])})
        edges = {str(edge): str(head) for edge, head in record["z"].items()}
    heads = load_heads(record["heads"], encoder.features, layout.path(view))
    return ViewPart(value, modality, encoder, heads, edges)


def _remedy(record: Mapping[str, Any]) -> str:
    """Which package to install, when a plugin of the record is not installed."""
    packages = record.get("packages", {})
    for part, group in (("view", "views"), ("encoder", "encoders")):
        name = str(record[part].get("name") or "").partition(":")[0]
        known = {text for plugin in installed(group) for text in (plugin.name, plugin.whole)}
        if name and name not in known and part in packages:
            return f" The {part} '{name}' is of the package {packages[part]}: pip install {packages[part]}"
    return ""
