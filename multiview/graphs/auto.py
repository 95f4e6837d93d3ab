"""Chooses a graph and the budget of a run from what a store holds, and says why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from multiview.config import LEAST_STEPS, Optimizer, Train
from multiview.errors import MultiviewError
from multiview.graphs.auto_views import LeftOut, Proposal, propose, size_of
from multiview.graphs.building import OWN, SHARED
from multiview.graphs.held import Holdings
from multiview.graphs.topology import edges_of
from multiview.graphs.values import Graph, GraphEdge
from multiview.graphs.windows import window_seconds
from multiview.objectives.base import Objective
from multiview.objectives.needs import Needs
from multiview.plugins import load
from multiview.plurals import counted
from multiview.view import Crop

LEAST = 4
"""Training samples that a view, and an edge, needs."""
MOST_FULL = 6
"""Views of which every pair is contrasted; of more views, the first one against all others."""
LARGEST_BANK = 1_000_000
"""Training samples up to which aligned views are contrasted by memory banks."""
WIDE, NARROW = (0.7, 1.0), (0.3, 1.0)
"""Share of the picture in a crop: of two different views, and of two crops of one view."""
BATCHES = ((20_000, 256), (2_000, 128), (500, 64), (0, 32))
"""From so many training samples on, samples per step."""
LEAST_EPOCHS = 20
FEW = 500
"""Training samples below which the temperature of pairs is higher: the negatives are few."""
TEMPERATURE, OF_FEW, OF_ONE_VIEW = 0.1, 0.2, 0.2


@dataclass(frozen=True)
class Reason:
    """One line of the report: what it is about, what was chosen, and why."""

    about: str
    chosen: str
    why: str


@dataclass(frozen=True)
class Choice:
    """A chosen graph with its budget, and the reasons."""

    graph: Graph
    train: Train
    reasons: tuple[Reason, ...]

    def with_options(self, crop: Crop, train: Train, samples: int) -> Choice:
        """The choice with the crop and the options of training that the user gave."""
        old = [each for each in self.reasons if each.about in ("crop", "window")]
        said = [each for each in self.reasons if each.about not in ("crop", "window", "budget")]
        if crop != self.graph.crop:
            length = f", {crop.seconds:g} s" if crop.seconds else ""
            old = [Reason("crop", f"{crop.size} px, {crop.scale[0]:g} to 1 of the area{length}", "named by you")]
        reasons = (*said, *old, *_about_train(train, samples))
        return Choice(replace(self.graph, crop=crop), train, reasons)

    def lines(self) -> list[str]:
        """The reasons as a table of text."""
        about = max(len(each.about) for each in self.reasons)
        chosen = min(44, max(len(each.chosen) for each in self.reasons))
        return [f"{each.about:<{about}}  {each.chosen:<{chosen}}  {each.why}" for each in self.reasons]


@dataclass(frozen=True)
class Wishes:
    """What the user says: objective of all edges, topology, all views, number of steps, batch."""

    objective: Objective | None = None
    topology: str | None = None
    views: tuple[Proposal, ...] = ()
    steps: int | None = None
    batch: int | None = None


def choose(holdings: Holdings, wishes: Wishes = Wishes()) -> Choice:
    """The graph of a store, the options of training, and a reason for each.

    Raises MultiviewError when nothing in the store can be contrasted.
    """
    views, left = (list(wishes.views), []) if wishes.views else propose(holdings.held, LEAST)
    views, edges, alone = _edges(views, holdings, wishes)
    left += alone
    if not edges:
        why = "; ".join(f"{each.name}: {each.why}" for each in left)
        raise MultiviewError(f"nothing here can be contrasted: {why or 'the store holds no modality'}.")
    own = any(len(set(edge.views)) == 1 for edge in edges)
    crop = _crop(views, own)
    graph = Graph(views={each.name: each.view for each in views}, edges=edges, crop=crop)
    train = train_of(holdings.samples, wishes.steps, wishes.batch)
    said = [
        *_about_views(views),
        *_about_edges(graph, views, holdings),
        *_about_crop(crop, views, own),
        *_about_train(train, holdings.samples),
        *(Reason(each.name, "left out", each.why) for each in left),
    ]
    return Choice(graph, train, tuple(said))


def _edges(
    views: Sequence[Proposal], holdings: Holdings, wishes: Wishes
) -> tuple[list[Proposal], tuple[GraphEdge, ...], list[LeftOut]]:
    """The views that an edge joins, the edges, and the views without one."""
    if wishes.topology:
        return list(views), _of_topology(views, holdings, wishes), []
    joined = [
        _edge(a, b, holdings.samples, wishes.objective)
        for a, b in pairs_of(views)
        if holdings.common(a.held.name, b.held.name) >= LEAST
    ]
    taken = {name for edge in joined for name in edge.views}
    single = [each for each in views if each.name not in taken]
    joined += [_self_edge(each, wishes.objective) for each in single if each.alone]
    left = [
        LeftOut(each.name, "one view has no second one to be contrasted with, and no augmentation makes another of it")
        for each in single
        if not each.alone
    ]
    return [each for each in views if each.name not in {one.name for one in left}], tuple(joined), left


def _of_topology(views: Sequence[Proposal], holdings: Holdings, wishes: Wishes) -> tuple[GraphEdge, ...]:
    """The edges of the topology that the user names; one of many views takes the common crop."""
    by_name = {each.name: each for each in views}
    edges = []
    for edge in edges_of(wishes.topology or "full", tuple(by_name)):
        if len(edge.views) > 2:
            edges.append(GraphEdge(edge.views, wishes.objective))
        elif len(set(edge.views)) == 1:
            edges.append(_self_edge(by_name[edge.views[0]], wishes.objective))
        else:
            a, b = (by_name[name] for name in edge.views)
            edges.append(_edge(a, b, holdings.samples, wishes.objective))
    return tuple(edges)


def pairs_of(views: Sequence[Proposal]) -> list[tuple[Proposal, Proposal]]:
    """Every pair of up to `MOST_FULL` views; of more, the view that most samples have with each."""
    if len(views) <= MOST_FULL:
        return list(combinations(views, 2))
    centre = max(views, key=lambda each: (each.held.present, len(each.held.changing)))
    return [(centre, each) for each in views if each is not centre]


def _edge(a: Proposal, b: Proposal, samples: int, objective: Objective | None) -> GraphEdge:
    """An edge between two views: a bank where pixels are aligned, else the batch."""
    aligned = bool(a.aligned) and _grids_agree(a, b)
    usual = _bank() if aligned and samples <= LARGEST_BANK else _of_pair(a, b, samples)
    chosen = objective or usual
    pictures = a.held.modality.spatial and b.held.modality.spatial
    return GraphEdge((a.name, b.name), chosen, crop=OWN if pictures and not reads_memory(chosen) else SHARED)


def _grids_agree(a: Proposal, b: Proposal) -> bool:
    """Whether the pixels of two views lie on each other: not those of two different pictures."""
    pictures = {each.held.name for each in (a, b) if each.kind in ("image", "video")}
    return bool(b.aligned) and len(pictures) < 2


def _of_pair(a: Proposal, b: Proposal, samples: int) -> Objective:
    """SimCLR with the negatives of the other view; between two series with linear projectors."""
    linear = {"hidden": 0} if are_series(a) and are_series(b) else {}
    return _in_batch(TEMPERATURE if samples >= FEW else OF_FEW, "cross", **linear)


def are_series(each: Proposal) -> bool:
    """Whether the view reads a time series."""
    return each.view.view == "series"


def _self_edge(each: Proposal, objective: Objective | None) -> GraphEdge:
    return GraphEdge((each.name, each.name), objective or _in_batch(OF_ONE_VIEW, "both"))


def _bank() -> Objective:
    return load("objectives", "cmc")(variant="softmax", temperature=0.1, draw="auto", start="encoded")


def _in_batch(temperature: float, negatives: str, **options: object) -> Objective:
    return load("objectives", "simclr")(temperature=temperature, negatives=negatives, **options)


def reads_memory(objective: Objective) -> bool:
    """Whether the negatives of an objective come from a bank or queue, and not from the batch."""
    needs = objective.needs()
    return any(each.memory is not None for each in ((needs,) if isinstance(needs, Needs) else needs))


def _crop(views: Sequence[Proposal], own: bool) -> Crop:
    """The geometry of all views."""
    sides = [each.held.side for each in views if each.held.modality.spatial]
    size = size_of(min(sides)) if sides else Crop().size
    timed = {each.held.name: each.held for each in views if each.held.modality.timed}
    return Crop(size=size, scale=NARROW if own and sides else WIDE, seconds=window_seconds(timed, own))


MEASURED = 10
"""How often a run is measured at most, beside its start; it is saved as often."""
LEAST_APART = 20
"""Steps between two measurements: a measurement takes as long as some steps."""


def train_of(samples: int, steps: int | None = None, batch: int | None = None) -> Train:
    """Epochs, batch and optimiser for so many training samples.

    steps: of the whole run, when the user gives them.
    batch: samples of a step, when the user gives them.
    """
    batch = min(batch or next(size for least, size in BATCHES if samples >= least), max(samples, 1))
    each = max(1, samples // batch)
    usual = max(LEAST_EPOCHS, -(-LEAST_STEPS // each))
    asked = usual if steps is None else -(-steps // each)
    epochs, often = None if steps else usual, max(-(-asked // MEASURED), -(-LEAST_APART // each))
    optimizer = Optimizer(name="adamw", lr=1e-3, warmup=max(1.0, asked / 20))
    return Train(epochs=epochs, steps=steps, batch=batch, optimizer=optimizer, knn_every=often, save_every=often)


def _about_views(views: Sequence[Proposal]) -> list[Reason]:
    return [
        Reason(
            each.held.name,
            f"view {each.name}" + (f", encoder of {each.view.share}" if each.view.share else _encoder(each)),
            each.why,
        )
        for each in views
    ]


def _encoder(each: Proposal) -> str:
    options = "".join(f" {name} {value:g}" for name, value in each.view.encoder_options.items())
    return f", {each.view.encoder}{options}" if each.view.encoder else ""


def _about_edges(graph: Graph, views: Sequence[Proposal], holdings: Holdings) -> list[Reason]:
    said = [Reason("edges", edge.label, _why_edge(edge)) for edge in graph.edges[:12]]
    if len(graph.edges) > len(said):
        said.append(Reason("edges", f"{len(graph.edges) - len(said)} more", "likewise"))
    if len(views) > MOST_FULL and len(graph.edges) == len(views) - 1:
        centre = graph.edges[0].views[0]
        why = f"{len(views)} views have {len(views) * (len(views) - 1) // 2} pairs: too many; --topology full takes all"
        said.append(Reason("topology", f"{centre} against all others", why))
    return [*said, *_about_absent(graph, views, holdings)]


def _about_absent(graph: Graph, views: Sequence[Proposal], holdings: Holdings) -> list[Reason]:
    """How many samples have a modality that some lack, and two that few have together."""
    count = {each.held.name: each.held.present for each in views}
    held = {each.name: each.held.name for each in views}
    pairs = dict.fromkeys(tuple(sorted({held[view] for view in edge.views})) for edge in graph.edges)
    both = {pair: holdings.common(*pair) for pair in pairs if len(pair) == 2}
    said = [f"{name}: {n} of {holdings.samples} samples have it" for name, n in count.items() if n < holdings.samples]
    said += [
        f"{' and '.join(pair)}: {n} of {holdings.samples} have both"
        for pair, n in both.items()
        if n < min(count[name] for name in pair)
    ]
    return [Reason("absent", each, "an edge learns from the samples that have its views") for each in said]


def _why_edge(edge: GraphEdge) -> str:
    if edge.objective is None:
        return "symile: all views at once"
    name = edge.objective.name
    if len(set(edge.views)) == 1:
        return f"{name}: one view, so two random crops of it share an encoder"
    if edge.crop == OWN:
        return f"{name}, own crops: a common crop would tell the pairs of a batch apart by its place"
    if reads_memory(edge.objective):
        return f"{name}, common crop: negatives from a memory have seen other crops"
    if getattr(edge.objective, "hidden", None) == 0:
        return f"{name}, linear projectors: sensors of one moment; negatives from the batch"
    return f"{name}: negatives from the batch"


def _about_crop(crop: Crop, views: Sequence[Proposal], own: bool) -> list[Reason]:
    said = []
    sides = [each.held.side for each in views if each.held.modality.spatial]
    if sides:
        why = f"pictures of {min(sides)} px" + ("; small crops, because two of one view must differ" if own else "")
        said.append(Reason("crop", f"{crop.size} px, {crop.scale[0]:g} to 1 of the area", why))
    if any(each.held.modality.timed for each in views):
        words = f"{crop.seconds:g} s" if crop.seconds else "whole length"
        lengths = ", ".join(f"{each.held.name} {each.held.seconds:.3g} s" for each in views if each.held.seconds)
        said.append(Reason("window", words, f"median lengths: {lengths}"))
    return said


def _about_train(train: Train, samples: int) -> list[Reason]:
    each = max(1, samples // train.batch)
    epochs = train.epochs_of(each)
    of_epochs = (epochs or 0) * each
    if epochs and of_epochs <= (train.steps or of_epochs):
        length = counted(epochs, "epoch"), counted(of_epochs, "step")
    else:
        steps = train.steps or 0
        length = counted(steps, "step"), f"{counted(steps, 'step')} are {steps / each:.3g} epochs"
    return [Reason("budget", f"{length[0]}, batch {train.batch}", f"{samples:,} training samples: {length[1]}")]
