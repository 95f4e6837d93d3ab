"""Three steps of CMC equal the original code: all edges are scored before memories change."""

from __future__ import annotations

import copy

import by_hand
import pytest
import torch
from accelerate import Accelerator

from multiview import CMC, ContrastGraph, Crop, Optimizer, make_encoder
from multiview.batch import Batch
from multiview.counter_rng import Draws
from multiview.memory.memories import Memories
from multiview.model import MultiviewModel
from multiview.ops import negatives
from multiview.train.optimiser import make_optimiser
from multiview.train.step import Parts, contrast_step
from multiview.viewlayer import ViewLayer
from multiview.views import Lab

ROWS, SAMPLES = 6, 15


def setup() -> tuple[Parts, Batch]:
    """CMC as in the original code, on random images; a large learning rate moves the embeddings."""
    torch.manual_seed(0)
    crop = Crop(size=16)
    views = {"L": Lab.lightness(crop), "ab": Lab.chroma(crop)}
    encoders = {name: make_encoder("convnet", view.channels.count, width=0.25) for name, view in views.items()}
    graph = ContrastGraph.full(views, CMC(seed_defaults=True, negatives=7))
    model = MultiviewModel(encoders, graph)
    optimiser = make_optimiser(Optimizer(name="sgd", lr=0.5), model, ROWS)
    parts = Parts(
        accelerator=Accelerator(cpu=True),
        graph=graph,
        layer=ViewLayer(views),
        model=model,
        wrapped=model,
        memories=Memories(model, graph, SAMPLES, seed=0),
        optimiser=optimiser,
        ids=lambda index: [str(i) for i in index.tolist()],
    )
    pictures = torch.randint(256, (ROWS, 3, 16, 16), dtype=torch.uint8)
    present = {"image": torch.ones(ROWS, dtype=torch.bool)}
    return parts, Batch({crop.name: {"image": pictures}}, torch.tensor([3, 0, 14, 7, 8, 1]), present)


def test_three_steps_equal_the_original_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same samples in every step, so that a bank that is updated too early changes the loss."""
    drawn: list[torch.Tensor] = []
    draw = negatives.draw_negatives
    monkeypatch.setattr(
        negatives, "draw_negatives", lambda *given, **named: drawn.append(draw(*given, **named)) or drawn[-1]
    )
    parts, batch = setup()
    banks = [store.rows for store in parts.memories.stores.values()]
    memories, constants = [rows.double() for rows in banks], [None, None]
    for step in range(1, 4):
        draws = Draws(0, step, batch.index.numpy())
        with torch.no_grad():
            embeddings = copy.deepcopy(parts.model)(parts.layer(batch, draws))
        light, ab = (z.double() for z in embeddings.z.values())
        out = contrast_step(parts, batch, step, draws)
        expected, memories, constants = by_hand.cmc_original(light, ab, memories, batch.index, drawn[-1], constants)
        assert out.loss.item() == pytest.approx(expected.item(), rel=1e-5)
        for rows, after in zip(banks, memories, strict=True):
            assert torch.allclose(rows.double(), after, atol=1e-5)
    assert len(drawn) == 3
