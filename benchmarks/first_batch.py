"""Prints how long a new process needs from opening a store of many shards to its first batch.

python benchmarks/first_batch.py [--shards 1000] [--rows 10] [--batch 64] [--old]

The store is made in a temporary folder: one shard of scenes, of which all other shards are hard
links, so that only the manifest and the number of files grow. With `--old` the store has no column
file, as older versions wrote it: the first process makes it, the second reads it. The limit is 5 s
for 10,000 shards; the exit code is 1 when the last process needs more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

LIMIT = 5.0
MEASURE = """
import json, resource, sys, time
import multiview as mv
from multiview.data.load.dataset import Loader, Samples
from multiview.data.load.sampler import Batches
from multiview.views import Lab
view = Lab.lightness(mv.Crop(size=32))
times = [time.perf_counter()]
store = mv.Store.open(sys.argv[1])
times.append(time.perf_counter())
samples = Samples(store, "train", {"L": view}, train=True, cache=0)
times.append(time.perf_counter())
batch = next(iter(Loader(samples, Batches(len(samples), int(sys.argv[2]), 0)).for_epoch(0)))
times.append(time.perf_counter())
parts = [after - before for before, after in zip(times, times[1:])]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"parts": parts, "total": sum(parts), "samples": len(samples), "peak": peak}))
"""


def make(folder: Path, shards: int, rows: int, old: bool) -> None:
    """Makes the store of `shards` equal shards in `folder`."""
    from multiview.data.sources.scenes import Scenes
    from multiview.data.store import columnfile
    from multiview.data.store.manifest import NAME, Manifest
    from multiview.data.write.preprocess import preprocess

    preprocess(Scenes(count=rows), None, folder, shard_rows=rows)
    one = Manifest.read(folder / NAME)
    for number in range(1, shards):
        os.link(folder / one.shards[0].name, folder / f"shard-{number:05d}.h5")
    many = replace(
        one,
        count=rows * shards,
        splits={name: count * shards for name, count in one.splits.items()},
        shards=tuple(replace(one.shards[0], name=f"shard-{number:05d}.h5") for number in range(shards)),
    )
    (folder / NAME).write_text(many.to_json())
    if old:
        (folder / columnfile.NAME).unlink()
    else:
        columnfile.write_columns(folder, many)


def measure(folder: Path, batch: int) -> float:
    """Prints the seconds of one new process, and returns them."""
    words = [sys.executable, "-c", MEASURE, str(folder), str(batch)]
    found = json.loads(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)
    opened, samples, first = found["parts"]
    print(
        f"{found['samples']} training samples: store {opened:.2f} s, samples {samples:.2f} s, "
        f"batch of {batch} {first:.2f} s; in all {found['total']:.2f} s, peak {found['peak'] / 1024:.0f} MB"
    )
    return float(found["total"])


def main() -> int:
    """Makes the store, measures two new processes, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=10)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--old", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / "store", given.shards, given.rows, given.old)
        for _ in range(2):
            seconds = measure(Path(folder) / "store", given.batch)
    print(f"{given.shards} shards: {seconds:.2f} s to the first batch (limit {LIMIT:g} s).")
    return int(seconds > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
