"""With glibc, freed memory stays with the process."""

from __future__ import annotations

import subprocess
import sys

FAULTS = """
import resource, torch
from multiview.heap import keep_freed_memory
kept = keep_freed_memory()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        x, y = torch.ones(3_000_000), torch.ones(3_000_000)
        del x, y
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
ONCE = 2 * 12_000_000 // 4096
"""Pages of both tensors. Without the call, each of the 20 turns may fault them in again."""


def test_pages_are_not_faulted_in_again() -> None:
    words = [sys.executable, "-c", FAULTS]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    kept, faults = (int(x) for x in done.stdout.split())
    if kept:
        assert faults < ONCE
