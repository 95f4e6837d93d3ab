"""Compares a whole training step of `cmc_lab` with a step of its encoders alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from _measure import Row, medians, megabytes, milliseconds, peak_bytes
from accelerate import Accelerator
from torch import Tensor, nn

from multiview import CMC, Optimizer
from multiview.batch import Batch
from multiview.counter_rng import Draws
from multiview.memory.memories import Memories
from multiview.model import MultiviewModel
from multiview.objectives.base import Situation
from multiview.recipes.cmc_lab import CmcLab
from multiview.train.optimiser import make_optimiser
from multiview.train.step import Parts, contrast_step
from multiview.viewlayer import ViewLayer

BATCH, SIDE, ROWS, NEGATIVES = 128, 96, 100_000, 4096
SGD = Optimizer(name="sgd", lr=0.03)


def overhead(repeats: int = 5) -> Iterator[Row]:
    """The whole step with views, heads and banks, divided by encoders and optimiser alone."""
    parts, batch = whole()
    bare = bare_step(parts.layer(batch, draws(batch, 0)))
    steps = iter(range(1, 1000))

    def ours() -> None:
        step = next(steps)
        contrast_step(parts, batch, step, draws(batch, step))

    seconds = medians({"ours": ours, "bare": bare}, repeats)
    held, theirs = peak_bytes(ours), peak_bytes(bare)
    name = f"cmc_lab step, resnet18 x 2, {SIDE} px, B {BATCH}, K {NEGATIVES:,}"
    times = milliseconds(seconds["ours"]), milliseconds(seconds["bare"])
    share = seconds["ours"] / seconds["bare"]
    yield Row(work=name, what="time", ours=times[0], reference=times[1], ratio=share, target=1.10, at_most=True)
    yield Row(work="", what="peak", ours=megabytes(held), reference=megabytes(theirs), ratio=held / theirs)


def draws(batch: Batch, step: int) -> Draws:
    return Draws(0, step, batch.index.numpy())


def whole() -> tuple[Parts, Batch]:
    """The recipe's step on random pictures."""
    setup = CmcLab(encoder="resnet18", size=SIDE, objective=CMC(negatives=NEGATIVES)).build()
    graph = setup.graph.resolved(Situation(samples=ROWS, per_rank=BATCH))
    model = MultiviewModel(setup.encoders, graph)
    optimiser = make_optimiser(SGD, model, BATCH)
    memories = Memories(model, graph, ROWS, seed=0)
    layer, accelerator = ViewLayer(setup.views), Accelerator(cpu=True)
    parts = Parts(accelerator, graph, layer, model, model, memories, optimiser, ids=lambda index: index.tolist())
    crop = next(iter(setup.views.values())).crop.name
    pictures = torch.randint(256, (BATCH, 3, SIDE, SIDE), dtype=torch.uint8)
    present = {"image": torch.ones(BATCH, dtype=torch.bool)}
    return parts, Batch({crop: {"image": pictures}}, torch.randperm(ROWS)[:BATCH], present)


def bare_step(views: dict[str, Tensor]) -> Callable[[], None]:
    """The same encoders on the same view tensors: forward, backward and optimiser, nothing else."""
    encoders = nn.ModuleDict(CmcLab(encoder="resnet18", size=SIDE).build().encoders)
    optimiser = torch.optim.SGD(encoders.parameters(), lr=SGD.lr, momentum=SGD.momentum, weight_decay=SGD.weight_decay)

    def step() -> None:
        torch.stack([encoder(views[name]).sum() for name, encoder in encoders.items()]).sum().backward()
        optimiser.step()
        optimiser.zero_grad()

    return step
