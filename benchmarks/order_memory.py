"""Prints the memory of the order of an epoch and of the first batch, for stores of any size.

python benchmarks/order_memory.py [--samples 1e6 1e8 1e9] [--shards 10000] [--order window]

Each store has one real shard of a table, of which all other shards are hard links, and a column
file that repeats it (ids and digests are zeros, which a file system keeps as holes). A new
process opens the store, computes the first 100 batches of the order, and reads the first batch.
`peak` is the largest memory of that process beyond what its imports need. `--order exact` measures
the table of all samples, for comparison; give it few samples. The exit code is 1 when the largest
store needs 32 MB more than the smallest.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

LIMIT = 32 * 2**20
MEASURE = """
import json, sys, time
import numpy as np
import multiview as mv
from multiview.data.load.dataset import Loader, Samples
from multiview.data.load.sampler import Batches
def status(name):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(name))
view = mv.make_view("table", mv.Crop(), columns=4)

list(Batches(64, 32).for_epoch(0))
before, start = status("VmRSS"), time.perf_counter()
store = mv.Store.open(sys.argv[1])
samples = Samples(store, "train", {"x": view}, train=True, cache=0)
batches = Batches(len(samples), 256, windows=samples.windows(sys.argv[2]))
opened = time.perf_counter() - start
indices = batches.for_epoch(0)
start = time.perf_counter()
drawn = [next(indices) for _ in range(min(100, len(batches)))]
order, ordered = time.perf_counter() - start, status("VmHWM") - before
del indices, drawn
start = time.perf_counter()
batch = next(iter(Loader(samples, batches).for_epoch(0)))
assert len(batch) == 256 and batch.present["table"].all(), batch
first = time.perf_counter() - start
times = {"open": opened, "order": order, "first": first}
print(json.dumps({"times": times, "ordered": ordered, "peak": status("VmHWM") - before, "samples": len(samples)}))
"""


def make(folder: Path, samples: int, shards: int) -> None:
    """Makes a store of `shards` equal shards, with `samples` samples in all."""
    import numpy as np

    from multiview.data.sources.arrays import Arrays
    from multiview.data.store.manifest import NAME, Manifest
    from multiview.data.write.preprocess import preprocess

    rows = max(1, samples // shards)
    numbers = np.random.default_rng(0).random((rows, 4), np.float32)
    np.savez(folder / "numbers.npz", table=numbers, split=np.array(["train"] * rows), label=np.zeros(rows, int))
    store = folder / "store"
    preprocess(Arrays(), folder / "numbers.npz", store, shard_rows=rows)
    one = Manifest.read(store / NAME)
    names = [f"shard-{number:05d}.h5" for number in range(shards)]
    for name in names[1:]:
        os.link(store / one.shards[0].name, store / name)
    many = replace(
        one,
        count=rows * shards,
        splits={name: count * shards for name, count in one.splits.items()},
        shards=tuple(replace(one.shards[0], name=name) for name in names),
    )
    (store / NAME).write_text(many.to_json())
    write_columns(store, many)


def write_columns(store: Path, manifest: Any) -> None:
    """A column file of equal shards: zeros are holes, other columns repeat those of one shard."""
    from multiview.data.store import columnfile as files
    from multiview.data.store.shardfiles import ShardFiles

    shards, rows = len(manifest.shards), manifest.shards[0].rows
    real = ShardFiles(store, manifest.shards)
    places = files._places(files.column_names(manifest), manifest.count)
    places[files.ID] = files.Place("uint8", (1,), max(place.stop for place in places.values()), manifest.count)
    parts = {name: bytes(rows * place.row_bytes) for name, place in places.items()}
    parts |= {name: real.column(0, name).tobytes() for name in places if name not in ("digest", files.ID)}
    hashes = {name: _hash(part, shards) for name, part in parts.items()}
    sums = {files.PARTS + name: f"{zlib.crc32(part):08x}" * shards for name, part in parts.items()}
    room = len(files._header_text(places, "", files._no_hashes(places, shards), 0))
    with (store / files.NAME).open("wb") as file:
        file.write(room.to_bytes(files.LENGTH_BYTES, "little"))
        file.write(files._header_text(places, files.hash_of_shards(manifest.shards), hashes | sums, room))
        for name, part in parts.items():
            file.seek(files.LENGTH_BYTES + room + places[name].start)
            for _ in range(shards if any(part) else 0):
                file.write(part)
        file.truncate(files.LENGTH_BYTES + room + places[files.ID].stop)


def _hash(part: bytes, shards: int) -> str:
    """sha256 of a column; not of a large one, of which only parts are read."""
    return hashlib.sha256(part * shards).hexdigest() if len(part) * shards < 2**28 else ""


def measure(samples: int, shards: int, order: str) -> int:
    """Prints one line, and returns the peak in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), samples, shards)
        words = [sys.executable, "-c", MEASURE, str(Path(folder) / "store"), order]
        found = json.loads(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)
    seconds = "  ".join(f"{name} {value:.2f} s" for name, value in found["times"].items())
    print(
        f"{found['samples']:>13,} samples, {order}: order {found['ordered'] / 2**20:.1f} MB, with the first batch "
        f"{found['peak'] / 2**20:.1f} MB;  {seconds}",
        flush=True,
    )
    return int(found["peak"])


def main() -> int:
    """Measures every size; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=float, nargs="+", default=[1e6, 1e8, 1e9])
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--order", choices=["window", "exact"], default="window")
    given = parser.parse_args()
    peaks = [measure(int(samples), given.shards, given.order) for samples in given.samples]
    return int(peaks[-1] - peaks[0] > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
