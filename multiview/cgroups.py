"""Limits that a container or a scheduler sets for this process (Linux control groups)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
NO_LIMIT = 1 << 60
"""Bytes from which a limit of version 1 means that there is none."""


def cpu_quota(root: Path = ROOT, own: Path = OWN) -> float | None:
    """How many cores' worth of time the process may use; None = no limit, or not known."""
    quotas = []
    for folder in _folders(root, own, "cpu"):
        quota, period = (*_text(folder / "cpu.max").split(), "", "")[:2]
        quota = quota or _text(folder / "cpu.cfs_quota_us")
        period = period or _text(folder / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory_limit(root: Path = ROOT, own: Path = OWN) -> int | None:
    """How many bytes of memory the process and its group may use; None = no limit, or not known."""
    folders = _folders(root, own, "memory")
    texts = [_text(folder / name) for folder in folders for name in ("memory.max", "memory.limit_in_bytes")]
    return min((int(text) for text in texts if text.isdecimal() and int(text) < NO_LIMIT), default=None)


def memory_used(root: Path = ROOT, own: Path = OWN) -> int | None:
    """Bytes that the group with the limit uses without what the system can drop; None = unknown."""
    for folder in _folders(root, own, "memory"):
        used = _text(folder / "memory.current") or _text(folder / "memory.usage_in_bytes")
        if used.isdecimal():
            return max(0, int(used) - _droppable(_text(folder / "memory.stat")))
    return None


def _droppable(statistics: str) -> int:
    """Bytes of files that are kept in memory and not in use."""
    counts = dict(line.split()[:2] for line in statistics.splitlines() if len(line.split()) >= 2)
    return int(counts.get("inactive_file", counts.get("total_inactive_file", "0")))


def _folders(root: Path, own: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's group and of the groups around it, innermost first."""
    for line in _text(own).splitlines():
        _, names, path = (*line.split(":", 2), "", "")[:3]
        if names and controller not in names.split(","):
            continue
        base = root / controller if names else root
        inside = Path(path.lstrip("/"))
        yield from (base / each for each in (inside, *inside.parents) if ".." not in each.parts)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf8").strip()
    except OSError:
        return ""
