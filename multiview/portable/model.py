"""A portable model: stored values of each view in, features and embeddings out."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from multiview.batch import Batch
from multiview.data.load.crops import CropTransform
from multiview.data.modality import Modality
from multiview.encoder import Encoder
from multiview.errors import MultiviewError, printable, unknown_name
from multiview.fusion import FusedHead
from multiview.model import Projection
from multiview.portable.inputs import stored_values
from multiview.portable.layout import CARD, Layout
from multiview.view import View
from multiview.viewlayer import ViewLayer, present_views

if TYPE_CHECKING:
    from multiview.portable.vectors import Vectors

WHAT = ("h", "z")
FUSED_HEAD = "fused"
"""The head of the column of a fusion's embedding."""


@dataclass(frozen=True)
class ViewPart:
    """One view of a model.

    Args:
        view: the view, with mean and std of the training.
        modality: the stored modality that the view read in training.
        encoder: in evaluation mode.
        heads: projectors by name.
        edges: edge -> name of the view's projector in that edge.
    """

    view: View
    modality: Modality
    encoder: Encoder
    heads: Mapping[str, Projection]
    edges: Mapping[str, str]

    def repeats(self, other: ViewPart) -> bool:
        """Whether this view gives the vectors of the other one, and none that the other lacks."""
        same = self.encoder is other.encoder and self.heads.keys() <= other.heads.keys()
        return same and self.modality == other.modality and self.view.undrawn == other.view.undrawn


class Column(NamedTuple):
    """What one vector of a sample is: the features h of a view, or z behind one of its heads."""

    view: str
    head: str | None
    width: int


