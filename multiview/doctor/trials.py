"""Two small trials: a store is written and read, and two processes add their numbers."""

from __future__ import annotations

import datetime
import os
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import Any

import numpy as np

from multiview.distributed import free_port
from multiview.doctor.finding import BROKEN, FOLDER, OK, Finding, reason

SAMPLES = 8
MEETING_SECONDS = 6
"""How long two processes have to meet."""


def store() -> Iterator[Finding]:
    """Writes a store of a few scenes into the current folder, and reads it."""
    from multiview.data.sources.scenes import Scenes
    from multiview.data.store.reading import Store
    from multiview.data.write.preprocess import preprocess

    place = Path.cwd() if os.access(Path.cwd(), os.W_OK) else Path(tempfile.gettempdir())
    start = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix=FOLDER.format(pid=os.getpid()), dir=place) as folder:
            source = Scenes(count=SAMPLES)
            preprocess(source, None, Path(folder, "store"), workers=1)
            opened = Store.open(Path(folder, "store"))
            right = np.array_equal(opened.read([3], "image")[0], source.plan(None).read(3)["image"])
            opened.close()
    except Exception as cause:  # h5py raises anything on a strange file system
        advice = "Stores cannot be written here: start in a folder on another disk."
        yield Finding("store", BROKEN, f"writing and reading failed: {reason(cause)}", advice)
        return
    text = f"{SAMPLES} samples written and read in {time.perf_counter() - start:.1f} s"
    if right:
        yield Finding("store", OK, text)
        return
    yield Finding("store", BROKEN, "a sample was read with other values than were written", "Do not use this disk.")


def two_processes() -> Iterator[Finding]:
    """Starts two processes that add their numbers over gloo, as `accelerate launch` does."""
    import torch.distributed  # noqa: F401  # before the fork, so that the limit is for the meeting alone

    port, start = free_port(), time.perf_counter()
    context: Any = get_context("fork" if "fork" in get_all_start_methods() else "spawn")
    answers = context.SimpleQueue()
    peers = [context.Process(target=_meet, args=(rank, port, answers), daemon=True) for rank in (0, 1)]
    for peer in peers:
        peer.start()
    for peer in peers:
        peer.join(max(0.0, start + MEETING_SECONDS - time.perf_counter()))
    late = any(peer.exitcode is None for peer in peers)
    for peer in peers:
        peer.kill()
    yield _about_meeting(time.perf_counter() - start, late, [answers.get() for _ in peers if not answers.empty()])


def _about_meeting(seconds: float, late: bool, answers: list[str]) -> Finding:
    trouble = next(filter(None, answers), "no answer" if late or len(answers) < 2 else "")
    if not trouble:
        return Finding("two processes", OK, f"added their numbers over gloo in {seconds:.1f} s")
    advice = "Try GLOO_SOCKET_IFNAME=lo, and look for a firewall or a wrong line in /etc/hosts."
    text = f"could not meet on this machine within {seconds:.1f} s: {trouble}"
    return Finding("two processes", BROKEN, text, advice)


def _meet(rank: int, port: int, answers: Any) -> None:
    """Joins the other process and adds its number to the other's; answers what went wrong."""
    import torch
    import torch.distributed as dist

    limit = datetime.timedelta(seconds=MEETING_SECONDS - 1)
    try:
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2, timeout=limit)
        number = torch.tensor([rank + 1.0])
        dist.all_reduce(number)
        dist.destroy_process_group()
        answers.put("" if number.item() == 3.0 else f"1 + 2 gave {number.item()}")
    except Exception as cause:  # gloo raises several types
        answers.put(reason(cause))
