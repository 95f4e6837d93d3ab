"""`multiview check device`: whether training on this machine's device is right, and how fast."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.table import Table
from rich.text import Text

from multiview.check import device_numbers, device_speed
from multiview.check.device_rows import BROKEN, OK, Row
from multiview.check.options import CheckDevice
from multiview.check.shared_device import shared_device
from multiview.check.steps import trial_of, waits
from multiview.exits import DONE, FAILED
from multiview.plugins import load
from multiview.plurals import counted
from multiview.terminal import SafeConsole

SECONDS = {False: 480.0, True: 60.0}
"""For how long measurements are begun, by `quick`."""
STYLES = {OK: "green", BROKEN: "bold red"}
RECIPES: dict[str, tuple[str, dict[str, Any]]] = {
    "cmc_lab, softmax": ("cmc_lab", {"objective": {"variant": "softmax", "negatives": 64}}),
    "cmc_lab, nce": ("cmc_lab", {"objective": {"variant": "nce", "negatives": 64}}),
    "moco": ("moco", {"objective": {"queue": 64}}),
    "simclr": ("simclr", {}),
    "simsiam": ("simsiam", {}),
    "cmc_rgbd, normals absent of a third": ("cmc_rgbd", {"objective": {"negatives": 64}}),
    "comm, normals absent of a third": ("comm", {}),
    "mixed": ("mixed", {"cmc": {"negatives": 64}, "moco": {"queue": 64}}),
}


def run(options: CheckDevice) -> int:
    """multiview check device [options]: 0 when all is right, 1 when something is broken."""
    start = time.perf_counter()
    device = Accelerator().device
    limit = SECONDS[options.quick]
    console = SafeConsole()
    console.print(f"device: {name_of(device)}", highlight=False)
    rows = list(_rows(device, options.quick, lambda: limit - (time.perf_counter() - start)))
    console.print(table(rows))
    about = {
        "device": name_of(device),
        "quick": options.quick,
        "torch": torch.__version__,
        "multiview": version("multiview-cmc"),
        "seconds": round(time.perf_counter() - start, 1),
    }
    Path(options.out).write_text(json.dumps({**about, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    broken = sum(row.state == BROKEN for row in rows)
    verdict = f"{counted(broken, 'row')} broken" if broken else "nothing is broken"
    console.print(f"{verdict}; {about['seconds']} s; {options.out} holds all numbers", highlight=False)
    return FAILED if broken else DONE


def name_of(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({platform.machine()}, {counted(torch.get_num_threads(), 'thread')})"


def _rows(device: torch.device, quick: bool, left: Callable[[], float]) -> Iterator[Row]:
    sizes = device_speed.QUICK if quick else device_speed.ON_GPU if device.type == "cuda" else device_speed.ON_CPU
    yield from device_numbers.parity(device)
    yield from device_numbers.precision(device)
    yield from host_waits(quick)
    floors, bandwidth, rate = device_speed.floors(device, sizes)
    yield from floors
    yield from device_speed.kernels(device, sizes, bandwidth, rate)
    yield from shared_device(device)
    yield from device_speed.steps(device, sizes, left)


def host_waits(quick: bool) -> Iterator[Row]:
    """How often the host waits for the device in a steady step, by recipe."""
    chosen = ["cmc_lab, nce", "mixed"] if quick else list(RECIPES)
    for name in chosen:
        found = waits(lambda name=name: trial_of(recipe_of(name), hole="absent" in name))  # type: ignore[misc]
        where = ", ".join(f"{count} at {place}" for place, count in found.most_common(3))
        state = BROKEN if found else OK
        yield Row("waits of the host in two steps", name, float(found.total()), "", where or "none wanted", state)


def recipe_of(name: str) -> Any:
    """A recipe of `RECIPES` with small encoders and pictures."""
    word, given = RECIPES[name]
    recipe: Any = load("recipes", word)(encoder="convnet", width=0.1, size=16)
    objectives = {key: replace(getattr(recipe, key), **options) for key, options in given.items()}
    return replace(recipe, train=replace(recipe.train, batch=12), **objectives)


def table(rows: list[Row]) -> Table:
    """The rows, under the headings of their parts."""
    made = Table("", "found", "beside", "", box=None, pad_edge=False)
    part = ""
    for row in rows:
        if row.part != part:
            made.add_row(Text(row.part, "bold"), "", "", "")
            part = row.part
        found = "" if row.value is None else f"{row.value:.4g} {row.unit}".strip()
        made.add_row(f"  {row.what}", found, row.beside, Text(row.state, STYLES.get(row.state, "")))
    return made
