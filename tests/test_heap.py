"""Freed memory stays with the process where glibc is asked to keep it."""

from __future__ import annotations

import subprocess
import sys

FAULTS = """
import resource, sys, torch
from multiview.heap import keep_freed_memory
kept = sys.argv[1] == "keep" and keep_freed_memory()
def faults():
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            x, y = torch.ones(3_000_000), torch.ones(3_000_000)
            del x, y
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(int(kept), faults())
"""


def counted(word: str) -> list[int]:
    words = [sys.executable, "-c", FAULTS, word]
    return [int(x) for x in subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()]


def test_pages_are_not_faulted_in_again() -> None:
    (kept, faults), (_, otherwise) = counted("keep"), counted("as it is")
    if kept:
        assert faults < otherwise / 4
