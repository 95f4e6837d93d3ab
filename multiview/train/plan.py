"""What a run would do, before it does it: the text of --plan."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from rich.console import Console
from rich.table import Table

from multiview.graph import ContrastGraph
from multiview.memory.memories import Memories
from multiview.model import MultiviewModel
from multiview.train.config import Train
from multiview.view import View


def show_plan(
    console: Console,
    views: Mapping[str, View],
    shapes: Mapping[str, tuple[int, ...]],
    model: MultiviewModel,
    graph: ContrastGraph,
    memories: Memories,
    train: Train,
    facts: Mapping[str, str],
) -> None:
    """Prints views and tensor shapes, encoders and parameters, edges and objectives, bytes of memories, and the steps."""
    for title, table in (
        ("Views", views_table(views, shapes, train.batch)),
        ("Encoders", encoders_table(views, model)),
        ("Contrast graph", graph_table(graph)),
        ("Memories", memories_table(memories)),
    ):
        console.print(f"\n{title}", style="bold")
        console.print(table)
    console.print("\nRun", style="bold")
    for name, value in facts.items():
        console.print(f"  {name:<12} {value}", highlight=False)


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


def graph_table(graph: ContrastGraph) -> Table:
    """One row an edge: its views, its objective with every setting, its weight."""
    table = _table("edge", "objective", "weight")
    for name, edge in graph.named_edges().items():
        table.add_row(name, str(edge.objective), f"{edge.weight:g}")
    return table


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
