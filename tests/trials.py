"""Small graphs to train on several processes, and batches in which views are missing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import multiview as mv
from multiview.batch import Batch
from multiview.check.parity import Trial
from multiview.distributed import gather, mean_over_rows, rank
from multiview.encoder import Encoder
from multiview.memory.memories import Memories
from multiview.model import MultiviewModel
from multiview.objectives.base import EdgeInput, EdgeOutput, Objective, Situation

VIEWS = ("a", "b", "c")
DRAWN_TWICE = ("a", "b", "a_2", "b_2")
SAMPLES, ROWS, STEPS = 24, 8, 3


class Small(Encoder):
    """(n, 2, 3, 3) -> (n, 6), smooth and without batch statistics."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__(2, 6, ("flat", "hidden", "h"))
        self.flat = nn.Flatten()
        self.hidden = nn.Sequential(nn.Linear(18, 7), nn.Tanh(), nn.Dropout(dropout))
        self.h = nn.Linear(7, 6)


class Normed(Small):
    """The same with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.h = nn.Sequential(self.h, nn.BatchNorm1d(6))


def trial(
    objective: Objective,
    *,
    missing: bool = False,
    train: mv.Train | None = None,
    shared: bool = False,
    joint: bool = False,
    evaluation: bool = False,
    normed: bool = False,
    dropout: float = 0.0,
    ranks: int = 1,
    grouped: bool = False,
) -> Trial:
    """A chain of three views (shared: two views with one encoder), the same in every process.

    An objective that fuses views gets two, each drawn twice.
    grouped: five samples after each other are of one group.
    """
    torch.manual_seed(0)
    names = DRAWN_TWICE if objective.fuses else VIEWS[:2] if shared else VIEWS
    fitted = objective.resolved(Situation(samples=SAMPLES, per_rank=ROWS // ranks, ranks=ranks))
    graph = (mv.ContrastGraph.joint if joint or objective.fuses else mv.ContrastGraph.chain)(names, fitted)
    built = {name: Normed() if normed else Small(dropout) for name in names}
    encoders: dict[str, Encoder | str] = {"a": built["a"], "b": "a"} if shared else {**built}
    if objective.fuses:
        encoders |= {"a_2": "a", "b_2": "b"}
    model = MultiviewModel(encoders, graph)
    train = train or mv.Train(batch=ROWS, optimizer=mv.Optimizer(lr=0.1))
    groups = torch.arange(SAMPLES) // 5 if grouped else None
    memories = Memories(model, graph, SAMPLES, 0, STEPS, groups, torch.arange(SAMPLES) % 4 - 1)
    views = {name: view(name) for name in names}
    return Trial(views, model, memories, batches(names, missing), train, evaluation=evaluation)


def view(name: str) -> mv.View:
    """A view that returns what is stored under `name`."""
    channels = mv.Channels(name, 2, "none", -3.0, 3.0)
    return mv.View(modality=name, channels=channels, crop=mv.Crop(size=3), mean=(0.0,), std=(1.0,))


def batches(names: tuple[str, ...], missing: bool) -> list[Batch]:
    """The batches of some steps; the views of a sample are correlated."""
    generator = torch.Generator().manual_seed(1)
    order = torch.randperm(SAMPLES, generator=generator).repeat(2)
    return [batch(names, order[ROWS * k : ROWS * (k + 1)], k if missing else None) for k in range(STEPS)]


def batch(names: tuple[str, ...], index: Tensor, missing: int | None = None) -> Batch:
    """The batch of one step. missing: the number of the step, when views are missing; else None."""
    built = {}
    for number, name in enumerate(names):
        generator = torch.Generator().manual_seed(number + 100 * (0 if missing is None else missing))
        noise = torch.randn(len(index), 2, 3, 3, generator=generator)
        built[name] = torch.sin(index.view(-1, 1, 1, 1) * torch.linspace(0.1, 2, 18).view(1, 2, 3, 3)) + 0.3 * noise
    present = {name: there(name, missing, len(index)) for name in names}
    crops = {name: torch.where(present[name].view(-1, 1, 1, 1), x, 0) for name, x in built.items()}
    return Batch({"crop": crops}, index, present)


def there(name: str, missing: int | None, rows: int) -> Tensor:
    """The rows that have the view; step 1 has no `b` in its first half, step 2 has no `a`."""
    if missing is None:
        return torch.ones(rows, dtype=torch.bool)
    name = name[0]  # both draws of a view are of the same samples
    present = torch.arange(rows) % 5 != VIEWS.index(name)
    if name == "b" and missing == 1:
        present[: rows // 2] = False
    return present & ~torch.tensor(name == "a" and missing == 2)


class Forgetful(mv.SimCLR):
    """InfoNCE with a bug that only several processes show: other ranks' rows get no gradient."""

    def loss(self, edge: EdgeInput) -> EdgeOutput:
        """Mean over rows of -log softmax."""
        first = rank() * len(edge.index)
        others = gather(edge.b.z)
        columns = torch.cat([others[:first], edge.b.z, others[first + len(edge.index) :]])
        terms = (edge.a.z @ columns.T).logsumexp(1) - (edge.a.z * edge.b.z).sum(1)
        return EdgeOutput(mean_over_rows(terms, edge.present))
