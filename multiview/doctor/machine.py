"""What the machine offers: cores, memory, disks and file handles. Nothing here needs torch."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from multiview.cgroups import cpu_quota, memory_limit, memory_used
from multiview.cores import available_cores, chosen_cores
from multiview.doctor.finding import ADVICE, BROKEN, OK, Finding, reason, short
from multiview.files import size_text

GB = 10**9
MB = 10**6
LITTLE_MEMORY, LITTLE_DISK, LITTLE_SHARED = 2 * GB, 2 * GB, 256 * MB
FEW_HANDLES = 1024
SLOW_DISK = 50 * MB
"""Bytes a second below which advice is given."""
WRITTEN, WRITING_SECONDS = 64 * MB, 1.0
VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "MASTER_ADDR",
    "GLOO_SOCKET_IFNAME",
    "NCCL_SOCKET_IFNAME",
    "PYTHONPATH",
)
"""Variables of the environment that change what a run does."""


def python() -> Iterator[Finding]:
    """The interpreter and the system."""
    where = short(sys.executable)
    yield Finding("python", OK, f"{platform.python_version()} at {where}; {platform.platform(terse=True)}")


def variables() -> Iterator[Finding]:
    """The variables of the environment that change a run."""
    given = [f"{name}={short(os.environ[name])}" for name in VARIABLES if os.environ.get(name)]
    if given:
        yield Finding("variables", OK, ", ".join(given))


def cores() -> Iterator[Finding]:
    """How many cores the process may use, and who limits them."""
    all_cores, affinity, quota = os.cpu_count() or 1, chosen_cores(), cpu_quota()
    parts = [f"{available_cores()} usable"]
    if affinity < all_cores:
        parts.append(f"{affinity} of {all_cores} by the affinity of the process")
    if quota is not None:
        parts.append(f"{quota:g} by the limit of the container")
    few = available_cores() == 1
    advice = "With one core, training and reading of data take turns; give the process more cores." if few else ""
    yield Finding("cores", ADVICE if few else OK, "; ".join(parts), advice)


def memory() -> Iterator[Finding]:
    """Free memory of the machine and of the container."""
    total, free = _memory_of_machine()
    limit, used = memory_limit(), memory_used()
    text = f"{size_text(free)} of {size_text(total)} free"
    if limit is not None and limit < total:
        free = min(free, max(0, limit - (used or 0)))
        text = f"{size_text(free)} free of the container's {size_text(limit)} (machine: {text})"
    little = free < LITTLE_MEMORY
    advice = "Free some memory, or train with a smaller --batch or with --micro_batch." if little else ""
    yield Finding("memory", ADVICE if little else OK, text, advice)


def _memory_of_machine() -> tuple[int, int]:
    """Bytes in all, and bytes that a program can still get."""
    page = os.sysconf("SC_PAGE_SIZE")
    total, free = page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
    file = Path("/proc/meminfo")
    for line in file.read_text().splitlines() if file.exists() else ():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    return total, free


def shared_memory() -> Iterator[Finding]:
    """The folder through which loader workers hand over batches."""
    folder = Path("/dev/shm")
    if not folder.exists():
        return
    free = shutil.disk_usage(folder).free
    little = free < LITTLE_SHARED
    advice = "Loader workers hand over batches there: start the container with --shm-size=2g, or use --workers 0."
    text = f"{size_text(free)} free in {folder}"
    yield Finding("shared memory", ADVICE if little else OK, text, advice if little else "")


def file_handles() -> Iterator[Finding]:
    """How many files a process may hold open."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = soft != resource.RLIM_INFINITY and soft < FEW_HANDLES
    advice = f"Stores of many shards are read faster with more: `ulimit -n {min(hard, 4096)}`." if few else ""
    text = "no limit" if soft == resource.RLIM_INFINITY else f"{soft} open files (at most {hard} with `ulimit -n`)"
    yield Finding("file handles", ADVICE if few else OK, text, advice)


def disk(folders: tuple[str, ...]) -> Iterator[Finding]:
    """Free space and speed of each disk that holds one of the folders."""
    seen: set[int] = set()
    for name in folders:
        there = next(path for path in (Path(name).absolute(), *Path(name).absolute().parents) if path.exists())
        device = there.stat().st_dev
        if device not in seen:
            seen.add(device)
            yield _disk(there)


def _disk(folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    text = f"{short(folder)}: {size_text(usage.free)} of {size_text(usage.total)} free"
    try:
        speed = _writing_speed(folder)
    except OSError as cause:
        advice = "Nothing can be written there: start where you may write, or give --out and --cache."
        return Finding("disk", BROKEN, f"{text}; {reason(cause)}", advice)
    text += f"; writes {speed / MB:.0f} MB/s"
    if usage.free < LITTLE_DISK:
        return Finding("disk", ADVICE, text, "A store and the checkpoints of a run need room: free some space.")
    slow = "Keep stores and runs on a local disk; this one is slow." if speed < SLOW_DISK else ""
    return Finding("disk", ADVICE if slow else OK, text, slow)


def _writing_speed(folder: Path) -> float:
    """Bytes a second that reach the disk, measured for about a second."""
    block, count = os.urandom(4 * MB), 0
    with tempfile.TemporaryFile(dir=folder) as file:
        start = time.perf_counter()
        while count < WRITTEN and time.perf_counter() - start < WRITING_SECONDS:
            count += file.write(block)
            file.flush()
            os.fsync(file.fileno())
        return count / (time.perf_counter() - start)
