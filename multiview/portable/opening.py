"""Opens any data for a portable model: reads files as the training data were read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.data.load.detect_source import detect_source
from multiview.data.load.memory import open_memory
from multiview.data.load.memory_columns import is_in_memory
from multiview.data.load.open_data import GENERATED, is_store, open_data
from multiview.data.load.sourcestore import FOLDER, SourceStore
from multiview.data.source import Source
from multiview.data.sources.sensors import Sensors
from multiview.data.store.reading import Store
from multiview.errors import MultiviewError, printable
from multiview.portable.matching import views_of
from multiview.portable.model import Column, PortableModel
from multiview.portable.naming import as_named
from multiview.view import View

BATCH = 256
"""Samples that are encoded at once, as in `Trained.embed`. Another number changes the last bits."""
CARRIED = (
    *("size", "resize", "max_megapixels", "store", "rate", "channels", "seconds", "fps", "frames", "text_bytes"),
    *("depth_scale", "disparity", "disparity_offset", "invalid", "normal_y", "mask_names", "depth_offset"),
    *("series_rate", "channel_axis", "window", "hop", "sensors"),
)
"""Options of a source that decide which values a file becomes."""
SAME_SOURCE = ("modalities", "label_column", "id_column", "split_column")
"""Options that are carried to data of the same source, where the data has such columns."""
CACHE = Path("data")


@dataclass(frozen=True)
class Opened:
    """Data that is open for a model.

    Args:
        model: the model.
        store: the data.
        views: the views that can be computed, as they read this store.
        columns: the vectors of every sample.
        batches: row numbers of the samples that are encoded together, split by split.
        left_out: a sentence for each view that has no vectors, unless views were named.
    """

    model: PortableModel
    store: Store
    views: Mapping[str, View]
    columns: tuple[Column, ...]
    batches: tuple[NDArray[np.int64], ...]
    left_out: tuple[str, ...] = ()

    @property
    def fused(self) -> dict[str, tuple[str, ...]]:
        """The fusions among the columns, and the views that are fused of these data."""
        names = dict.fromkeys(each.view for each in self.columns if each.view in self.model.fusions)
        views = {name: self.model.fusions[name].fusion.views for name in names}
        return {name: tuple(view for view in of if view in self.views) for name, of in views.items()}

    @property
    def shown(self) -> tuple[str, ...]:
        """The names of views and fusions that a sample may have or lack."""
        return (*self.views, *self.fused)

    @property
    def count(self) -> int:
        """The number of samples."""
        return sum(map(len, self.batches))


def open_for(
    model: PortableModel, spec: Any, *, what: str = "h", split: str | None = None, views: Sequence[str] | None = None
) -> Opened:
    """Opens data for a model; the arguments are those of `PortableModel.embed`."""
    model.columns(what, views)
    store = open_memory(spec) if is_in_memory(spec) else open_store(model.layout.data, str(spec))
    known, names = _read_and_named(model, store, views)
    left_out = tuple(_left_out(model, store, known)) if views is None else ()
    return Opened(model, store, known, model.columns(what, names), tuple(batches(store, split)), left_out)


def _left_out(model: PortableModel, store: Store, known: Mapping[str, View]) -> Iterator[str]:
    """Why a view has no vectors; the second crop of a view that is there is not missed."""
    read = {model.part(name).modality.name for name in known}
    for name, why in model.missing.items():
        yield f"left out the view {name}: {why}"
    for name in model.views:
        if (own := model.part(name).modality.name) not in read:
            yield f"left out the view {name}: {printable(store.name)} holds no '{own}'."


def _read_and_named(
    model: PortableModel, store: Store, wanted: Sequence[str] | None
) -> tuple[dict[str, View], tuple[str, ...]]:
    """The views that are read, and the names of views and fusions whose vectors are wanted.

    A fusion is there when the data hold any of its views.
    """
    asked = [name for name in model.fusions if wanted is None or name in wanted]
    plain = None if wanted is None else [name for name in wanted if name not in model.fusions]
    known = {} if plain == [] else views_of(model, store, plain)
    known = _once(model, known) if wanted is None else known
    shown = tuple(known)
    if wanted is not None and asked:
        fused = {view for name in asked for view in model.fusions[name].fusion.views}
        known |= {name: view for name, view in views_of(model, store, None).items() if name in fused}
    return known, (*shown, *(name for name in asked if any(v in known for v in model.fusions[name].fusion.views)))


def _once(model: PortableModel, known: Mapping[str, View]) -> dict[str, View]:
    """The views without second crops, whose vectors would be equal; a fusion may read them."""
    fused = {view for each in model.fusions.values() for view in each.fusion.views}
    return {name: view for name, view in known.items() if name in fused or name not in model.second_crops}


def open_store(data: Mapping[str, Any], spec: str) -> Store:
    """The samples that `spec` names; files are read with the options of the training data.

    data: what `facts_of_data` wrote. Nothing is written, except for data that is generated, such as
    `scenes`.
    """
    name = spec.removeprefix(f"{FOLDER}:")
    path = Path(name)
    if spec.split(":")[0] in GENERATED or not path.exists() or is_store(name):
        return open_data(spec, CACHE)
    recorded = data.get("source") == "sensors" and path.suffix.lower() in (".csv", ".tsv")
    source = Sensors() if recorded else detect_source(path)
    named = as_named(source, path, data)
    return _first_that_opens(source_like(named or source, data), path)


def _first_that_opens(sources: Sequence[Source], path: Path) -> Store:
    """The store of the first source that finds samples; the error of the last one else."""
    *first, last = sources
    for source in first:
        try:
            return SourceStore.of(source, path, type(source).__name__.lower())
        except MultiviewError:
            continue
    return SourceStore.of(last, path, type(last).__name__.lower())


def source_like(source: Source, data: Mapping[str, Any]) -> list[Source]:
    """The source with the options of the training data: first with its columns, then without."""
    names = {field.name for field in fields(source)}  # type: ignore[arg-type]
    known = {**_from_modalities(data.get("modalities", ())), **_given(data.get("options", {}), CARRIED)}
    if "missing" in names:
        known["missing"] = "keep"
    plain = replace(source, **{name: x for name, x in known.items() if name in names})  # type: ignore[type-var]
    if isinstance(plain, Sensors):
        return _with_rate(plain, data.get("modalities", ()))
    if type(source).__name__.lower() != data.get("source"):
        return [plain]
    same = {name: x for name, x in _given(data.get("options", {}), SAME_SOURCE).items() if name in names}
    if getattr(source, "modalities", None) is not None:  # the names of the folders decided
        same.pop("modalities", None)
    return [replace(plain, **same), plain] if same else [plain]  # type: ignore[type-var]


def _with_rate(source: Sensors, modalities: Sequence[Mapping[str, Any]]) -> list[Source]:
    """The source, which reads the rate from the times, then with the rate of the training data."""
    rates = {each["rate"] for each in modalities if each["kind"] == "series"}
    return [source, replace(source, rate=rates.pop())] if source.rate is None and len(rates) == 1 else [source]


def _given(options: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    given = {name: options[name] for name in names if options.get(name) is not None}
    return {name: tuple(x) if isinstance(x, list) else x for name, x in given.items()}


def _from_modalities(modalities: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Options that the training data decided: size of pictures, rate and channels of sound."""
    found: dict[str, Any] = {}
    for each in modalities:
        kind, shape = each["kind"], each["shape"]
        if kind == "image":
            found |= {"store": "encoded"} if each["encoding"] else {"size": shape[0]} if shape[0] == shape[1] else {}
        if kind == "audio":
            found |= {"rate": round(each["rate"]), "channels": shape[1] if len(shape) > 1 else 1}
        if kind == "text":
            found |= {"text_bytes": shape[0]}
        if kind == "series" and shape[0] > 0:
            found |= {"window": f"{shape[0] / each['rate']:.9f}s"}
    return found


def batches(store: Store, split: str | None) -> Iterator[NDArray[np.int64]]:
    """The rows of a split, or of all splits one after the other, in batches."""
    if split is not None:
        parts = [store.rows(split)]
    else:
        parts = [store.rows(name) for name in store.split_names]
        rest = np.ones(len(store), bool)
        rest[np.concatenate([np.empty(0, np.int64), *parts])] = False
        parts.append(np.flatnonzero(rest))
    for rows in parts:
        for start in range(0, len(rows), BATCH):
            yield rows[start : start + BATCH]
