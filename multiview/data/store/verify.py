"""Checks a store in a separate process, so that a malformed file can crash only that process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from typing import Any, Self

from multiview.data.store import manifest as manifests
from multiview.data.store.manifest import Manifest
from multiview.data.store.reading import not_a_store
from multiview.errors import MultiviewError
from multiview.plurals import counted

SHOWN = 20


@dataclass(frozen=True)
class Verification:
    """The numbers of shards and rows that were read, and one sentence per fault."""

    path: Path
    shards: int
    rows: int
    faults: tuple[str, ...]

    def lines(self) -> tuple[str, ...]:
        """The lines for the user."""
        size = f"{self.path}: {counted(self.shards, 'shard')}, {counted(self.rows, 'sample')}"
        if not self.faults:
            return (f"{size}: hashes, checksums, counts, digests and values are right.",)
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
        manifest = Manifest.from_json(file.read_text(encoding="utf-8"))
    except (MultiviewError, UnicodeDecodeError) as cause:
        return Verification(path, 0, 0, (str(cause),))
    rows, faults, ids = 0, [], Counter[str]()
    for number, result in _examine_shards(path, manifest, memory, seconds):
        name = manifest.shards[number].name
        faults += [f"{name}: {fault}" for fault in result["faults"]]
        rows += result["rows"]
        ids.update(result["ids"])
    faults += [f"the id '{name}' occurs {count} times" for name, count in ids.items() if count > 1]
    if not faults:
        faults += _count_faults(manifest, rows)
    return Verification(path, len(manifest.shards), rows, tuple(faults))


def _count_faults(manifest: Manifest, rows: int) -> list[str]:
    if rows == manifest.count:
        return []
    return [f"the manifest counts {counted(manifest.count, 'sample')}, the shards hold {rows}"]


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
        self.process = subprocess.Popen(
            [sys.executable, "-m", "multiview.data.store.examine", *words],
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
