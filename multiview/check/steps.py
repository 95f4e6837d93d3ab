"""Training steps of recipes on made-up samples, for tests of devices; no data is prepared."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.functional import normalize

from multiview.batch import Batch
from multiview.check.stand_in import DEVICE, NoFloat64, counted_waits
from multiview.counter_rng import Draws
from multiview.memory.memories import Memories
from multiview.model import MultiviewModel
from multiview.objectives.base import Situation
from multiview.recipe import Recipe
from multiview.train.prepare import assemble
from multiview.train.processes import start
from multiview.train.step import Parts, StepOutput, contrast_step
from multiview.view import View

SAMPLES = 4096
"""Training samples that a trial pretends to have, unless it is told otherwise."""
WARM_UP, COUNTED = 3, 2
"""Steps before waits are counted, and steps in which they are."""


@dataclass
class Trial:
    """The parts of a recipe on a device, and a batch in page-locked memory where that helps."""

    parts: Parts
    batch: Batch
    samples: int
    step: int = 0

    def again(self, examine: bool = False) -> StepOutput:
        """One more step, of other samples than the last, as the training loop makes it."""
        index = (self.batch.index + self.step * len(self.batch)) % self.samples
        batch = replace(self.batch, index=index)
        draws = Draws(0, self.step, index.numpy(), "augment")
        moved = batch.to(self.parts.accelerator.device, non_blocking=True)
        self.step += 1
        return contrast_step(self.parts, moved, self.step, draws, examine)


def trial_of(recipe: Recipe, *, hole: bool = False, samples: int = SAMPLES) -> Trial:
    """The parts of a recipe on Accelerate's device, and a batch of `recipe.train.batch` samples.

    hole: the last modality is absent of every third sample.
    """
    accelerator = start(recipe.train, "SCRIPT.py")
    torch.manual_seed(recipe.seed)
    setup, batch = recipe.build(), recipe.train.batch
    views = {name: _with_statistics(view) for name, view in setup.views.items()}
    graph = setup.graph.resolved(Situation(samples=samples, per_rank=batch))
    model = MultiviewModel(setup.encoders, graph)
    memories = Memories(model, graph, samples, recipe.seed)
    parts = assemble(accelerator, views, model, memories, recipe.train, lambda index: [f"{i}" for i in index.tolist()])
    parts.wrapped.train()
    return Trial(parts, _on_host(made_batch(views, batch, hole=hole), accelerator.device), samples)


def _on_host(batch: Batch, device: torch.device) -> Batch:
    """The batch as a loader gives it: in pinned memory for a CUDA device."""
    return batch.pin_memory() if device.type == "cuda" else batch


def made_batch(views: Mapping[str, View], rows: int, *, hole: bool = False) -> Batch:
    """Random images, depth and normals in the sizes of the crops."""
    crops: dict[str, dict[str, Tensor]] = {}
    for view in views.values():
        size = (rows, view.crop.size, view.crop.size)
        crops.setdefault(view.crop.name, {}).setdefault(view.modality, _made(view.modality, *size))
    present = {view.modality: torch.ones(rows, dtype=torch.bool) for view in views.values()}
    if hole:
        there = present[list(present)[-1]]
        there[::3] = False
    return Batch(crops, torch.arange(rows), present)


def _made(modality: str, rows: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    if modality == "image":
        return torch.randint(256, (rows, 3, height, width), dtype=torch.uint8, generator=generator)
    if modality == "normal":
        return normalize(torch.randn(rows, 3, height, width, generator=generator), dim=1)
    return torch.rand(rows, 1, height, width, generator=generator) + 1


def _with_statistics(view: View) -> View:
    count = view.channels.count
    return replace(view, mean=view.mean or (0.0,) * count, std=view.std or (1.0,) * count)


@contextmanager
def on_stand_in() -> Iterator[None]:
    """Within the block, Accelerate's device is the stand-in of `stand_in.py`."""
    with patch.object(Accelerator, "device", property(lambda _: DEVICE)), NoFloat64():
        yield


def waits(made: Callable[[], Trial], *, examine: bool = False) -> Counter[str]:
    """Where the host waits for the device in `COUNTED` steady steps; in the last, with `examine`.

    On a GPU, PyTorch itself says so; elsewhere the stand-in counts. made: makes the trial.
    """
    if torch.cuda.is_available():
        return _waits_of_cuda(made(), examine)
    with on_stand_in():
        trial = made()
        for _ in range(WARM_UP):
            trial.again()
        with counted_waits() as found:
            for number in range(COUNTED):
                trial.again(examine and number == COUNTED - 1)
    return found


def _waits_of_cuda(trial: Trial, examine: bool) -> Counter[str]:
    for _ in range(WARM_UP):
        trial.again()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for number in range(COUNTED):
                trial.again(examine and number == COUNTED - 1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return Counter(_place(each) for each in caught if "synchroniz" in str(each.message))


def _place(warning: Any) -> str:
    return f"{'/'.join(warning.filename.split('/')[-2:])}:{warning.lineno}"
