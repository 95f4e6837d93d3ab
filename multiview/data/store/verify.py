"""Checks a store in a separate process, so that a malformed file can crash only that process."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from threading import Timer
from typing import Any, Self

import numpy as np

from multiview.child import start_module
from multiview.data.store import columnfile
from multiview.data.store import manifest as manifests
from multiview.data.store.columnfile import ColumnFile, ColumnFileError, column_names
from multiview.data.store.fetched import fetched
from multiview.data.store.manifest import Manifest, has_checksum, not_a_store
from multiview.data.store.statistics import Moments, Statistics, channels
from multiview.errors import MultiviewError
from multiview.plurals import counted
from multiview.remote.address import is_address
from multiview.remote.cache import DIR_VARIABLE, SIZE_VARIABLE

SHOWN = 20
NO_CHECKSUM = (
    "{} carries no checksum of itself, because an older version wrote it: its class names, units and options were "
    "not checked."
)


@dataclass(frozen=True)
class Verification:
    """The numbers of shards and rows that were read, and one sentence per fault.

    notes: sentences about what could not be checked.
    """

    path: Path | str
    shards: int
    rows: int
    faults: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """The lines for the user."""
        size = f"{self.path}: {counted(self.shards, 'shard')}, {counted(self.rows, 'sample')}"
        if not self.faults:
            return (*self.notes, f"{size}: hashes, checksums, counts, digests and values are right.")
        more = [f"and {len(self.faults) - SHOWN} more"] * (len(self.faults) > SHOWN)
        remedy = "Restore these files from a copy, or make the store again."
        return (*self.faults[:SHOWN], *more, f"{size}: DAMAGED ({len(self.faults)}). {remedy}")


def verify(path: Path | str, memory: float = 8.0, seconds: float = 600.0) -> Verification:
    """Reads a whole store and checks sha256, checksums, counts, digests, values and ids.

    path: its folder, or its address as a text: then every shard is fetched anew. memory: gigabytes
    that the reading process may use. seconds: time limit per shard. A shard that kills the process
    or takes longer is reported as a fault. Raises MultiviewError when there is no store.
    """
    if isinstance(path, str) and is_address(path):
        with TemporaryDirectory() as root:
            return _verify_fetched(path, Path(root), memory, seconds)
    file = (path := Path(path)) / manifests.NAME
    if not file.is_file():
        raise not_a_store(path)
    try:
        manifest = Manifest.read(file)
    except MultiviewError as cause:
        return Verification(path, 0, 0, (str(cause),))
    return _verify(path, manifest, path, _Limits(memory, seconds))


def _verify_fetched(address: str, root: Path, memory: float, seconds: float) -> Verification:
    """Verifies the store at an address, which is fetched into `root`, one shard at a time."""
    cache, manifest = fetched(address, root=root)
    beside = sum(path.stat().st_size for path in cache.folder.iterdir() if path.is_file())
    room = beside + max((shard.size for shard in manifest.shards), default=0)
    variables = {DIR_VARIABLE: str(root), SIZE_VARIABLE: str(room)}
    return _verify(cache.folder, manifest, address, _Limits(memory, seconds, variables))


@dataclass(frozen=True)
class _Limits:
    """Gigabytes, seconds per shard, and variables of the environment of the reading process."""

    memory: float
    seconds: float
    variables: Mapping[str, str] = field(default_factory=dict)


def _verify(path: Path, manifest: Manifest, name: Path | str, limits: _Limits) -> Verification:
    """path: the folder with manifest and columns. name: the store as it was given."""
    rows, faults, ids, results = 0, list(_column_file_faults(path, manifest)), Counter[str](), []
    for number, result in _examine_shards(name, manifest, limits):
        shard = manifest.shards[number].name
        faults += [f"{shard}: {fault}" for fault in result["faults"]]
        faults += [_column_fault(f"/{column} is not that of {shard}") for column in result.get("columns", ())]
        rows += result["rows"]
        ids.update(result["ids"])
        results.append(result)
    faults += [f"the id '{each}' occurs {count} times" for each, count in ids.items() if count > 1]
    if not faults:
        faults += _count_faults(manifest, results)
    return Verification(name, len(manifest.shards), rows, tuple(faults), _notes(path / manifests.NAME))


def _notes(file: Path) -> tuple[str, ...]:
    return () if has_checksum(file.read_text(encoding="utf-8")) else (NO_CHECKSUM.format(file),)


def _column_file_faults(path: Path, manifest: Manifest) -> Iterator[str]:
    """Why the column file is not used; a store without one is whole."""
    try:
        file = ColumnFile(path, manifest)
        for name in column_names(manifest):
            if name in file:
                file[name]
    except FileNotFoundError:
        return
    except (OSError, ColumnFileError) as cause:
        yield _column_fault(str(cause))


def _column_fault(fault: str) -> str:
    return f"{columnfile.NAME}: {fault}. Delete this file: the store is whole without it"


def _count_faults(manifest: Manifest, results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What the manifest says otherwise than its shards, which are whole."""
    rows = sum(result["rows"] for result in results)
    if rows != manifest.count:
        yield f"the manifest counts {counted(manifest.count, 'sample')}, the shards hold {rows}"
    rejected = sum(result["rejected"] for result in results)
    if rejected != manifest.rejected:
        yield f"the manifest counts {manifest.rejected} rejected samples, the shards list {rejected}"
    for place, (name, count) in enumerate(manifest.splits.items()):
        found = sum(result["splits"][place] for result in results)
        if found != count:
            yield f"the manifest counts {counted(count, 'sample')} in the split {name}, the shards hold {found}"
    yield from _statistics_faults(manifest, results)


