"""How groups of views are named in tables and files."""

from __future__ import annotations

from collections.abc import Sequence

Group = tuple[str, ...]
CONCAT = "concat"
BESIDE = " + "


def group_name(group: Group, views: Sequence[str]) -> str:
    """`L`, `L + depth`, or `concat` for all of several views."""
    return CONCAT if len(group) == len(views) > 1 else BESIDE.join(group)
