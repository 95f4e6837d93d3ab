"""What `--plan` says of a run with more processes and samples than there are here.

All of it is arithmetic on sizes; nothing is timed. docs/scale.md derives the formulas.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from multiview.config import Scale
from multiview.data.load.window_order import EXACT_BELOW
from multiview.data.store.columns import LARGE
from multiview.errors import MultiviewError
from multiview.graph import AnyEdge, ContrastGraph, needs_of_edge
from multiview.memory.memories import store_name
from multiview.memory.split_bank import require_shared
from multiview.objectives.base import Situation
from multiview.objectives.needs import Bank, Needs, Queue
from multiview.ops.split_scores import STRATA, length
from multiview.train.prepare import Prepared

FLOAT, INDEX = 4, 8
"""Bytes of a number of an embedding, and of the number of a sample."""

ORDER_PEAK = 30
"""Bytes a sample while the order of an epoch is drawn, measured at 1e7 samples; then 8 are kept."""

MOMENTS = {"sgd": 1, "lars": 1, "adamw": 2}
"""Numbers that an optimiser keeps for each weight."""


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
    found: dict[str, Needs] = {}
    for edge in graph.named_edges().values():
        for view, needs in zip(edge.views, needs_of_edge(edge), strict=True):
            if needs.memory is not None:
                found.setdefault(store_name(view, needs), needs)
    return found


def _memories(graph: ContrastGraph, samples: int, processes: int) -> Iterator[Line]:
    for name, needs in _stores(graph).items():
        width, memory = needs.projector.dim, needs.memory
        if isinstance(memory, Queue):
            each = FLOAT * width + INDEX
            yield Line(name, memory.size * each, f"{memory.size:,} keys of {each} bytes, on every process")
        elif isinstance(memory, Bank):
            each, rows = memory.row_bytes(width), samples
            if memory.split:
                require_shared(samples, processes)
                rows = length(0, samples) * (STRATA // processes)
            where = f"of {samples:,}; the others have the rest" if memory.split else "on every process"
            yield Line(name, rows * each, f"{rows:,} rows of {each} bytes, {where}")


def _model(prepared: Prepared) -> Iterator[Line]:
    weights, learned = _weights(prepared)
    moments = MOMENTS[prepared.train.optimizer.name]
    how = f"{weights:,} weights; {learned:,} learn, with gradient and {moments} number(s) of the optimiser"
    yield Line("model", FLOAT * (weights + learned * (1 + moments)), f"{how}; without activations")


def _weights(prepared: Prepared) -> tuple[int, int]:
    """The number of weights, and of those that learn."""
    parameters = list(prepared.model.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def _data(prepared: Prepared, samples: int) -> Iterator[Line]:
    order = prepared.train.order
    if order == "window" or (order == "auto" and samples >= EXACT_BELOW):
        yield Line("order", 0, "computed place by place, without a table of all samples")
    else:
        yield Line("order", INDEX * samples, f"{INDEX} bytes a sample; {ORDER_PEAK} while an epoch's order is drawn")
    modalities = len({view.modality for view in prepared.setup.views.values()})
    each = 3 * INDEX + modalities
    if samples >= LARGE:
        yield Line("columns", 0, "read shard by shard, unless an edge reads labels")
    else:
        yield Line("columns", each * samples, f"{each} bytes a sample: row, label (twice), presence of each modality")


def _received(prepared: Prepared, graph: ContrastGraph, batch: int, processes: int) -> Iterator[Line]:
    """Bytes that a process receives from others in a step."""
    others = batch - batch // processes
    learned = _weights(prepared)[1]
    share = 2 * (processes - 1) / processes
    yield Line("gradients", share * FLOAT * learned, f"ring all-reduce of {learned:,} numbers: 2 (W - 1) / W of them")
    for name, edge in graph.named_edges().items():
        yield _of_edge(name, edge, others)
    if stores := _stores(graph):
        widths = sum(FLOAT * needs.projector.dim + 1 for needs in stores.values())
        each = widths + 2 * INDEX
        yield Line("memories", others * each, f"{others:,} samples of others, {each} bytes: rows, presence, index")


def _of_edge(name: str, edge: AnyEdge, others: int) -> Line:
    """Bytes of the samples of others that an edge's loss and gradient need."""
    sides = needs_of_edge(edge)
    split = [n for n in sides if isinstance(n.memory, Bank) and n.memory.split]
    if split:
        draws = getattr(edge.objective, "draw", "sample") == "sample"
        each = sum(FLOAT * (2 * n.projector.dim + 6) + INDEX for n in split) + INDEX * draws
        return Line(name, others * each, f"{others:,} samples of others, {each} bytes: embeddings, sums; never rows")
    gathered = [n for n in sides if n.online and n.memory is None]
    each = sum(3 * FLOAT * n.projector.dim for n in gathered)
    how = "embeddings forward, gradients back (twice)" if gathered else "nothing: the negatives are here"
    return Line(name, others * each, f"{others:,} samples of others, {each} bytes: {how}" if gathered else how)


def _stored_bytes(prepared: Prepared) -> float | None:
    """Bytes of a sample in the shards, with the modalities that the run does not read."""
    shards = list(Path(prepared.store.path).glob("shard-*.h5"))
    return sum(shard.stat().st_size for shard in shards) / len(prepared.store) if shards else None
