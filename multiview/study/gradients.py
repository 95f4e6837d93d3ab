"""How the gradients of edges agree on the encoders that they train together."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from multiview.batch import Batch
from multiview.counter_rng import Draws
from multiview.recipe_origin import recipe_of
from multiview.run import loop_of
from multiview.train.loop import Loop
from multiview.train.prepare import prepare
from multiview.train.step import seen_views

BATCHES = 4


def agreement(folder: Path) -> dict[str, dict[str, float]]:
    """Encoder -> `edge | edge` -> the mean cosine of their gradients, at the end of a run.

    The gradients of each edge's loss are taken on the same `BATCHES` batches of training samples,
    with the weights and memories of the newest checkpoint. -1: one edge undoes what the other
    learns; 0: they do not touch each other; 1: they ask for the same.
    """
    recipe = recipe_of(folder)
    prepared = prepare(recipe)
    loop = loop_of(prepared, recipe, folder)
    loop.resume()
    found: dict[str, dict[str, list[float]]] = {}
    for number, batch in enumerate(loop.loader.for_epoch(0, 0)):
        if number == BATCHES:
            break
        for encoder, pairs in _of_batch(loop, batch).items():
            for pair, value in pairs.items():
                found.setdefault(encoder, {}).setdefault(pair, []).append(value)
    return {encoder: {pair: round(fmean(x), 4) for pair, x in pairs.items()} for encoder, pairs in found.items()}


def _of_batch(loop: Loop, batch: Batch) -> dict[str, dict[str, float]]:
    """Encoder -> pair of edges -> cosine, on one batch."""
    losses = _losses(loop, batch)
    cosines = {}
    for name, encoder in loop.parts.model.own_encoders().items():
        parameters = [p for p in encoder.parameters() if p.requires_grad]
        there = {edge: x for edge, loss in losses.items() if (x := _gradient(loss, parameters)) is not None}
        pairs = {f"{a} | {b}": _cosine(there[a], there[b]) for a, b in combinations(there, 2)}
        if pairs:
            cosines[name] = pairs
    return cosines


def _losses(loop: Loop, batch: Batch) -> Mapping[str, Tensor]:
    """The loss of every edge, with its gradient."""
    parts, step = loop.parts, max(loop.step, 1)
    draws = Draws(loop.seed, step, batch.index.numpy(), "augment")
    views, present, _ = seen_views(parts, batch.to(parts.accelerator.device), draws)
    parts.model.train()
    embeddings = parts.model(views, present)
    keys = parts.memories.keys(views, present, step)
    inputs = parts.memories.edge_inputs(embeddings, keys, batch.index, present, step)
    edges = parts.graph.named_edges().items()
    return {name: edge.objective.scored(x).loss for (name, edge), x in zip(edges, inputs, strict=True)}


def _gradient(loss: Tensor, parameters: list[torch.nn.Parameter]) -> Tensor | None:
    """The gradient as one vector; None where the loss does not touch the encoder."""
    if not loss.requires_grad or not parameters:
        return None
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    if all(x is None for x in found):
        return None
    pairs = zip(found, parameters, strict=True)
    return torch.cat([torch.zeros_like(p).flatten() if x is None else x.flatten() for x, p in pairs])


def _cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))