def _statistics_faults(manifest: Manifest, results: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for modality in manifest.modalities:
        moments = Moments.none(channels(modality))
        for result in results:
            moments = moments.joined(Moments(np.array(result["moments"][modality.name])))
        if not _equal(manifest.statistics.get(modality.name), moments.statistics()):
            yield f"the statistics of {modality.name} in the manifest are not those of the shards"


def _equal(written: Statistics | None, found: Statistics | None) -> bool:
    """Whether statistics are equal, up to the rounding of another order of additions."""
    if written is None or found is None:
        return written is found
    numbers = [np.array([each.mean, each.std, each.low, each.high]) for each in (written, found)]
    return written.count == found.count and bool(np.allclose(numbers[0], numbers[1], rtol=1e-9, atol=1e-12))


def _examine_shards(store: Path | str, manifest: Manifest, limits: _Limits) -> Iterator[tuple[int, dict[str, Any]]]:
    """The result for each shard. After a crash a new process continues with the next shard."""
    remaining = list(range(len(manifest.shards)))
    while remaining:
        with _Examination(store, remaining, limits) as run:
            for result in run.results():
                yield remaining.pop(0), result
            if remaining:
                yield remaining.pop(0), {"faults": [run.cause()], "rows": 0, "ids": []}


class _Examination:
    """One process that examines shards."""

    def __init__(self, store: Path | str, numbers: Sequence[int], limits: _Limits) -> None:
        words = [str(store), str(int(limits.memory * 1e9)), *map(str, numbers)]
        self.seconds = limits.seconds
        self.late = False
        self.errors = TemporaryFile()  # noqa: SIM115 (closed by __exit__)
        self.process = start_module(
            "multiview.data.store.examine",
            *words,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env={**os.environ, **limits.variables, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def results(self) -> Iterator[dict[str, Any]]:
        assert self.process.stdout is not None
        while True:
            alarm = Timer(self.seconds, self._stop_late)
            alarm.start()
            line = self.process.stdout.readline()
            alarm.cancel()
            if not line.endswith(b"\n"):
                return
            yield json.loads(line)

    def _stop_late(self) -> None:
        self.late = True
        self.process.kill()

    def cause(self) -> str:
        """Why the process gave no further result."""
        code = self.process.wait()
        if self.late:
            return f"reading it takes more than {self.seconds:g} s"
        self.errors.seek(0)
        last = self.errors.read().decode(errors="replace").strip().splitlines()[-1:] or [""]
        ending = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"reading it ends the process ({ending}{': ' * bool(last[0])}{last[0]})"
