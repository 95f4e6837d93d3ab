"""One edge trained twice: by our own step, and in a plain loop with `PairLoss`. For the tests."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from objective_cases import CASES
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from trials import ROWS, SAMPLES, VIEWS, Small, batch, view

import multiview as mv
from multiview.batch import Batch
from multiview.check.parity import Trace, process
from multiview.counter_rng import Draws
from multiview.distributed import rank, total, world
from multiview.masked_forward import masked_forward
from multiview.memory.memories import Memories
from multiview.model import MultiviewModel, Projection
from multiview.objectives.base import Objective, Situation
from multiview.train.step import Parts, contrast_step
from multiview.viewlayer import ViewLayer, present_views

STEPS = 20
RATE = 0.005
LABELS = torch.arange(SAMPLES) % 4


@dataclass(frozen=True)
class Start:
    """What both trainings start from."""

    objective: Objective
    model: MultiviewModel
    layer: ViewLayer
    batches: list[Batch]
    shared: bool

    @property
    def views(self) -> tuple[str, ...]:
        return self.model.graph.views


def start(name: str, *, missing: bool = False, steps: int = STEPS) -> Start:
    """The small objective of a case, with two views, or three on a hyperedge; float64."""
    torch.manual_seed(0)
    case = CASES[name]
    assert case.small is not None
    joint, shared = bool(case.trial.get("joint")), bool(case.trial.get("shared"))
    names = VIEWS if joint else VIEWS[:2]
    resolved = case.small.resolved(Situation(samples=SAMPLES, per_rank=ROWS))
    graph = (mv.ContrastGraph.joint if joint else mv.ContrastGraph.full)(names, resolved)
    encoders: dict[str, Any] = {name: Small() for name in names}
    if shared:
        encoders["b"] = "a"
    model = MultiviewModel(encoders, graph).double()
    layer = ViewLayer({name: view(name) for name in names}).double()
    order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(1)).repeat(1 + steps * ROWS // SAMPLES)
    batches = [batch(names, order[ROWS * k : ROWS * (k + 1)], k % 3 if missing else None) for k in range(steps)]
    return Start(case.small, model, layer, batches, shared)


def ours(begin: Start) -> tuple[list[float], MultiviewModel, Memories]:
    """Losses of our own steps, and what they leave."""
    model = copy.deepcopy(begin.model)
    memories = Memories(model, model.graph, SAMPLES, seed=0, steps=len(begin.batches), labels=LABELS).double()
    parts = Parts(
        accelerator=Accelerator(cpu=True),
        graph=model.graph,
        layer=begin.layer,
        model=model,
        wrapped=model,
        memories=memories,
        optimiser=torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9),
        ids=lambda index: [str(i) for i in index.tolist()],
    )
    losses = [
        contrast_step(parts, given, step, Draws(0, step, given.index.numpy())).loss.item()
        for step, given in enumerate(begin.batches, 1)
    ]
    return losses, model, memories


class Raw(nn.Module):
    """Encoder and projector of one view, before normalisation."""

    def __init__(self, encoder: nn.Module, projector: Projection) -> None:
        super().__init__()
        self.encoder, self.layers = encoder, projector.layers

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.encoder(x))


class Whole(nn.Module):
    """What a user writes: encoders, key encoders where the objective reads keys, and the loss."""

    def __init__(self, begin: Start) -> None:
        super().__init__()
        model = copy.deepcopy(begin.model)
        heads = {v: n.projector for v, n in model_needs(model).items()}
        own = {v: model.owners[v] for v in begin.views}
        made = {o: Raw(model.encoder(o), model.projector(o, heads[o])) for o in dict.fromkeys(own.values())}
        self.own, self.encoders = own, nn.ModuleDict(made)
        self.pair = mv.PairLoss(
            begin.objective, samples=SAMPLES, dim=5, views=len(begin.views), shared=begin.shared
        ).double()
        for v, predictor in self.pair.predictors.items():
            needs = model_needs(model)[v]
            assert needs.predictor is not None
            predictor.load_state_dict(model.predictor(v, needs.projector, needs.predictor).state_dict())
        keyed = {v: n.keys for v, n in model_needs(model).items() if n.keys is not None}
        self.keys = nn.ModuleDict(
            {
                v: mv.KeyEncoder(made[own[v]], k.momentum, steps=len(begin.batches) if k.rise else None)
                for v, k in keyed.items()
            }
        )

    def forward(self, views: Mapping[str, Tensor], present: Mapping[str, Tensor], index: Tensor) -> Tensor:
        z = [encoded(self.encoders[self.own[v]], views[v], present[v]) for v in self.own]
        keys = [self.keys[v](views[v], present[v]) if v in self.keys else None for v in self.own]
        return self.pair(
            *z, index, keys=keys if self.keys else None, present=[present[v] for v in self.own], labels=LABELS[index]
        )

    def update(self) -> None:
        """After the optimiser's step."""
        self.pair.update()
        for encoder in self.keys.values():
            encoder.update()


