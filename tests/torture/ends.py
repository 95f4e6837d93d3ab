"""What differs between the ends of two runs of the same options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CLOCK = ("samples_per_second", "data_share")
"""Numbers of `metrics.jsonl` that a clock gives."""


def differences(one: Path, other: Path) -> list[str]:
    """A sentence for each difference in any bit.

    Compares weights, memories, optimiser and state of the newest checkpoint, the names of the
    checkpoints that were kept, every line of metrics but times, warnings, and the evaluation.
    """
    return [*_checkpoints(one, other), *_lines(one, other, "metrics.jsonl"), *_lines(one, other, "health.jsonl")] + [
        f"{name} differs" for name in ("evaluation.json",) if _bytes(one / name) != _bytes(other / name)
    ]


def _checkpoints(one: Path, other: Path) -> list[str]:
    import torch

    from multiview.train.checkpoint import newest

    mine, theirs = newest(one / "checkpoints"), newest(other / "checkpoints")
    wrong = [] if mine.state == theirs.state else ["the state of the last checkpoint differs"]
    for file in mine.tensors.keys() | theirs.tensors.keys():
        ours, expected = mine.tensors.get(file, {}), theirs.tensors.get(file, {})
        for name in ours.keys() | expected.keys():
            if name not in ours or name not in expected or not torch.equal(ours[name], expected[name]):
                wrong.append(f"{file}: {name} differs")
    return wrong


def _lines(one: Path, other: Path, name: str) -> list[str]:
    mine, theirs = _numbers(one / name), _numbers(other / name)
    wrong = [f"{name}: {text}" for a, b in zip(mine, theirs, strict=False) for text in _different(a, b)]
    if len(mine) != len(theirs):
        wrong.append(f"{name} has {len(mine)} lines instead of {len(theirs)}")
    return wrong[:3]


def _different(mine: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """What two lines have in different bits."""
    keys = [key for key in [*mine, *(theirs.keys() - mine.keys())] if repr(mine.get(key)) != repr(theirs.get(key))]
    return [f"step {mine.get('step')}: {key} is {mine.get(key)} instead of {theirs.get(key)}" for key in keys]


def _numbers(file: Path) -> list[dict[str, Any]]:
    lines = file.read_text().splitlines() if file.exists() else []
    return [{key: value for key, value in json.loads(line).items() if key not in CLOCK} for line in lines]


def _bytes(file: Path) -> bytes:
    return file.read_bytes() if file.exists() else b""
