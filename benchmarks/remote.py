"""One epoch of a store at an address beside the same store on the disk: cold, warm, with faults.

python benchmarks/remote.py STORE [--modality image] [--shards_of_cache 3]

The address is an S3 server of moto in a process of its own, on this machine. Needs moto and s3fs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from faulty_proxy import Proxy

from multiview.data.load.dataset import Loader, Samples
from multiview.data.load.sampler import Batches
from multiview.data.store.reading import Store
from multiview.remote import transfer
from multiview.view import Crop, make_view

ADDRESS = "s3://bench/store"
FAULTS = ("drop", "truncate", "bytes", "503", "late")


@contextmanager
def server(port: int) -> Iterator[None]:
    """moto's server on a port of this machine."""
    command = [sys.executable, "-m", "moto.server", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            time.sleep(3)
            yield
        finally:
            running.terminate()


def epoch(store: Store, name: str) -> tuple[float, float, int]:
    """Seconds to the first batch, seconds of the epoch, and a sum over all pixels."""
    view = make_view(name, Crop(size=64))
    started = time.perf_counter()
    samples = Samples(store, "train", {name: view}, train=True, cache=0)
    loader = Loader(samples, Batches(len(samples), 128), workers=0)
    first, total = 0.0, 0
    for batch in loader.for_epoch(0):
        first = first or time.perf_counter() - started
        total += sum(int(torch.as_tensor(x).double().sum()) for crop in batch.crops.values() for x in crop.values())
    return first, time.perf_counter() - started, total


def cache_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def show(name: str, found: tuple[float, float, int], proxy: Proxy, note: str = "") -> None:
    first, whole, total = found
    fetched = sum(count for file, count in proxy.gets.items() if file.endswith(".h5"))
    print(f"{name:<28}{first:>10.2f}{whole:>10.2f}{fetched:>10}   {total}  {note}", flush=True)
    proxy.gets.clear()


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("--view", default="rgb")
    parser.add_argument("--shards_of_cache", type=float, default=3.2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    local = Store.open(options.store)
    with tempfile.TemporaryDirectory() as folder, server(5055):
        proxy, cache = Proxy(5055), Path(folder, "cache")
        keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
        os.environ.update(keys, AWS_ENDPOINT_URL=proxy.address, MULTIVIEW_CACHE_DIR=str(cache))
        transfer.filesystem("s3://bench").mkdir("bench")
        for file in sorted(local.path.glob("*.*")):
            transfer.send(file, ADDRESS, file.name)
        sizes = [shard.size for shard in local.manifest.shards]
        print(f"{len(local):,} samples, {len(sizes)} shards, {sum(sizes) / 1e6:.0f} MB")
        print(f"{'':<28}{'first, s':>10}{'epoch, s':>10}{'fetched':>10}   sum of all pixels")
        epoch(local, options.view)
        show("local disk", epoch(local, options.view), proxy)
        show("address, cold", epoch(Store.open(ADDRESS), options.view), proxy)
        show("address, warm", epoch(Store.open(ADDRESS), options.view), proxy)
        for fault in FAULTS:
            os.environ["MULTIVIEW_CACHE_DIR"] = str(Path(folder, fault))
            proxy.spoil = lambda name, number, fault=fault: fault if name.endswith(".h5") and number == 1 else None
            show(f"cold, each first: {fault}", epoch(Store.open(ADDRESS), options.view), proxy)
        proxy.spoil = lambda *_: None
        os.environ["MULTIVIEW_CACHE_DIR"] = str(small := Path(folder, "small"))
        limit = int(options.shards_of_cache * max(sizes))
        store = Store.open(ADDRESS, limit)
        show("small cache", epoch(store, options.view), proxy, f"{cache_bytes(small):,} of {limit:,} bytes")


if __name__ == "__main__":
    main()
