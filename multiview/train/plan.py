"""What a run would do, before it does it: the text of --plan."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from rich.console import Console
from rich.table import Table
from torch.nn.modules.batchnorm import _BatchNorm

from multiview.config import Train
from multiview.graph import ContrastGraph
from multiview.memory.memories import Memories
from multiview.memory.queue import KeyQueue
from multiview.model import MultiviewModel
from multiview.objectives.base import Situation
from multiview.view import View

WORTH_SAYING = 0.005
"""Share of samples from which a note is worth a line."""


def show_plan(
    console: Console,
    views: Mapping[str, View],
    shapes: Mapping[str, tuple[int, ...]],
    model: MultiviewModel,
    graph: ContrastGraph,
    memories: Memories,
    train: Train,
    facts: Mapping[str, str],
    situation: Situation,
) -> None:
    """Prints views and tensor shapes, encoders and parameters, edges and objectives, bytes of memories, the steps, and what to mind."""
    for title, table in (
        ("Views", views_table(views, shapes, train.batch)),
        ("Encoders", encoders_table(views, model)),
        ("Contrast graph", graph_table(graph, situation)),
        ("Memories", memories_table(memories)),
    ):
        console.print(f"\n{title}", style="bold")
        console.print(table)
    console.print("\nRun", style="bold")
    for name, value in facts.items():
        console.print(f"  {name:<12} {value}", highlight=False)
    for line in notes(model, memories, train, situation):
        console.print(f"\nNote: {line}", highlight=False, soft_wrap=True)


def views_table(views: Mapping[str, View], shapes: Mapping[str, tuple[int, ...]], batch: int) -> Table:
    """One row a view: what it reads, its unit and range, the tensor its encoder gets."""
    table = _table("view", "reads", "crop", "channels", "unit", "range", "tensor")
    for name, view in views.items():
        c = view.channels
        table.add_row(
            name,
            view.modality,
            view.crop.name,
            str(c.count),
            c.unit,
            f"{c.low:g} .. {c.high:g}",
            str((batch, *shapes[name])),
        )
    return table


def encoders_table(views: Mapping[str, View], model: MultiviewModel) -> Table:
    """One row an encoder: who uses it, its features and its parameters, with those of its projectors and predictors."""
    table = _table("encoder of", "used by", "kind", "features", "parameters", "heads")
    for owner in model.encoders:
        users = ", ".join(view for view in views if model.owners[view] == owner)
        heads = [*model.projectors.items(), *model.predictors.items()]
        named = {n.split("/", 1)[1]: m for n, m in heads if n.split("/", 1)[0] == owner}
        encoder = model.encoder(owner)
        text = ", ".join(f"{n} ({count_parameters(m):,})" for n, m in named.items())
        table.add_row(
            owner, users, type(encoder).__name__, str(encoder.features), f"{count_parameters(encoder):,}", text
        )
    return table


def graph_table(graph: ContrastGraph, situation: Situation) -> Table:
    """One row an edge: its views, its objective with every setting, its weight, and which share of the samples meet themselves as negatives."""
    table = _table("edge", "objective", "weight", "meets itself")
    for name, edge in graph.named_edges().items():
        table.add_row(name, str(edge.objective), f"{edge.weight:g}", share_text(edge.objective.meets_itself(situation)))
    return table


def share_text(share: float | None) -> str:
    """`28 %`, `1.3 %`; `-` where there is no memory of negatives."""
    return "-" if share is None else f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.1f} %"


def notes(model: MultiviewModel, memories: Memories, train: Train, situation: Situation) -> list[str]:
    """What works, but perhaps not as meant."""
    found = []
    for name, edge in model.graph.named_edges().items():
        share = edge.objective.meets_itself(situation) or 0.0
        if share >= WORTH_SAYING:
            found.append(
                f"edge {name}: {share_text(share)} of the samples meet themselves among their negatives, as in the original code. "
                f"{edge.objective.remedy('itself')}".rstrip()
            )
    for name, memory in memories.stores.items():
        if isinstance(memory, KeyQueue) and memory.size > situation.samples:
            found.append(
                f"queue {name} holds {memory.size:,} keys of {situation.samples:,} samples, each of them several times; "
                f"queue {situation.samples} or less holds none twice."
            )
    rows = min(train.micro_batch or situation.per_rank, situation.per_rank)
    if rows < situation.per_rank and any(isinstance(m, _BatchNorm) for m in model.modules()):
        found.append(
            f"batch norm will see {rows} samples at a time (micro_batch), not {situation.per_rank}: the gradient is that of the whole batch "
            "for networks without batch statistics only."
        )
    return found


def memories_table(memories: Memories) -> Table:
    """One row a bank, queue or key encoder, with its bytes."""
    table = _table("memory", "kind", "size")
    for name, size in memories.sizes().items():
        table.add_row(name, type(memories.stores[name]).__name__, bytes_text(size))
    for name, module in memories.key_encoders.items():
        table.add_row(name, "KeyEncoder", bytes_text(4 * count_parameters(module)))
    if not table.rows:
        table.add_row("none", "", "")
    return table


def count_parameters(module: torch.nn.Module) -> int:
    """Numbers that a module learns or copies."""
    return sum(p.numel() for p in module.parameters())


def bytes_text(size: float) -> str:
    """`1.5 MiB`."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.1f} {unit}" if unit != "B" else f"{size:.0f} B"
        size /= 1024
    return f"{size:.1f} GiB"


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
