"""What a drawing of a graph shows: views, encoders, edges and memories, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from multiview.files import size_text
from multiview.graph import AnyEdge, needs_of_edge
from multiview.objectives.base import Objective
from multiview.objectives.needs import Needs
from multiview.recipe import Setup
from multiview.tuning import Tuning
from multiview.view import View

if TYPE_CHECKING:
    from multiview.memory.memories import Memories
    from multiview.model import MultiviewModel

DATA = "depends on data"


@dataclass(frozen=True)
class ViewFact:
    """A view: what it reads, its channels, the shape of its tensor, and its random draw."""

    name: str
    reads: str
    channels: str
    shape: str
    crop: str


@dataclass(frozen=True)
class EncoderFact:
    """An encoder, once: its views, kind, width of h, parameters, and how it learns."""

    name: str
    views: tuple[str, ...]
    kind: str
    features: int
    parameters: int
    learns: str


@dataclass(frozen=True)
class EdgeFact:
    """An edge: its views, objective, options that are not the default, weight and memories."""

    name: str
    views: tuple[str, ...]
    objective: str
    options: str
    weight: str
    memories: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """All that a drawing shows."""

    views: tuple[ViewFact, ...]
    encoders: tuple[EncoderFact, ...]
    edges: tuple[EdgeFact, ...]


def facts_of(
    setup: Setup,
    model: MultiviewModel,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    memories: Memories | None = None,
) -> Facts:
    """The facts of a setup; without `shapes` and `memories` some depend on data."""
    return Facts(
        views=tuple(_view(name, view, shapes) for name, view in setup.views.items()),
        encoders=tuple(_encoder(name, setup, model) for name in model.own_encoders()),
        edges=tuple(_edge(name, edge, memories) for name, edge in setup.graph.named_edges().items()),
    )


def _view(name: str, view: View, shapes: Mapping[str, tuple[int, ...]] | None) -> ViewFact:
    count = view.channels.count
    channels = f"{count} {'channel' if count == 1 else 'channels'}, {view.channels.unit}"
    known = {"channels": count, "height": view.crop.size, "width": view.crop.size}
    sizes = shapes[name] if shapes else tuple(known.get(axis, axis) for axis in view.axes)
    return ViewFact(name, view.modality, channels, f"({', '.join(map(str, sizes))})", view.crop.name)


def _encoder(name: str, setup: Setup, model: MultiviewModel) -> EncoderFact:
    encoder = model.encoder(name)
    users = tuple(view for view in setup.views if model.owners[view] == name)
    made = encoder.made
    kind = (
        type(encoder).__name__
        if made is None
        else made.factory.rpartition(":")[2]
        if ":" in made.factory
        else made.factory
    )
    kind = f"{kind}:{made.model}" if made is not None and made.model else kind
    parameters = sum(p.numel() for p in encoder.parameters())
    return EncoderFact(name, users, kind, encoder.features, parameters, learns(setup.tuning.get(name, Tuning())))


def learns(tuning: Tuning) -> str:
    """`frozen, lr x 0.1`; empty for an encoder that learns in full."""
    said = [tuning.train] if tuning.train != "full" else []
    said += [f"lr x {tuning.lr_scale:g}"] if tuning.lr_scale != 1 else []
    said += [f"layer decay {tuning.layer_decay:g}"] if tuning.layer_decay != 1 else []
    said += [f"weight decay {tuning.weight_decay:g}"] if tuning.weight_decay is not None else []
    return ", ".join(said + ([f"from {tuning.weights}"] if tuning.weights else []))


def _edge(name: str, edge: AnyEdge, memories: Memories | None) -> EdgeFact:
    said: dict[str, str] = {}
    for view, needs in zip(edge.views, needs_of_edge(edge), strict=True):
        said |= _memories(view, needs, memories)
    return EdgeFact(
        name, edge.views, edge.objective.name, options_text(edge.objective), weight_text(edge), tuple(said.values())
    )


def weight_text(edge: AnyEdge) -> str:
    """`2`, or `2 x 0 .. 1 until 0.2 of the run (linear)` for an edge with a schedule."""
    if edge.schedule is None:
        return f"{edge.weight:g}"
    (low, high), until = edge.schedule.weight, edge.schedule.until
    when = f"{until:g} of the run" if until <= 1 else f"epoch {until:g}"
    return f"{edge.weight:g} x {low:g} .. {high:g} until {when} ({edge.schedule.shape})"


def _memories(view: str, needs: Needs, memories: Memories | None) -> dict[str, str]:
    """The bank, queue and key encoder that an edge reads of a view, each with its bytes."""
    said = {}
    if needs.memory is not None:
        name, width = needs.store_name(view), needs.projector.dim
        size = size_text(memories.sizes()[name]) if memories else needs.memory.size_words(width)
        said[name] = f"{needs.memory.words(view)}, {size}"
    if needs.keys is not None:
        said[f"{view} {needs.keys.name}"] = f"key encoder of {view}, momentum {needs.keys.momentum:g}"
    return said


def options_text(objective: Objective) -> str:
    """The options that are not the default: `temperature=0.1, dim=64`."""
    default: dict[str, Any] = {each.name: each.default for each in fields(objective)}
    changed = {name: getattr(objective, name) for name in default if getattr(objective, name) != default[name]}
    return ", ".join(f"{name}={value}" for name, value in changed.items())
