"""The least that a step needs beside its encoders, each part alone and in PyTorch's fastest way.

Nothing here could be left out by a better program of the same mathematics: the kernel that resizes
each crop, the projectors and predictors, the products with the negatives and their gradients, the
fused optimiser, and the key encoder's lerp. Draws, conversion of colours, softmax, checks, health
and bookkeeping are not in it. The parts are measured one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from _floors import Floor, lerp, products
from torch import Tensor, nn

from multiview import CMC, MoCo, SimCLR
from multiview.config import Optimizer
from multiview.counter_rng import uniform
from multiview.data.load.windows import TRIES, draw_windows
from multiview.memory.key_encoder import KeyEncoder
from multiview.model import Projection
from multiview.train.loop import Loop
from multiview.train.prepare import Prepared
from multiview.view import Crop

LEAST = ("crops", "heads", "products", "optimiser", "key encoder")
"""The parts, in the order in which a table shows them."""


def least_of(prepared: Prepared, loop: Loop, block: Callable[[], None]) -> dict[str, Floor]:
    """The floor of each part. block: makes steps, which show what the heads are given."""
    parts = loop.parts
    keys = [each for each in parts.memories.modules() if isinstance(each, KeyEncoder)]
    return {
        "crops": crops(prepared),
        "heads": heads(parts.model, block, prepared.train.log_every),
        "products": with_negatives(prepared),
        "optimiser": optimiser(parts.model, prepared.train.optimizer),
        "key encoder": lerp(*(key.encoder for key in keys)) if keys else lambda: None,
    }


def crops(prepared: Prepared) -> Floor:
    """The kernel that resizes, on windows that were drawn and cut before."""
    pictures = np.asarray(prepared.store.read(np.arange(prepared.train.batch), "image"))
    cuts = [each for crop in prepared.samples.transform.reads for each in windows_of(crop, pictures)]

    def floor() -> None:
        for part, size in cuts:
            torch._C._nn._upsample_bilinear2d_aa(part, size, False, None)

    return floor


def windows_of(crop: Crop, pictures: np.ndarray) -> Iterator[tuple[Tensor, tuple[int, int]]]:
    """A window of each picture (n, H, W, c), and the size that it gets."""
    drawn = uniform(0, 0, crop.name, np.arange(len(pictures)), 2 * TRIES + 3)
    found = draw_windows(crop, drawn, *pictures.shape[1:3])
    for picture, top, left, height, width in zip(
        pictures, found.top, found.left, found.height, found.width, strict=True
    ):
        part = picture[None, top : top + height, left : left + width]
        yield torch.from_numpy(part).permute(0, 3, 1, 2), (crop.size, crop.size)


def heads(model: nn.Module, block: Callable[[], None], steps: int) -> Floor:
    """Forward and backward of the projectors and predictors, on numbers of the same shapes."""
    seen: list[tuple[nn.Module, torch.Size]] = []
    layers = [each.layers for each in model.modules() if isinstance(each, Projection)]
    hooks = [each.register_forward_pre_hook(lambda it, x: seen.append((it, x[0].shape))) for each in layers]
    block()
    for hook in hooks:
        hook.remove()
    calls = [(it, torch.randn(shape, requires_grad=True)) for it, shape in seen[: len(seen) // steps]]
    parameters = [p for each in layers for p in each.parameters()]

    def floor() -> None:
        out = [it(x) for it, x in calls]
        torch.autograd.backward(out, [torch.ones_like(each) for each in out])
        for each in (*parameters, *(x for _, x in calls)):
            each.grad = None

    return floor


def with_negatives(prepared: Prepared) -> Floor:
    """The scores against the negatives and their gradients, each as one product."""
    batch, samples = prepared.train.batch, prepared.situation.samples
    found: list[Floor] = []
    objective: Any = prepared.setup.graph.edges[0].objective.resolved(prepared.situation)
    if isinstance(objective, CMC):
        rows = samples if objective.draw in ("auto", "all") else 1 + objective.negatives
        found = [products(batch, rows, objective.dim)] * 2
    elif isinstance(objective, MoCo):
        found = [products(batch, objective.queue, objective.dim)] * (1 + objective.symmetric)
    elif isinstance(objective, SimCLR):  # both factors of the scores have a gradient
        weights, z = torch.rand(2 * batch, 2 * batch), torch.rand(2 * batch, objective.dim)
        found = [products(2 * batch, 2 * batch, objective.dim), lambda: weights @ z]
    return lambda: [each() for each in found]


def optimiser(model: nn.Module, given: Optimizer) -> Floor:
    """The run's AdamW or SGD, fused, on copies of the parameters."""
    copies = [nn.Parameter(p.detach().clone()) for p in model.parameters() if p.requires_grad]
    for each in copies:
        each.grad = torch.zeros_like(each)
    if given.name == "sgd":
        return torch.optim.SGD(copies, lr=1e-9, momentum=given.momentum, fused=True).step
    return torch.optim.AdamW(copies, lr=1e-9, fused=True).step
