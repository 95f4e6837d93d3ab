"""Tests whether several processes train the same as one process.

A `Trial` is trained for some steps on 1, 2 and 4 new processes, on the same batches, in float64 on
the CPU with Gloo. Its trace holds the loss of every edge and the gradient of every parameter at
every step, and all parameters and memories at the end. Every number of the traces is compared.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.multiprocessing.spawn import ProcessRaisedException, start_processes

from multiview.batch import Batch
from multiview.config import Train
from multiview.counter_rng import Draws
from multiview.distributed import joined, rank, total, world
from multiview.errors import MultiviewError
from multiview.memory.memories import Memories
from multiview.model import MultiviewModel
from multiview.train.prepare import assemble
from multiview.train.processes import start
from multiview.train.step import Parts, contrast_step
from multiview.view import View

WORLDS = (1, 2, 4)
TOLERANCE = 1e-9
FLOOR = 1e-3
"""Smallest scale of a relative difference, as a share of the largest number of the same kind.

Without this floor, rounding errors count: the gradient of a bias before a norm is zero up to them.
"""

Trace = dict[str, Tensor]
"""Numbers by `kind/group/name`; kinds are loss, gradient, parameter and memory."""


@dataclass
class Trial:
    """A model with its memories, and batches that hold the samples of all processes together.

    With `evaluation`, batch norm and dropout work as in evaluation. Then their results do not
    depend on which samples share a process.
    """

    views: Mapping[str, View]
    model: MultiviewModel
    memories: Memories
    batches: Sequence[Batch]
    train: Train
    seed: int = 0
    evaluation: bool = False


@dataclass(frozen=True)
class Difference:
    """The largest relative difference between `world` processes and one process.

    It is taken over one kind of numbers of one group, which is an edge, a module or a memory.
    """

    kind: str
    group: str
    world: int
    value: float


def _parts(trial: Trial) -> Parts:
    """What a step of the trial works with, in double precision."""
    accelerator = start(trial.train, "recipes/RECIPE.py")
    for module in (trial.model, trial.memories):
        module.double().train(not trial.evaluation)
    parts = assemble(accelerator, trial.views, trial.model, trial.memories, trial.train, _numbers)
    parts.layer.double()
    return parts


def traced(trial: Trial) -> Trace:
    """Trains the trial in the current process group, each process on its rows of every batch."""
    parts = _parts(trial)
    trace: dict[str, list[Tensor]] = {}
    _watch_gradients(parts, trace)
    for step, batch in enumerate(trial.batches):
        mine = _share(batch)
        output = contrast_step(parts, mine, step + 1, Draws(trial.seed, step, mine.index.numpy(), "augment"))
        for edge, out in output.edges.items():
            trace.setdefault(f"loss/edge {edge}/", []).append(total(out.loss) / world())
    last = {f"parameter/{_group(name)}/{name}": p.detach() for name, p in trial.model.named_parameters()}
    last |= {f"memory/{_group(name)}/{name}": b for name, b in trial.memories.whole_state().items()}
    return {name: torch.stack(values) for name, values in trace.items()} | last


def _watch_gradients(parts: Parts, trace: dict[str, list[Tensor]]) -> None:
    """Records every gradient as the optimiser gets it: averaged over processes and clipped."""

    def record(*_: object) -> None:
        for name, p in parts.model.named_parameters():
            gradient = torch.zeros_like(p) if p.grad is None else p.grad.detach().clone()
            trace.setdefault(f"gradient/{_group(name)}/{name}", []).append(gradient)

    parts.optimiser.optimizer.register_step_pre_hook(record)


def _group(name: str) -> str:
    """`encoders.L` of `encoders.L.stage1.0.weight`."""
    return ".".join(name.split(".")[:2])


def _share(batch: Batch) -> Batch:
    """This process's rows of a batch of all processes, in the order of `Batches`."""
    count = len(batch)
    rows = slice(count * rank() // world(), count * (rank() + 1) // world())
    crops = {crop: {name: x[rows] for name, x in tensors.items()} for crop, tensors in batch.crops.items()}
    return Batch(crops, batch.index[rows], {name: present[rows] for name, present in batch.present.items()})


def _numbers(index: Tensor) -> list[str]:
    return [str(number) for number in index.tolist()]


def traces(
    trials: Mapping[str, Callable[[], Trial]], worlds: Sequence[int] = WORLDS
) -> dict[str, dict[int, list[Trace]]]:
    """The traces of all processes, by the name of the trial and the number of processes.

    Each process unpickles and calls the functions that make the trials. Raises MultiviewError when
    a trial raised one in its process.
    """
    with tempfile.TemporaryDirectory() as folder:
        for count in worlds:
            _run(count, trials, Path(folder))
        return {name: {count: _load(Path(folder), name, count) for count in worlds} for name in trials}


def _load(folder: Path, name: str, count: int) -> list[Trace]:
    """The traces that `count` processes wrote of one trial."""
    return [load_file(folder / _file(name, count, number)) for number in range(count)]


def _run(count: int, trials: Mapping[str, Callable[[], Trial]], folder: Path) -> None:
    try:
        spread(_child, count, count, trials, folder)
    except ProcessRaisedException as error:
        mistakes = sorted(folder.glob("mistake-*"))
        if mistakes:
            raise MultiviewError(mistakes[0].read_text()) from error
        raise


def spread(act: Callable[..., None], count: int, *arguments: object) -> None:
    """Calls `act(number, *arguments)` in `count` new processes and waits; one failure ends all."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    if method == "forkserver":
        multiprocessing.set_forkserver_preload([__name__])  # torch is imported once for all processes
    start_processes(act, arguments, nprocs=count, start_method=method)


def _child(number: int, count: int, trials: Mapping[str, Callable[[], Trial]], folder: Path) -> None:
    """Runs in one process of `count`: trains every trial and saves its trace."""
    with process(number, count, folder):
        for name, make in trials.items():
            try:
                trace = traced(make())
            except MultiviewError as error:
                (folder / f"mistake-{number}").write_text(str(error))
                raise
            save_file({key: x.contiguous().clone() for key, x in trace.items()}, folder / _file(name, count, number))


@contextmanager
def process(number: int, count: int, folder: Path) -> Iterator[None]:
    """Makes this process rank `number` of `count`, with one CPU thread; all share `folder`."""
    os.environ |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    if count > 1:  # the variables that a launcher sets
        os.environ |= {"RANK": str(number), "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1"}
        os.environ |= {"LOCAL_RANK": str(number), "LOCAL_WORLD_SIZE": str(count)}
    torch.set_num_threads(1)
    with joined(number, count, folder / f"meeting-{count}"):
        yield


def _file(name: str, count: int, number: int) -> str:
    return f"{name}-{number}-of-{count}.safetensors"


def differences(of: Mapping[int, Sequence[Trace]]) -> list[Difference]:
    """The differences of each number of processes from one process; the worst process counts."""
    (one,) = of[1]
    kinds = {kind: _largest(one, f"{kind}/") for kind in ("loss", "gradient", "parameter", "memory")}
    groups = dict.fromkeys(
        (kind, name.split("/", 2)[1]) for kind in kinds for name in one if name.startswith(f"{kind}/")
    )
    return [
        Difference(kind, group, count, max(_difference(one, trace, f"{kind}/{group}/", kinds[kind]) for trace in found))
        for kind, group in groups
        for count, found in of.items()
        if count > 1
    ]


def _largest(trace: Trace, prefix: str) -> float:
    return max((_size(x) for name, x in trace.items() if name.startswith(prefix)), default=0.0)


def _difference(one: Trace, other: Trace, prefix: str, of_kind: float) -> float:
    scale = max(_largest(one, prefix), FLOOR * of_kind, torch.finfo(torch.float64).tiny)
    return max(_largest_difference(x, other[name]) for name, x in one.items() if name.startswith(prefix)) / scale


def _largest_difference(x: Tensor, y: Tensor) -> float:
    """The largest absolute difference; two NaNs are equal."""
    x, y = x.double(), y.double()
    same = (x == y) | (x.isnan() & y.isnan())
    return (
        float(torch.where(same, torch.zeros_like(x), (x - y).abs().nan_to_num(nan=torch.inf)).amax())
        if x.numel()
        else 0.0
    )


def _size(x: Tensor) -> float:
    return float(x.double().nan_to_num().abs().amax()) if x.numel() else 0.0
