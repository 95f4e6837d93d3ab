"""The one door by which names become things: entry points, for our own parts and for a stranger's package alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from multiview.errors import MultiviewError, unknown_name

GROUPS = ("views", "encoders", "objectives", "sources", "recipes")


@dataclass(frozen=True)
class Plugin:
    """A registered name, before it is imported."""

    name: str
    group: str
    target: str
    origin: str


@cache
def _entries(group: str) -> dict[str, EntryPoint]:
    if group not in GROUPS:
        raise ValueError(f"no plugin group '{group}'; there are {', '.join(GROUPS)}")
    return {entry.name: entry for entry in entry_points(group=f"multiview.{group}")}


def installed(group: str) -> list[Plugin]:
    """Every plugin of a group, by name, without importing any."""
    return [
        Plugin(name, group, entry.value, entry.dist.name if entry.dist else "unknown")
        for name, entry in sorted(_entries(group).items())
    ]


def load(group: str, name: str) -> Any:
    """The object registered under `name` in `group` (`views`, `encoders`, `objectives`, `sources`, `recipes`).

    Raises MultiviewError for an unknown name (with the nearest one) and for a plugin whose import fails (with the cause).
    """
    entries = _entries(group)
    if name not in entries:
        remedy = f'Add your own under [project.entry-points."multiview.{group}"].'
        raise unknown_name(group.removesuffix("s"), name, entries, remedy)
    try:
        return entries[name].load()
    except Exception as cause:
        origin = entries[name].dist
        package = origin.name if origin else "unknown package"
        raise MultiviewError(
            f"the {group.removesuffix('s')} '{name}' of {package} cannot be imported from {entries[name].value}: "
            f"{type(cause).__name__}: {cause}. Reinstall or update {package}."
        ) from cause
