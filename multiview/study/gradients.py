"""How the gradients of edges agree on the encoders that they train together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor, nn

from multiview.batch import Batch
from multiview.counter_rng import Draws
from multiview.recipe_origin import recipe_of
from multiview.run import loop_of
from multiview.train.gradcache import MicroBatch, encoded_again, encoded_as_leaves, encoded_keys, micro_batches
from multiview.train.loop import Loop
from multiview.train.prepare import prepare
from multiview.train.step import Parts, seen_views

BATCHES = 4

Leaves = list[Tensor]
"""The embeddings and predictions of a batch, in one order."""


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
        for encoder, pairs in cosines(loop, batch).items():
            for pair, value in pairs.items():
                found.setdefault(encoder, {}).setdefault(pair, []).append(value)
    return {encoder: {pair: round(fmean(x), 4) for pair, x in pairs.items()} for encoder, pairs in found.items()}


def cosines(loop: Loop, batch: Batch) -> dict[str, dict[str, float]]:
    """Encoder -> pair of edges -> cosine of their gradients, on one batch."""
    encoders = loop.parts.model.own_encoders()
    parameters = {name: [p for p in each.parameters() if p.requires_grad] for name, each in encoders.items()}
    found: dict[str, dict[str, float]] = {}
    for name, of in gradients(loop, batch, parameters).items():
        if pairs := {f"{a} | {b}": _cosine(of[a], of[b]) for a, b in combinations(of, 2)}:
            found[name] = pairs
    return found


def gradients(
    loop: Loop, batch: Batch, parameters: Mapping[str, Sequence[nn.Parameter]]
) -> dict[str, dict[str, Tensor]]:
    """Encoder -> edge -> the gradient of the edge's loss, as one vector, where there is one.

    As in training, a batch runs through the encoders in micro-batches (`gradcache`): first the
    gradient of each embedding, then that of the weights, one micro-batch after another.
    """
    parts, step = loop.parts, max(loop.step, 1)
    draws = Draws(loop.seed, step, batch.index.numpy(), "augment")
    views, present, known = seen_views(parts, batch.to(parts.accelerator.device), draws)
    micro = micro_batches(views, known, parts.micro_batch)
    parts.model.train()
    whole = encoded_as_leaves(parts.model, micro, draws)
    leaves = [*whole.z.values(), *whole.p.values()]
    keys, index = encoded_keys(parts.memories, micro, step), batch.index.to(parts.accelerator.device)
    inputs = parts.memories.edge_inputs(whole, keys, index, present, step, batch.index)
    edges = parts.graph.named_edges().items()
    losses = {name: edge.objective.scored(x).loss for (name, edge), x in zip(edges, inputs, strict=True)}
    wanted = {name: _of_leaves(loss, leaves) for name, loss in losses.items() if loss.requires_grad}
    return _of_weights(parts, micro, draws, wanted, parameters)


def _of_leaves(loss: Tensor, leaves: Leaves) -> list[Tensor | None]:
    return list(torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True))


def _of_weights(
    parts: Parts,
    micro: Sequence[MicroBatch],
    draws: Draws,
    wanted: Mapping[str, Sequence[Tensor | None]],
    parameters: Mapping[str, Sequence[nn.Parameter]],
) -> dict[str, dict[str, Tensor]]:
    """`gradients` from the gradients of the embeddings, by edge."""
    found: dict[str, dict[str, Tensor]] = {name: {} for name in parameters}
    for number, part in enumerate(micro):
        again = encoded_again(parts.model, part, draws, number)
        rows = [*again.z.values(), *again.p.values()]
        for edge, upstream in wanted.items():
            both = zip(rows, upstream, strict=True)
            pairs = [(x, grad[part.rows]) for x, grad in both if grad is not None and x.requires_grad]
            for name, own in parameters.items():
                if (gradient := _gradient(pairs, own)) is not None:
                    before = found[name].get(edge)
                    found[name][edge] = gradient if before is None else before + gradient
    return found


def _gradient(pairs: Sequence[tuple[Tensor, Tensor]], parameters: Sequence[nn.Parameter]) -> Tensor | None:
    """The gradient as one vector; None where the loss does not touch the encoder."""
    outputs, upstream = [x for x, _ in pairs], [grad for _, grad in pairs]
    if not outputs or not parameters:
        return None
    found = torch.autograd.grad(outputs, list(parameters), upstream, retain_graph=True, allow_unused=True)
    if all(x is None for x in found):
        return None
    return torch.cat(
        [torch.zeros_like(p).flatten() if x is None else x.flatten() for x, p in zip(found, parameters, strict=True)]
    )


def _cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))
