"""Where the goldens are, how they are compared, and on which machine they were recorded."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

FOLDER = Path(__file__).parent / "golden"
STORE = FOLDER / "store"
RUN = FOLDER / "run"
CLIPS = FOLDER / "clips"
SAME = 1e-10
"""Relative tolerance on the recording machine: only the order of float64 sums may differ."""
OTHER = 2e-4
"""Relative tolerance elsewhere: other CPUs and other versions of PyTorch have other kernels."""


def command(*words: str) -> int:
    """The exit code of `multiview WORD ...`, in this process."""
    from multiview.cli import main

    try:
        main(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    return 0


def machine() -> dict[str, str]:
    """What the last bits of results depend on: CPU, instruction set and versions."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text("utf8").splitlines() if facts.is_file() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    kernels = torch.backends.cpu.get_cpu_capability()
    cpu = f"{platform.machine()} {model} {kernels}"
    return {"cpu": cpu, "torch": torch.__version__, "numpy": np.__version__}


def tolerance(recorded: Mapping[str, Any]) -> float:
    """The relative tolerance of numbers that were recorded with their `machine`."""
    return SAME if recorded["machine"] == machine() else OTHER


def read(name: str) -> Any:
    """A golden: the value in `golden/NAME.json`."""
    return json.loads((FOLDER / f"{name}.json").read_text("utf8"))


def write(name: str, value: Any) -> None:
    """Records a golden."""
    (FOLDER / f"{name}.json").write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", "utf8")


def differences(recorded: Any, found: Any, within: float, where: str = "") -> Iterator[str]:
    """What was recorded and is not found, a line each. A mapping may have got more keys.

    Numbers may differ by `within`, relative to the largest of their list.
    """
    if isinstance(recorded, dict) and isinstance(found, dict):
        for name, value in recorded.items():
            if name in found:
                yield from differences(value, found[name], within, f"{where}/{name}")
            else:
                yield f"{where}/{name} is gone"
    elif _numbers(recorded) and _numbers(found) and len(recorded) == len(found):
        largest, pairs = max(map(abs, recorded)), zip(recorded, found, strict=True)
        if not all(math.isclose(a, b, rel_tol=within, abs_tol=within * largest) for a, b in pairs):
            yield f"{where} was {recorded}, is {found}"
    elif isinstance(recorded, float) and isinstance(found, float):
        yield from differences([recorded], [found], within, where)
    elif isinstance(recorded, list) and isinstance(found, list) and len(recorded) == len(found):
        for place, (was, now) in enumerate(zip(recorded, found, strict=True)):
            yield from differences(was, now, within, f"{where}[{place}]")
    elif recorded != found:
        yield f"{where} was {recorded!r}, is {found!r}"


def _numbers(value: Any) -> bool:
    return isinstance(value, Sequence) and bool(value) and all(isinstance(each, float) for each in value)
