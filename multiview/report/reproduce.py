"""How to make a run again, and what it took."""

from __future__ import annotations

import shlex
from pathlib import PurePath
from typing import Any

import yaml

from multiview.files import size_text
from multiview.plurals import counted
from multiview.report.gather import Gathered

NUMBER = (int, float)
OWN = (("multiview", "cli.py"), ("multiview", "__main__.py"))
"""Files that start the program by `python -m`."""


def reproduce(run: Gathered) -> dict[str, Any]:
    """Command, seed, versions, compute, memory and all options, as the page shows them."""
    facts = run.run.environment
    packages = facts.get("packages") or {}
    versions = {"python": facts.get("python"), **packages}
    return {
        "name": run.name,
        "folder": str(run.run.folder),
        "seed": run.run.config.get("seed"),
        "command": shlex.join(typed(list(map(str, facts.get("command") or [])))),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items() if version),
        "platform": facts.get("platform"),
        "git": facts.get("git"),
        "manifest": (facts.get("data") or {}).get("manifest"),
        "compute": ", ".join(_compute(run)),
        "memory": ", ".join(_memory(run)),
        "config": yaml.safe_dump(run.run.config, sort_keys=False, allow_unicode=True),
    }


def typed(words: list[str]) -> list[str]:
    """The words of a command, without the folder of `multiview` or of its `python -m`."""
    program = PurePath(words[0]) if words else PurePath()
    own = program.name == "multiview" or program.parts[-2:] in OWN
    return ["multiview", *words[1:]] if own else words


def _compute(run: Gathered) -> list[str]:
    """Seconds, device, processes, and steps, as far as they are known."""
    cost, said = run.cost, []
    if isinstance(cost.get("seconds"), NUMBER):
        said.append(f"{_duration(cost['seconds'])} of training and evaluation (since the run was last started)")
    if isinstance(cost.get("device"), str):
        said.append(f"on {cost['device']}")
    if isinstance(cost.get("processes"), int) and isinstance(cost.get("threads"), int):
        said.append(f"processes: {cost['processes']}, threads of each: {cost['threads']}")
    if run.run.metrics:
        last = run.run.metrics[-1]
        speeds = [line["samples_per_second"] for line in run.run.metrics if "samples_per_second" in line]
        said.append(counted(int(last["step"]), "step"))
        said += [f"{sorted(speeds)[len(speeds) // 2]:.4g} samples per second (median)"] if speeds else []
    return said


def _memory(run: Gathered) -> list[str]:
    known = (("memory", "of the first process"), ("gpu", "on its GPU"))
    return [
        f"at most {size_text(run.cost[key])} {name}" for key, name in known if isinstance(run.cost.get(key), NUMBER)
    ]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
