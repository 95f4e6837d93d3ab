"""The text of --plan: what a run would do."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from rich.table import Table
from torch.nn.modules.batchnorm import _BatchNorm

from multiview import old_import_paths
from multiview.config import Train
from multiview.data.load.identity import identity_of
from multiview.data.load.mixedbatches import mix_text
from multiview.files import size_text
from multiview.graph import ContrastGraph
from multiview.graphs.facts import weight_text
from multiview.memory.memories import Memories
from multiview.model import MultiviewModel
from multiview.objectives.base import Situation
from multiview.plurals import counted
from multiview.recipe import Recipe
from multiview.setup import example_tensors
from multiview.train.checkpoint import any_saved, newest
from multiview.train.duration import amount, duration_text
from multiview.train.plan_scale import AtScale, Line, at_scale
from multiview.train.prepare import Prepared
from multiview.train.resumable import check_resumable, refuse_earlier_end
from multiview.train.runfolder import CHECKPOINTS, claim
from multiview.train.shared_crops import shared_crop_notes
from multiview.view import View

__getattr__ = old_import_paths.names_of("train.plan")

NOTED_SHARE = 0.005
"""A note is printed when for at least this share of samples the negatives include the sample."""


def show_plan(prepared: Prepared, recipe: Recipe) -> None:
    """Prints views, encoders, graph, memories, steps, and notes on what the user may not expect."""
    console, model, views = prepared.console, prepared.model, prepared.setup.views
    shapes = {name: tuple(x.shape[1:]) for name, x in example_tensors(prepared.samples, prepared.setup).items()}
    facts = _run_facts(prepared, recipe)
    for title, table in (
        ("Views", views_table(views, shapes, prepared.train.batch)),
        ("Encoders", encoders_table(views, model)),
        ("Contrast graph", graph_table(prepared.setup.graph, prepared.situation)),
        ("Memories", memories_table(prepared.memories)),
    ):
        console.print(f"\n{title}", style="bold")
        console.print(table)
    console.print("\nRun", style="bold")
    for name, value in facts.items():
        console.print(f"  {name:<12} {value}", highlight=False)
    if recipe.scale.asked:
        _show_scale(prepared, recipe)
    said = notes(model, prepared.memories, prepared.train, prepared.situation)
    for line in [*said, *shared_crop_notes(prepared.setup, recipe)]:
        console.print(f"\nNote: {line}", highlight=False, soft_wrap=True)


def _show_scale(prepared: Prepared, recipe: Recipe) -> None:
    """Prints what a process holds and receives with other numbers of processes and samples."""
    console, found = prepared.console, at_scale(prepared, recipe.scale, recipe.train.batch)
    where = f"{counted(found.processes, 'process', 'processes')} and {found.samples:,} samples"
    for title, lines in (("holds", found.held), ("receives in a step", found.received)):
        table = _table("what", "size", "made of")
        for line in [*lines, Line("together", sum(each.bytes for each in lines), "")]:
            table.add_row(line.what, size_text(line.bytes), line.how)
        console.print(f"\nWith {where}, a process {title}", style="bold")
        console.print(table)
    console.print(f"\n{_epoch_text(found, recipe.scale.bandwidth)}", highlight=False, soft_wrap=True)


def _epoch_text(found: AtScale, bandwidth: float) -> str:
    """How long all processes together read an epoch."""
    if found.sample_bytes is None:
        return "How long an epoch is read is not known, because the data is no store; prepare it first."
    whole = found.sample_bytes * found.samples
    return (
        f"An epoch reads {size_text(whole)}, {size_text(found.sample_bytes)} a sample: "
        f"{amount(whole / bandwidth / 1e9)} at {bandwidth:g} GB/s for all processes together."
    )


def _run_facts(prepared: Prepared, recipe: Recipe) -> dict[str, str]:
    train, processes = prepared.train, prepared.accelerator.num_processes
    rate = f"{train.optimizer.rate(train.batch):g}"
    facts = {
        "data": f"{prepared.store.name}, {len(prepared.samples):,} training samples",
        "steps": f"{prepared.steps:,} ({len(prepared.batches):,} per epoch), {train.batch} samples per step, "
        + counted(processes, "process", "processes"),
        "time": duration_text(prepared),
        "optimiser": f"{train.optimizer.name}, learning rate {rate}, {train.optimizer.schedule}",
        "precision": {"no": "float32"}.get(train.precision, train.precision),
        "device": str(prepared.accelerator.device),
        "out": recipe.out or "the next free folder under runs/",
    }
    if mixed := mix_text(prepared.store, prepared.batches):
        facts["mix"] = mixed
    if prepared.batches.windows is not None:
        facts["order"] = f"within {prepared.batches.windows.window} shards at a time (--order window)"
    if prepared.grouping is not None:
        facts["groups"] = prepared.grouping.fact()
    facts = {name: text for name, text in facts.items() if text}
    return facts | ({"resume": _resume_point(prepared, recipe)} if recipe.resume else {})


def _resume_point(prepared: Prepared, recipe: Recipe) -> str:
    """Where --resume would continue; raises MultiviewError when it could not."""
    folder = claim(recipe, "") / CHECKPOINTS
    if not any_saved(folder):
        return "no checkpoint yet: from the first step"
    saved = newest(folder)
    samples, batches = identity_of(prepared.samples, prepared.memories.codes), prepared.batches
    check_resumable(saved.state, samples, prepared.train.batch, prepared.train, batches.order)
    refuse_earlier_end(saved.state["step"], prepared.steps, len(batches))
    return f"from step {saved.state['step']:,} of {saved.path}"


def views_table(views: Mapping[str, View], shapes: Mapping[str, tuple[int, ...]], batch: int) -> Table:
    """One row per view: its modality, channels and range, and the tensor that its encoder gets."""
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
    """One row per encoder: its views, features and parameters, and the parameters of its heads."""
    table = _table("encoder of", "used by", "kind", "features", "parameters", "heads")
    for owner in model.own_encoders():
        users = ", ".join(view for view in views if model.owners[view] == owner)
        heads = [*model.projectors.items(), *model.predictors.items()]
        named = {n.split("/", 1)[1]: m for n, m in heads if n.split("/", 1)[0] == owner}
        encoder = model.encoder(owner)
        text = ", ".join(f"{n} ({count_parameters(m):,})" for n, m in named.items())
        table.add_row(owner, users, type(encoder).__name__, str(encoder.features), _parameters_text(encoder), text)
    return table


def _parameters_text(encoder: torch.nn.Module) -> str:
    """`11,176,512`, or `11,176,512 (0 learn)` when some are frozen."""
    count = count_parameters(encoder)
    learned = sum(p.numel() for p in encoder.parameters() if p.requires_grad)
    return f"{count:,}" if learned == count else f"{count:,} ({learned:,} learn)"


def graph_table(graph: ContrastGraph, situation: Situation) -> Table:
    """One row per edge: objective, weight with its schedule, samples in their own negatives."""
    table = _table("edge", "objective", "weight", "own negatives")
    for name, edge in graph.named_edges().items():
        table.add_row(name, str(edge.objective), weight_text(edge), share_text(edge.objective.meets_itself(situation)))
    return table


def share_text(share: float | None) -> str:
    """`28 %`, `1.3 %`; `-` for an objective without stored negatives."""
    return "-" if share is None else f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.1f} %"


def notes(model: MultiviewModel, memories: Memories, train: Train, situation: Situation) -> list[str]:
    """What would work, but perhaps not as the user means it."""
    texts = []
    for name, edge in model.graph.named_edges().items():
        share = edge.objective.meets_itself(situation) or 0.0
        if share >= NOTED_SHARE:
            texts.append(
                f"edge {name}: for {share_text(share)} of the samples, the negatives include the sample itself, as in "
                f"the paper's original code. {edge.objective.remedy('itself')}".rstrip()
            )
    texts += memories.notes(situation.samples)
    rows = min(train.micro_batch or situation.per_rank, situation.per_rank)
    if rows < situation.per_rank and any(isinstance(m, _BatchNorm) for m in model.modules()):
        texts.append(
            f"batch norm will see {counted(rows, 'sample')} at a time (micro_batch), not {situation.per_rank}. "
            "The gradient equals that of the whole batch only for networks without batch norm."
        )
    return texts


def memories_table(memories: Memories) -> Table:
    """One row per bank, queue and key encoder, with its size in bytes."""
    table = _table("memory", "kind", "size")
    for name, size in memories.sizes().items():
        table.add_row(name, type(memories.stores[name]).__name__, size_text(size))
    for name, module in memories.key_encoders.items():
        table.add_row(name, "KeyEncoder", size_text(4 * count_parameters(module)))
    if not table.rows:
        table.add_row("none", "", "")
    return table


def count_parameters(module: torch.nn.Module) -> int:
    """The number of parameters of a module."""
    return sum(p.numel() for p in module.parameters())


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
