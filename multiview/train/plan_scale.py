"""What `--plan` says of a run with more processes and samples than there are here.

All of it is arithmetic on sizes; nothing is timed. The formula of each part stands beside the part;
docs/scale.md derives them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from multiview.config import Scale
from multiview.data.load.sampler import order_held
from multiview.data.store.columns import columns_held
from multiview.errors import MultiviewError
from multiview.graph import AnyEdge, ContrastGraph, needs_of_edge
from multiview.memory.memories import received_rows
from multiview.model import needs_of
from multiview.objectives.base import Situation
from multiview.objectives.needs import FLOAT, Needs
from multiview.train.prepare import Prepared


class Line(NamedTuple):
    """One number of bytes of a process, with how it is made."""

    what: str
    bytes: float
    how: str


class AtScale(NamedTuple):
    """What a process holds, what it receives in a step, and what an epoch reads.

    sample_bytes: stored bytes of one sample; None where the data is no store.
    """

    processes: int
    samples: int
    held: list[Line]
    received: list[Line]
    sample_bytes: float | None


def at_scale(prepared: Prepared, scale: Scale, batch: int) -> AtScale:
    """The sizes for `scale`. batch: of all processes. Raises MultiviewError when impossible."""
    processes = scale.processes or prepared.situation.ranks
    samples = int(scale.samples or prepared.situation.samples)
    if batch % processes or batch > samples:
        raise MultiviewError(
            f"a batch of {batch} cannot be shared by {processes} processes that train on {samples:,} samples; give "
            f"--batch {processes * max(1, batch // processes)} or another multiple of {processes}."
        )
    graph = _resolved(prepared, Situation(samples=samples, per_rank=batch // processes, ranks=processes))
    held = [*_memories(graph, samples, processes), *_model(prepared), *_data(prepared, samples)]
    received = list(_received(prepared, graph, batch, processes))
    return AtScale(processes, samples, held, received, _stored_bytes(prepared))


def _resolved(prepared: Prepared, situation: Situation) -> ContrastGraph:
    """The graph as it was asked for, with the sizes that fit the situation."""
    return (prepared.asked or prepared.setup.graph).resolved(situation)


def _stores(graph: ContrastGraph) -> dict[str, Needs]:
    """Every bank and queue once, by its name."""
    return {needs.store_name(view): needs for view, needs in needs_of(graph) if needs.memory is not None}


def _memories(graph: ContrastGraph, samples: int, processes: int) -> Iterator[Line]:
    for name, needs in _stores(graph).items():
        assert needs.memory is not None
        yield Line(name, *needs.memory.held(needs.projector.dim, samples, processes))


def _model(prepared: Prepared) -> Iterator[Line]:
    weights, learned = _weights(prepared)
    moments = prepared.train.optimizer.moments
    how = f"{weights:,} weights; {learned:,} learn, with gradient and {moments} number(s) of the optimiser"
    yield Line("model", FLOAT * (weights + learned * (1 + moments)), f"{how}; without activations")


def _weights(prepared: Prepared) -> tuple[int, int]:
    """The number of weights, and of those that learn."""
    parameters = list(prepared.model.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def _data(prepared: Prepared, samples: int) -> Iterator[Line]:
    yield Line("order", *order_held(prepared.train.order, samples))
    modalities = {view.modality for view in prepared.setup.views.values()}
    yield Line("columns", *columns_held(samples, len(modalities)))


def _received(prepared: Prepared, graph: ContrastGraph, batch: int, processes: int) -> Iterator[Line]:
    """Bytes that a process receives from others in a step."""
    others = batch - batch // processes
    learned = _weights(prepared)[1]
    share = 2 * (processes - 1) / processes
    yield Line("gradients", share * FLOAT * learned, f"ring all-reduce of {learned:,} numbers: 2 (W - 1) / W of them")
    for name, edge in graph.named_edges().items():
        yield _of_edge(name, edge, others)
    if stores := _stores(graph):
        each = received_rows(stores.values())
        yield Line("memories", others * each, f"{others:,} samples of others, {each} bytes: rows, presence, index")


def _of_edge(name: str, edge: AnyEdge, others: int) -> Line:
    """Bytes of the samples of others that an edge's loss and gradient need."""
    sides = needs_of_edge(edge)
    each = sum(needs.received for needs in sides)
    if not each:
        return Line(name, 0, "nothing: the negatives are here")
    split = any(needs.received for needs in sides if needs.memory is not None)
    how = "embeddings, sums; never rows" if split else "embeddings forward, gradients back (twice)"
    return Line(name, others * each, f"{others:,} samples of others, {each} bytes: {how}")


def _stored_bytes(prepared: Prepared) -> float | None:
    """Bytes of a sample in the shards, with the modalities that the run does not read."""
    shards = list(Path(prepared.store.path).glob("shard-*.h5"))
    return sum(shard.stat().st_size for shard in shards) / len(prepared.store) if shards else None
