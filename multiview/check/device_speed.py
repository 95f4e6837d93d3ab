"""How fast a device is, and how near the toolkit's own work comes to what the device can do."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from multiview import losses
from multiview.check.device_rows import Row
from multiview.check.steps import Trial, trial_of
from multiview.objectives import CMC
from multiview.plugins import load
from multiview.train.optimiser import has_fused
from multiview.train.processes import has_compiler

DIM = 128
COMPILING = 90.0
"""Seconds that a step takes until it is compiled and measured, before the first is known."""
LONGER = 1.5
"""By how much more the next size may take."""


@dataclass(frozen=True)
class Sizes:
    """How large the trials are.

    copied: bytes of the copy that measures the bandwidth. side: of the square matrices that are
    multiplied. pairs: batch of NT-Xent. bank, batch, negatives: of CMC. crops: sides of pictures.
    rows: batch of a training step. encoder, width: of a training step. seconds: for each number.
    compiled: whether steps are measured with torch.compile too.
    """

    copied: int
    side: int
    pairs: int
    bank: int
    batch: int
    negatives: int
    crops: tuple[int, ...]
    rows: int
    encoder: str
    width: float
    seconds: float
    compiled: bool


QUICK = Sizes(2**26, 768, 256, 20_000, 64, 1024, (32,), 32, "convnet", 0.25, 0.5, compiled=False)
ON_CPU = Sizes(2**28, 1024, 1024, 100_000, 128, 4096, (32, 64), 64, "resnet18", 0.25, 3.0, compiled=True)
ON_GPU = Sizes(2**31, 8192, 4096, 1_000_000, 1024, 16_384, (64, 128, 224), 256, "resnet50", 1.0, 2.0, compiled=True)


def seconds_of(act: Callable[[], object], device: torch.device, limit: float) -> float:
    """The median time of a call, of as many as fit into `limit` seconds, three at least."""
    act()
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - start < limit and len(times) < 100):
        _wait(device)
        before = time.perf_counter()
        act()
        _wait(device)
        times.append(time.perf_counter() - before)
    return statistics.median(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def floors(device: torch.device, sizes: Sizes) -> tuple[list[Row], float, float]:
    """Rows; then bytes per second of a copy, and operations per second of a float32 product."""
    source = torch.ones(sizes.copied // 4, device=device)
    target = torch.empty_like(source)
    bandwidth = 2 * sizes.copied / seconds_of(lambda: target.copy_(source), device, sizes.seconds)
    rows = [Row("floors", "bandwidth of a copy", bandwidth / 1e9, "GB/s", "read and written")]
    rates = {}
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        a = torch.ones(sizes.side, sizes.side, device=device, dtype=dtype)
        out = torch.empty_like(a)
        taken = seconds_of(lambda a=a, out=out: torch.mm(a, a, out=out), device, sizes.seconds)  # type: ignore[misc]
        rates[dtype] = 2 * sizes.side**3 / taken
        name = str(dtype).removeprefix("torch.")
        rows.append(Row("floors", f"product of {sizes.side} x {sizes.side}, {name}", rates[dtype] / 1e9, "Gflop/s"))
    return rows, bandwidth, rates[torch.float32]


def kernels(device: torch.device, sizes: Sizes, bandwidth: float, rate: float) -> Iterator[Row]:
    """NT-Xent and CMC, forward and backward, beside the time of their products and reads alone."""
    a, b = _unit(sizes.pairs, device), _unit(sizes.pairs, device)

    def nt_xent() -> None:
        losses.nt_xent(a, b, temperature=0.2).backward()

    taken = seconds_of(nt_xent, device, sizes.seconds)
    floor = 2 * 2 * (2 * sizes.pairs) ** 2 * DIM / rate
    yield _beside(f"NT-Xent, {sizes.pairs} pairs", taken, floor, "two products")
    pair = losses.PairLoss(CMC(variant="softmax", negatives=sizes.negatives), samples=sizes.bank, dim=DIM).to(device)
    x, y = _unit(sizes.batch, device), _unit(sizes.batch, device)
    index = torch.randperm(sizes.bank)[: sizes.batch].to(device)

    def cmc() -> None:
        pair(x, y, index).backward()
        pair.update()

    taken = seconds_of(cmc, device, sizes.seconds)
    floor = 2 * 2 * sizes.batch * (sizes.negatives + 1) * DIM * 4 / bandwidth
    name = f"CMC, batch {sizes.batch}, {sizes.negatives} negatives of {sizes.bank:,} rows"
    yield _beside(name, taken, floor, "four reads of the rows")


def _unit(rows: int, device: torch.device) -> Tensor:
    return normalize(torch.randn(rows, DIM), dim=1).to(device).requires_grad_()


def _beside(what: str, taken: float, floor: float, named: str) -> Row:
    return Row("kernels", what, 1e3 * taken, "ms", f"{taken / floor:.2f} x the floor of {1e3 * floor:.3g} ms ({named})")


def steps(device: torch.device, sizes: Sizes, left: Callable[[], float]) -> Iterator[Row]:
    """A step of `cmc_lab` beside its encoders alone, and pictures per second, by size.

    left: the seconds that the check still has.
    """
    for size in sizes.crops:
        yield from _step(device, sizes, size, compiled=False)
    if sizes.compiled and (device.type != "cpu" or has_compiler()):
        yield from _compiled_steps(device, sizes, left)


def _compiled_steps(device: torch.device, sizes: Sizes, left: Callable[[], float]) -> Iterator[Row]:
    """The sizes for which time is left: a size takes about as long as the one before."""
    expected = COMPILING
    for size in sizes.crops:
        if (before := left()) < expected:
            yield Row("steps", f"{size} px, compiled", None, "", "left out: no time is left")
            continue
        yield from _step(device, sizes, size, compiled=True)
        expected = max(expected, LONGER * (before - left()))


def _step(device: torch.device, sizes: Sizes, size: int, compiled: bool) -> Iterator[Row]:
    recipe: Any = load("recipes", "cmc_lab")
    made = recipe(size=size, encoder=sizes.encoder, width=sizes.width)
    train = replace(made.train, batch=sizes.rows, compile=compiled, precision="no")
    trial = trial_of(replace(made, train=train))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    taken = seconds_of(trial.again, device, sizes.seconds)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0  # of the step alone
    name = f"cmc_lab, {sizes.encoder} x {sizes.width:g}, {size} px, batch {sizes.rows}" + ", compiled" * compiled
    bare = seconds_of(bare_step(trial), device, sizes.seconds)
    yield Row("steps", name, 1e3 * taken, "ms", f"{taken / bare:.2f} x its encoders alone ({1e3 * bare:.3g} ms)")
    yield Row("steps", "  pictures per second", sizes.rows / taken, "1/s")
    if peak:
        yield Row("steps", "  peak memory", peak / 2**20, "MB")


def bare_step(trial: Trial) -> Callable[[], None]:
    """The encoders of a trial on its views: forward, backward and optimiser, nothing else."""
    parts = trial.parts
    views = parts.layer(trial.batch.to(parts.accelerator.device))
    encoders = nn.ModuleDict({name: copy.deepcopy(own) for name, own in parts.model.own_encoders().items()}).train()
    optimiser = torch.optim.AdamW(encoders.parameters(), lr=1e-3, fused=has_fused(parts.accelerator.device))

    def step() -> None:
        torch.stack([encoder(views[name]).sum() for name, encoder in encoders.items()]).sum().backward()
        optimiser.step()
        optimiser.zero_grad()

    return step
