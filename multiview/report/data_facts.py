"""What the page says about the data: what the store holds, splits, presence, rejects and leaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from multiview.report.gather import Gathered

NOWHERE = "none"
OWN_DRAWING = ("splits", "presence")
"""Lines of the store that the page draws as bars."""


def store_lines(run: Gathered) -> list[tuple[str, str]]:
    """What the data holds, in words; of the measured views only those of the run."""
    lines = [(str(heading), str(text)) for heading, text in run.data.get("store", [])]
    drawn = OWN_DRAWING if "splits" in run.data else ()
    return [
        line for line in lines if line[0] not in drawn and (not line[0].startswith("view ") or line[0][5:] in run.views)
    ]


def data_facts(run: Gathered) -> dict[str, Any]:
    """`splits` and `presence` as bars, `rejected` samples, and `leaks`; empty for older runs."""
    data = run.data
    rejected = data.get("rejected", {})
    patterns = [(" + ".join(names) or NOWHERE, count) for names, count in data.get("presence", [])]
    return {
        "splits": _bars(data.get("splits", [])),
        "presence": _bars(patterns),
        "rejected": int(rejected.get("count", 0)),
        "first_rejected": rejected.get("first", []),
        "leaks": data.get("leaks", []),
        "known": "splits" in data,
    }


def _bars(counts: Sequence[Sequence[Any]]) -> list[tuple[str, int, float]]:
    """Name, count and share in percent of each."""
    total = max(sum(int(count) for _, count in counts), 1)
    return [(str(name), int(count), round(100 * int(count) / total, 1)) for name, count in counts]
