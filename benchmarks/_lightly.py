"""Trains the encoder of a two-crop recipe by lightly's losses, heads and transforms.

python benchmarks/_lightly.py STUDY    every run of a study's plan that is not finished

The pictures, first weights, steps, batch, crops, colour changes, optimiser and learning rates are
those of the recipe's run. Lightly has its own heads, momentum and loop over PyTorch's DataLoader.
The result is measured by `multiview.measure.evaluate` and written as a finished run of the study.
"""

from __future__ import annotations

import copy
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightly.loss import NegativeCosineSimilarity, NTXentLoss
from lightly.models.modules import (
    MoCoProjectionHead,
    SimCLRProjectionHead,
    SimSiamPredictionHead,
    SimSiamProjectionHead,
)
from lightly.models.utils import update_momentum
from lightly.transforms import SimCLRTransform
from PIL import Image
from torch import Tensor, nn

import multiview as mv
from multiview.launch import parse_recipe, start
from multiview.measure.evaluate import evaluate
from multiview.plugins import load
from multiview.study.plan import DONE, Job, Plan, read_plan
from multiview.train.schedule import rate_factor
from multiview.trained import Trained

Method = tuple[nn.Module, Callable[[Tensor, Tensor], Tensor]]
"""The modules that learn, and the loss of two batches of crops."""


def main(study: Path) -> None:
    """Trains, measures and writes every run of the study's plan that is not finished."""
    plan = read_plan(study)
    for job in plan.jobs(study):
        if not job.done:
            one_run(job, plan)


def one_run(job: Job, plan: Plan) -> None:
    """Trains, measures and writes one run. Its CPU seconds are those of training and measuring."""
    recipe = recipe_of(job)
    with tempfile.TemporaryDirectory() as folder:  # one step of the toolkit makes data, views and first weights
        trained = start(replace(recipe, out=f"{folder}/run", train=replace(recipe.train, steps=1, threads=1)))
    began, cpu = time.monotonic(), time.process_time()
    encoder = trained_by_lightly(trained, recipe)
    next(iter(trained.model.own_encoders().values())).load_state_dict(encoder.state_dict())
    job.folder.mkdir(parents=True, exist_ok=True)
    evaluate(replace(trained, folder=job.folder), dim=plan.dim, controls=plan.controls_of(job))
    cost = {"seconds": round(time.monotonic() - began, 1), "cpu_seconds": round(time.process_time() - cpu, 1)}
    (job.folder / DONE).write_text(json.dumps(cost) + "\n")


def recipe_of(job: Job) -> Any:
    """The recipe of a run, without its evaluation."""
    words = [*job.variant.words, f"--seed={job.seed}"]
    return parse_recipe(load("recipes", job.variant.recipe), words, job.variant.recipe)


def trained_by_lightly(trained: Trained, recipe: Any) -> nn.Module:
    """The encoder after the recipe's steps by lightly's method of the recipe's objective."""
    torch.manual_seed(recipe.seed)
    encoder = copy.deepcopy(next(e for e in trained.setup.encoders.values() if isinstance(e, nn.Module)))
    model, loss_of = METHODS[recipe.objective.name](encoder, recipe.objective, trained.store.count("train"))
    model.train()
    rate, optimiser = recipe.train.optimizer, optimiser_of(model, recipe.train.optimizer)
    loader = loader_of(trained, recipe)
    epochs = recipe.train.steps / len(loader)
    for step, (first, second) in zip(range(recipe.train.steps), endless(loader), strict=False):
        factor = rate_factor(rate, step / len(loader), epochs)
        for group in optimiser.param_groups:
            group["lr"] = rate.lr * (1.0 if group["constant"] else factor)
        optimiser.zero_grad()
        loss_of(first, second).backward()
        optimiser.step()
    return encoder


def optimiser_of(model: nn.Module, given: mv.Optimizer) -> torch.optim.Optimizer:
    """The recipe's AdamW: biases and norms do not decay, SimSiam's predictor keeps its rate."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            groups.setdefault((p.ndim > 1, name.startswith("predictor.")), []).append(p)
    options = [
        {"params": params, "weight_decay": given.weight_decay * decays, "constant": constant}
        for (decays, constant), params in groups.items()
    ]
    return torch.optim.AdamW(options, lr=given.lr)


class Crops(torch.utils.data.Dataset):
    """Two crops of every training picture, by lightly's transform."""

    def __init__(self, trained: Trained, recipe: Any) -> None:
        view = next(iter(trained.setup.views.values()))
        store = trained.store
        self.pictures = [Image.fromarray(each) for each in store.read(store.rows("train"), view.modality)]
        change = recipe.augment
        self.transform = SimCLRTransform(
            input_size=recipe.size,
            min_scale=recipe.min_scale,
            cj_prob=change.jitter,
            cj_bright=change.brightness,
            cj_contrast=change.contrast,
            cj_sat=change.saturation,
            cj_hue=change.hue,
            random_gray_scale=change.grey,
            gaussian_blur=change.blur,
            normalize={"mean": list(view.mean), "std": list(view.std)},
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        first, second = self.transform(self.pictures[number])
        return first, second


def loader_of(trained: Trained, recipe: Any) -> torch.utils.data.DataLoader:
    """Batches of two crops, in a new order each epoch."""
    return torch.utils.data.DataLoader(Crops(trained, recipe), recipe.train.batch, shuffle=True, drop_last=True)


def endless(loader: torch.utils.data.DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one epoch after the other."""
    while True:
        yield from loader


def simclr(encoder: Any, given: mv.SimCLR, samples: int) -> Method:
    """Lightly's projector and NT-Xent."""
    del samples
    model = nn.Sequential(encoder, SimCLRProjectionHead(encoder.features, encoder.features, given.dim))
    criterion = NTXentLoss(temperature=given.temperature)
    return model, lambda first, second: criterion(model(first), model(second))


def moco(encoder: Any, given: mv.MoCo, samples: int) -> Method:
    """Lightly's projector, queue and momentum update."""
    model = nn.Sequential(encoder, MoCoProjectionHead(encoder.features, encoder.features, given.dim))
    keys = copy.deepcopy(model).requires_grad_(False)
    criterion = NTXentLoss(temperature=given.temperature, memory_bank_size=(given.queue or samples, given.dim))

    def loss(first: Tensor, second: Tensor) -> Tensor:
        update_momentum(model, keys, given.momentum)
        return criterion(model(first), keys(second).detach())

    return model, loss


def simsiam(encoder: Any, given: mv.SimSiam, samples: int) -> Method:
    """Lightly's projector, predictor and negative cosine similarity."""
    del samples
    model = nn.Module()
    model.encoder = encoder
    model.projector = SimSiamProjectionHead(encoder.features, encoder.features, given.dim)
    model.predictor = SimSiamPredictionHead(given.dim, given.predictor, given.dim)
    criterion = NegativeCosineSimilarity()

    def loss(first: Tensor, second: Tensor) -> Tensor:
        a, b = (model.projector(encoder(x)) for x in (first, second))
        return (criterion(model.predictor(a), b.detach()) + criterion(model.predictor(b), a.detach())) / 2

    return model, loss


METHODS = {"SimCLR": simclr, "MoCo": moco, "SimSiam": simsiam}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
