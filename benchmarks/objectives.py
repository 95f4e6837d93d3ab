"""Compares time and peak memory of the objectives with the originals, on the same inputs.

Exits with 1 when a target is missed. The last columns compare with the least that the work costs on
this machine, measured in the same run (`_floors.py`); 1.3 or less is good.

make bench-objectives                      all kinds
make bench-objectives ARGS="cmc moco"      these kinds only
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence

import _large
import _step
import _works
import torch
from _measure import THREADS, Row, compared, show

KINDS: dict[str, list[Callable[[], Iterator[Row]]]] = {
    "cmc": [lambda: compared(_works.cmc(4096)), lambda: compared(_works.cmc(16_384))],
    "draws": [lambda: compared(_works.cmc_shared("all", 3200)), lambda: compared(_works.cmc_shared("step", 100_000))],
    "nt-xent": [
        lambda: compared(_works.nt_xent_broadcast(256)),
        *(lambda n=n: compared(_works.nt_xent_plain(n)) for n in (64, 256, 512, 1024)),
    ],
    "large": [lambda: _large.memory(16_384), lambda: _large.accuracy(16_384)],
    "moco": [lambda: compared(_works.moco())],
    "key-encoder": [lambda: compared(_works.key_encoder())],
    "step": [_step.overhead],
}


def main(argv: Sequence[str]) -> int:
    """Measures and prints; returns 0 when every target was met, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", help=f"what to measure: {', '.join(KINDS)} (default: all)")
    kinds = parser.parse_args(argv).kinds or list(KINDS)
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"no kind is called {', '.join(sorted(unknown))}; give some of {', '.join(KINDS)}")
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    rows = [row for kind in kinds for make in KINDS[kind] for row in make()]
    return 0 if show(f"Objectives, D = 128, {THREADS} threads, ratio = reference / ours", rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
