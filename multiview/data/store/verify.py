"""Checks a store in a separate process, so that a malformed file can crash only that process."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from typing import Any, Self

import numpy as np

from multiview.child import start_module
from multiview.data.store import columnfile
from multiview.data.store import manifest as manifests
from multiview.data.store.columnfile import ColumnFile, ColumnFileError, column_names
from multiview.data.store.manifest import Manifest, has_checksum
from multiview.data.store.reading import not_a_store
from multiview.data.store.statistics import Moments, Statistics, channels
from multiview.errors import MultiviewError
from multiview.plurals import counted

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

    path: Path
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


def verify(path: Path, memory: float = 8.0, seconds: float = 600.0) -> Verification:
    """Reads a whole store and checks sha256, checksums, counts, digests, values and ids.

    memory: gigabytes that the reading process may use. seconds: time limit per shard. A shard that
    kills the process or takes longer is reported as a fault. Raises MultiviewError when there is no
    store.
    """
    file = path / manifests.NAME
    if not file.is_file():
        raise not_a_store(path)
    try:
        manifest = Manifest.read(file)
    except MultiviewError as cause:
        return Verification(path, 0, 0, (str(cause),))
    rows, faults, ids, results = 0, list(_column_file_faults(path, manifest)), Counter[str](), []
    for number, result in _examine_shards(path, manifest, memory, seconds):
        name = manifest.shards[number].name
        faults += [f"{name}: {fault}" for fault in result["faults"]]
        faults += [_column_fault(f"/{column} is not that of {name}") for column in result.get("columns", ())]
        rows += result["rows"]
        ids.update(result["ids"])
        results.append(result)
    faults += [f"the id '{name}' occurs {count} times" for name, count in ids.items() if count > 1]
    if not faults:
        faults += _count_faults(manifest, results)
    notes = () if has_checksum(file.read_text(encoding="utf-8")) else (NO_CHECKSUM.format(file),)
    return Verification(path, len(manifest.shards), rows, tuple(faults), notes)


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


def _examine_shards(
    path: Path, manifest: Manifest, memory: float, seconds: float
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The result for each shard. After a crash a new process continues with the next shard."""
    remaining = list(range(len(manifest.shards)))
    while remaining:
        with _Examination(path, remaining, memory, seconds) as run:
            for result in run.results():
                yield remaining.pop(0), result
            if remaining:
                yield remaining.pop(0), {"faults": [run.cause()], "rows": 0, "ids": []}


class _Examination:
    """One process that examines shards."""

    def __init__(self, path: Path, numbers: Sequence[int], memory: float, seconds: float) -> None:
        words = [str(path), str(int(memory * 1e9)), *map(str, numbers)]
        self.seconds = seconds
        self.late = False
        self.errors = TemporaryFile()  # noqa: SIM115 (closed by __exit__)
        self.process = start_module(
            "multiview.data.store.examine",
            *words,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
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