class PortableModel:
    """The encoders of a trained run without its data: `model["depth"](batch)` gives features.

    The batch holds stored values of the view's modality: uint8 images (n, H, W, 3), metres
    (n, H, W), int16 waveforms (n, samples), ... Samples of different sizes come as a list. The
    central crop, the conversion and the normalisation of the view are inside. The result is
    float32 (n, features) without gradient. `model.z["depth"](batch)` gives the embedding that was
    trained; a view with several projectors has one for each edge: `model.z["depth", "L-depth"]`.
    Where an edge fuses views, `model["fused"]({"photo": ..., "depth": ...})` takes any of them.

    Example:
        >>> trained = mv.load("runs/lab")
        >>> model = mv.load("runs/lab/model")
        >>> photos = trained.store.read([0, 1], "image")
        >>> model["L"](photos).shape[1] == trained.encoder("L").features
        True
        >>> model.z["L"](photos).shape
        torch.Size([2, 128])
    """

    def __init__(
        self,
        layout: Layout,
        parts: Mapping[str, ViewPart],
        missing: Mapping[str, str],
        fusions: Mapping[str, FusedHead] | None = None,
    ) -> None:
        self.layout, self.parts, self.missing = layout, dict(parts), dict(missing)
        self.fusions = dict(fusions or {})
        self.z = Embedding(self)

    @property
    def views(self) -> tuple[str, ...]:
        """The names of the views that can be computed here."""
        return tuple(self.parts)

    @property
    def second_crops(self) -> frozenset[str]:
        """The views NAME_2, NAME_3 that a graph made of its view NAME for a second crop.

        Nothing is drawn at random here, so their vectors are those of the view.
        """
        bases = {name: found[1] for name in self.parts if (found := re.fullmatch(r"(\w+)_\d+", name))}
        return frozenset(
            n for n, base in bases.items() if base in self.parts and self.parts[n].repeats(self.parts[base])
        )

    @property
    def folder(self) -> Path:
        """The folder of the model."""
        return self.layout.folder

    @property
    def digest(self) -> str:
        """sha256 of weights and records: equal models have equal digests."""
        return self.layout.digest

    @property
    def card(self) -> str:
        """The text of the model's README.md."""
        return (self.folder / CARD).read_text(encoding="utf-8")

    @property
    def device(self) -> torch.device:
        """Where the encoders are."""
        return next(next(iter(self.parts.values())).encoder.parameters()).device

    def part(self, view: str) -> ViewPart:
        """One view. Raises MultiviewError when it is unknown or cannot be built here."""
        if view in self.missing:
            raise MultiviewError(self.missing[view])
        if view not in self.parts:
            raise unknown_name("view of this model", view, self.parts)
        return self.parts[view]

    def encoder(self, view: str) -> Encoder:
        """The encoder of a view: float32 view tensors (n, channels, ...) -> h (n, features)."""
        return self.part(view).encoder

    def to(self, device: torch.device | str) -> PortableModel:
        """Moves the encoders and projectors to a device; returns the model."""
        for part in self.parts.values():
            for module in (part.encoder, *part.heads.values()):
                module.to(device)
        for fused in self.fusions.values():
            fused.to(device)
        return self

    def __getitem__(self, view: str) -> ViewFeatures:
        if view in self.fusions:
            return FusedFeatures(self, Column(view, None, self.fusions[view].width))
        part = self.part(view)
        return ViewFeatures(self, Column(view, None, part.encoder.features))

    def __repr__(self) -> str:
        return f"PortableModel({', '.join(self.views)}, from {self.folder})"

    def columns(self, what: str = "h", views: Sequence[str] | None = None) -> tuple[Column, ...]:
        """The vectors of every sample: h of each view, or z behind each projector of each view.

        Also those of each fusion, where views are fused: unless `views` leaves its name out.
        """
        if what not in WHAT:
            raise unknown_name("vector of a view", what, WHAT, "h are features, z is the embedding that was trained.")
        names = (*self.views, *self.fusions) if views is None else views
        parts = {name: self.part(name) for name in names if name not in self.fusions}
        fused = {name: self.fusions[name] for name in names if name in self.fusions}
        if what == "h":
            own = [Column(name, None, part.encoder.features) for name, part in parts.items()]
            return (*own, *(Column(name, None, each.width) for name, each in fused.items()))
        own = [Column(name, key, x.head.dim) for name, part in parts.items() for key, x in part.heads.items()]
        return (*own, *(Column(name, FUSED_HEAD, each.head.dim) for name, each in fused.items()))

    def column(self, view: str, edge: str | None = None) -> Column:
        """The z of a view in one edge; of its first edge when no edge is given."""
        if view in self.fusions:
            return Column(view, FUSED_HEAD, self.fusions[view].head.dim)
        part = self.part(view)
        if not part.heads:
            raise MultiviewError(f"view '{view}' has no embedding of its own; give {' or '.join(self.fusions)}.")
        if edge is not None and edge not in part.edges:
            raise unknown_name(f"edge of view '{view}'", edge, part.edges)
        head = part.edges[edge] if edge is not None else next(iter(part.edges.values()))
        return Column(view, head, part.heads[head].head.dim)

    @torch.no_grad()
    def vectors(self, batch: Batch, columns: Sequence[Column], views: Mapping[str, View]) -> dict[Column, Tensor]:
        """float32 (n, width) of each column, on the device of the model.

        views: the views of the columns as they read this batch.
        """
        batch = batch.to(self.device)
        tensors = ViewLayer(views).to(self.device)(batch)
        h = {name: self.parts[name].encoder(x) for name, x in tensors.items()}
        present = present_views(views, batch)
        return {each: self._vector(each, h, present).float() for each in columns}

    def _vector(self, column: Column, h: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """The vectors of one column from the features of the views."""
        if column.view in self.fusions:
            fused = self.fusions[column.view]
            given = {view: h[view] for view in fused.fusion.views if view in h}
            return fused.features(given, present) if column.head is None else fused(given, present)
        x = h[column.view]
        return x if column.head is None else self.parts[column.view].heads[column.head](x)

    def of_values(self, values: Mapping[str, Any], columns: Sequence[Column]) -> dict[Column, Tensor]:
        """The vectors of stored values, modality -> n samples. All views share one crop in time."""
        views = {each.view: self.parts[each.view].view for each in columns}
        modalities = {self.parts[name].modality.name: self.parts[name].modality for name in views}
        stored = {name: stored_values(modality, values[name]) for name, modality in modalities.items()}
        index = np.arange(len(next(iter(stored.values()))))
        reads: dict[Any, dict[str, Modality]] = {}
        for view in views.values():
            reads.setdefault(view.crop, {})[view.modality] = modalities[view.modality]
        crops = CropTransform({crop: tuple(read.values()) for crop, read in reads.items()}, train=False)(stored, index)
        return self.vectors(Batch(crops, torch.from_numpy(index), {}), columns, views)

    def embed(
        self,
        data: Any,
        *,
        what: str = "h",
        split: str | None = None,
        views: Sequence[str] | None = None,
        workers: int = 0,
    ) -> Vectors:
        """The vectors of all samples of a store, a folder of files, a manifest, ...

        Files are read as the training data were, and nothing is written beside them.

        Args:
            data: what `--data` or `mv.fit` takes: a path, or data in memory.
            what: `h` (features), or `z` (embeddings that were trained).
            split: one split (None = all samples, split by split).
            views: some of the views (None = all whose modality the data holds).
            workers: processes that read the data, 0 = this process.

        Raises MultiviewError when the data holds no modality of the model.
        """
        from multiview.portable.opening import open_for
        from multiview.portable.vectors import collect

        opened = open_for(self, data, what=what, split=split, views=views)
        for sentence in opened.left_out:
            print(f"note: {printable(sentence)}", file=sys.stderr)
        return collect(opened, workers)


class ViewFeatures:
    """Computes one vector of one view: stored values of n samples -> float32 (n, width)."""

    def __init__(self, model: PortableModel, column: Column) -> None:
        self.model, self.column = model, column

    def __call__(self, values: Any) -> Tensor:
        """See `PortableModel`. Raises MultiviewError for values of another dtype or shape."""
        modality = self.model.parts[self.column.view].modality
        return self.model.of_values({modality.name: values}, [self.column])[self.column]


class FusedFeatures(ViewFeatures):
    """Computes one vector of n samples from the stored values of any of the fused views."""

    def __call__(self, values: Any) -> Tensor:
        """values: view -> stored values of n samples, of one view or more; others are missing.

        Raises MultiviewError for an unknown view, and for values of another dtype or shape.
        """
        known = self.model.fusions[self.column.view].fusion.views
        if not isinstance(values, Mapping) or not values:
            raise MultiviewError(
                f"'{self.column.view}' fuses {', '.join(known)}; give a mapping with one or more of these views, such "
                f"as model['{self.column.view}']({{'{known[0]}': values}})."
            )
        for view in values:
            if view not in known:
                raise unknown_name(f"view of '{self.column.view}'", view, known)
        h = {view: self.model[view](x) for view, x in values.items()}
        if len({len(x) for x in h.values()}) > 1:
            raise MultiviewError(f"'{self.column.view}' needs as many samples of every view that is given.")
        with torch.no_grad():
            return self.model._vector(self.column, h, {view: torch.ones(len(x)).bool() for view, x in h.items()})


class Embedding:
    """The embeddings z of a model: `z[view]` or `z[view, edge]`, called like the model's views."""

    def __init__(self, model: PortableModel) -> None:
        self.model = model

    def __getitem__(self, name: str | tuple[str, str]) -> ViewFeatures:
        view, edge = (name, None) if isinstance(name, str) else name
        kind = FusedFeatures if view in self.model.fusions else ViewFeatures
        return kind(self.model, self.model.column(view, edge))
