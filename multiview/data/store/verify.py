"""Whether a store is what its manifest says, found out by a process that a malformed file can only end."""

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
from multiview.data.store.reading import no_store
from multiview.errors import MultiviewError
from multiview.plurals import counted

SHOWN = 20


@dataclass(frozen=True)
class Verified:
    """What was found: the shards and rows looked at, and a sentence for everything that is wrong."""

    path: Path
    shards: int
    rows: int
    faults: tuple[str, ...]

    def lines(self) -> tuple[str, ...]:
        """What to tell the user."""
        looked = f"{self.path}: {counted(self.shards, 'shard')}, {counted(self.rows, 'sample')}"
        if not self.faults:
            return (f"{looked}: hashes, checksums, counts, digests and values are right.",)
        more = [f"and {len(self.faults) - SHOWN} more"] * (len(self.faults) > SHOWN)
        remedy = "Restore these files from a copy, or make the store again."
        return (*self.faults[:SHOWN], *more, f"{looked}: DAMAGED ({len(self.faults)}). {remedy}")


def verify(path: Path, memory: float = 8.0, seconds: float = 600.0) -> Verified:
    """Reads every byte of a store: sha256, checksums, counts, digests of the samples, finite values, ids.

    memory: gigabytes that the reading process may use. seconds: how long it may take over one shard. A shard that kills
    it or takes longer is a fault like any other. Raises MultiviewError when there is no store.
    """
    file = path / manifests.NAME
    if not file.is_file():
        raise no_store(path)
    try:
        manifest = Manifest.from_json(file.read_text(encoding="utf-8"))
    except (MultiviewError, UnicodeDecodeError) as cause:
        return Verified(path, 0, 0, (str(cause),))
    rows, faults, ids = 0, [], Counter[str]()
    for number, found in _examined(path, manifest, memory, seconds):
        name = manifest.shards[number].name
        faults += [f"{name}: {fault}" for fault in found["faults"]]
        rows += found["rows"]
        ids.update(found["ids"])
    faults += [f"the id '{name}' is there {count} times" for name, count in ids.items() if count > 1]
    if not faults:
        faults += _miscounted(manifest, rows)
    return Verified(path, len(manifest.shards), rows, tuple(faults))


def _miscounted(manifest: Manifest, rows: int) -> list[str]:
    return (
        [f"the manifest counts {counted(manifest.count, 'sample')}, the shards hold {rows}"]
        if rows != manifest.count
        else []
    )


def _examined(path: Path, manifest: Manifest, memory: float, seconds: float) -> Iterator[tuple[int, dict[str, Any]]]:
    """What each shard is found to be; a process that dies is replaced, behind the shard that it died of."""
    todo = list(range(len(manifest.shards)))
    while todo:
        with _Examination(path, todo, memory, seconds) as run:
            for found in run.results():
                yield todo.pop(0), found
            if todo:
                yield todo.pop(0), {"faults": [run.cause()], "rows": 0, "ids": []}


class _Examination:
    """One run of `multiview.data.store.examine` over some shards."""

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
            alarm = Timer(self.seconds, self._end)
            alarm.start()
            line = self.process.stdout.readline()
            alarm.cancel()
            if not line.endswith(b"\n"):
                return
            yield json.loads(line)

    def _end(self) -> None:
        self.late = True
        self.process.kill()

    def cause(self) -> str:
        """Why there are no more results."""
        code = self.process.wait()
        if self.late:
            return f"reading it takes more than {self.seconds:g} s"
        self.errors.seek(0)
        last = self.errors.read().decode(errors="replace").strip().splitlines()[-1:] or [""]
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"reading it ends the process ({how}{': ' * bool(last[0])}{last[0]})"