def model_needs(model: MultiviewModel) -> dict[str, Any]:
    """What the one edge needs of each view."""
    from multiview.graph import needs_of_edge

    (edge,) = model.graph.edges
    return dict(zip(edge.views, needs_of_edge(edge), strict=True))


def encoded(encoder: nn.Module, x: Tensor, present: Tensor) -> Tensor:
    """Embeddings of the present rows; others are not a number, and nobody may read them."""
    z = masked_forward(lambda rows: {"z": encoder(rows)}, x, present, [encoder])["z"]
    return z.masked_fill(~present[:, None], torch.nan)


def optimiser(whole: Whole) -> torch.optim.Optimizer:
    """Plain SGD over all that learns."""
    return torch.optim.SGD([p for p in whole.parameters() if p.requires_grad], lr=RATE, momentum=0.9)


def plain(
    begin: Start, whole: Whole, sgd: torch.optim.Optimizer, called: nn.Module | None = None, at: slice = slice(None)
) -> Iterator[float]:
    """The losses of a plain loop, one per step. called: `whole` as wrapped for processes."""
    for given in begin.batches[at]:
        mine = share(given)
        with torch.no_grad():
            views = begin.layer(mine, Draws(0, 1, mine.index.numpy()))
        present = present_views(begin.layer.views, mine)
        loss = (called or whole)(views, present, mine.index)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        whole.update()
        yield (total(loss) / world()).item()


def share(given: Batch) -> Batch:
    """This process's rows."""
    rows = slice(len(given) * rank() // world(), len(given) * (rank() + 1) // world())
    crops = {crop: {name: x[rows] for name, x in tensors.items()} for crop, tensors in given.crops.items()}
    return Batch(crops, given.index[rows], {name: x[rows] for name, x in given.present.items()})


def trace(name: str, missing: bool) -> Trace:
    """A plain loop of a few steps with DistributedDataParallel: losses, weights and memories."""
    begin = start(name, missing=missing, steps=4)
    whole = Whole(begin).eval()  # batch norm sees the rows of one process only
    whole.pair.training = True
    called = DistributedDataParallel(whole, find_unused_parameters=True) if world() > 1 else whole
    losses = list(plain(begin, whole, optimiser(whole), called))
    found = {"loss/edge/": torch.tensor(losses, dtype=torch.float64)}
    found |= {f"parameter/{key.split('.')[0]}/{key}": p.detach() for key, p in whole.named_parameters()}
    memory = {key: x for key, x in whole.pair.state_dict().items() if key.startswith("memories")}
    return found | {f"memory/{key.split('.')[1]}/{key}": x for key, x in memory.items()}


def child(number: int, count: int, folder: Path) -> None:
    """Runs every trace in process `number` of `count` and saves it."""
    with process(number, count, folder):
        for name, missing in TRACES:
            found = trace(name, missing)
            save_file(
                {key: x.contiguous().clone() for key, x in found.items()}, saved(folder, name, missing, count, number)
            )


def saved(folder: Path, name: str, missing: bool, count: int, number: int) -> Path:
    """The file of one trace."""
    return folder / f"{name}-{missing}-{number}-of-{count}.safetensors"


NAMES = [name for name, case in CASES.items() if case.small is not None and not case.small.fuses]
TRACES = [(name, missing) for name in NAMES for missing in (False, True)]
