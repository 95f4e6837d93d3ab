"""Writing one shard: under a temporary name, checked, and only then given its name."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from multiview.data.files.encoded import decoded
from multiview.data.modality import Modality
from multiview.data.source import BadSample, Plan, Row
from multiview.data.store.manifest import NO_SPLIT
from multiview.data.store.shard import (
    DIGEST,
    BadShardError,
    Layout,
    Reject,
    TooManyRejectsError,
    Written,
    check_shard,
    digest,
    reject_line,
)
from multiview.data.store.statistics import Moments, channels, moments_of
from multiview.errors import MultiviewError
from multiview.files import PARTIAL, sync

Copies = Mapping[str, str]
CHUNK = 32 * 1024
"""Bytes of a chunk of samples that differ in length, at most."""


def write_shard(
    path: Path,
    plan: Plan,
    rows: range,
    layout: Layout,
    allowed: float,
    tick: Callable[[int, int], None],
    copies: Copies,
) -> Written:
    """Writes the planned `rows` to `path` and returns what a check of the finished file found. Nothing but a whole shard
    has that name before or after. The shard is held in memory meanwhile.

    allowed: bad samples that may be left out; one more raises TooManyRejectsError. tick: called after every sample with
    1, and 1 when it is bad. copies: ids of samples to leave out, and what each is a copy of. Raises MultiviewError when
    the disk does not take the file.
    """
    import h5py

    # HDF5 2.0 ends the process with SIGSEGV when the disk is full, so it writes to memory and we write to the disk.
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        draft = _Draft(file, layout, len(rows))
        for number in rows:
            bad = draft.take(plan, number, copies)
            if draft.bad > allowed:
                raise TooManyRejectsError(draft.rejects)
            tick(1, int(bad))
        draft.finish()
    return _publish(path, memory, layout)


def readable(plan: Plan, number: int) -> bool:
    """Whether a planned sample can be read and holds what its source declared."""
    try:
        _read(plan, number)
    except BadSample:
        return False
    return True


def _publish(path: Path, memory: io.BytesIO, layout: Layout) -> Written:
    # A name of this process's own: one that was left behind by a killed parent may still be writing.
    partial = path.with_name(f"{path.name}.{socket.gethostname()}-{os.getpid()}{PARTIAL}")
    try:
        with partial.open("xb") as file:
            file.write(memory.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        written = check_shard(partial, layout, name=path.name)
        partial.rename(path)
        sync(path.parent)
    except (OSError, BadShardError) as cause:
        raise MultiviewError(
            f"{path} could not be written: {cause}. Nothing is lost: mend that and run the same command again, it goes "
            "on from here."
        ) from cause
    finally:
        partial.unlink(missing_ok=True)
    return written


class _Draft:
    """A shard that is being written: its open file and what is known of the samples so far."""

    def __init__(self, file: Any, layout: Layout, room: int) -> None:
        self.file = file
        self.layout = layout
        self.kept: list[Row] = []
        self.rejects: list[Reject] = []
        self.present: list[list[bool]] = []
        self.digests: list[bytes] = []
        self.moments = {each.name: Moments.none(channels(each)) for each in layout.modalities}
        self.columns = {each.name: _Samples(file, each, room) for each in layout.modalities}

    @property
    def bad(self) -> int:
        """Samples that could not be read."""
        return sum(reject.copy_of is None for reject in self.rejects)

    def take(self, plan: Plan, number: int, copies: Copies) -> bool:
        """Adds a planned sample, or notes why not; whether it is bad."""
        row = plan.rows[number]
        if row.id in copies:
            self.rejects.append(Reject(row.id, f"{row.id}: exact copy of {copies[row.id]}", copies[row.id]))
            return False
        try:
            sample = _read(plan, number)
        except BadSample as reason:
            self.rejects.append(Reject(row.id, str(reason)))
            return True
        self.add(row, sample)
        return False

    def add(self, row: Row, sample: Mapping[str, Sample]) -> None:
        for modality in self.layout.modalities:
            given = sample.get(modality.name)
            self.columns[modality.name].add(given.stored if given else None)
            if given and self.layout.measured in (None, row.split):
                found = moments_of(modality, given.seen)
                self.moments[modality.name] = self.moments[modality.name].joined(found)
        self.digests.append(digest({name: each.stored for name, each in sample.items()}))
        self.present.append([each.name in sample for each in self.layout.modalities])
        self.kept.append(row)

    def finish(self) -> None:
        for column in self.columns.values():
            column.finish()
        self._number_rows()
        self._note_presence()
        lines = "".join(reject_line(each) for each in self.rejects).encode()
        _column(self.file, "rejects", np.frombuffer(lines, "uint8"))
        self.file.attrs["origin"] = self.layout.origin

    def _number_rows(self) -> None:
        rows = self.kept
        label = _numbered(self.layout.classes, -1)
        split = _numbered(self.layout.splits, NO_SPLIT)
        _column(self.file, "label", np.array([label[row.label] for row in rows], "int64"))
        _column(self.file, "split", np.array([split[row.split] for row in rows], "uint8"))
        _column(self.file, "id", _texts([row.id for row in rows]))
        _column(self.file, "digest", np.frombuffer(b"".join(self.digests), "uint8").reshape(len(rows), DIGEST))
        for name in self.layout.factors:
            values = [row.factors.get(name, np.nan) for row in rows]
            _column(self.file, f"factor/{name}", np.array(values, "float64"))

    def _note_presence(self) -> None:
        there = np.array(self.present, "uint8").reshape(len(self.kept), len(self.layout.modalities))
        for index, modality in enumerate(self.layout.modalities):
            _column(self.file, f"present/{modality.name}", there[:, index])
            _column(self.file, f"statistics/{modality.name}", self.moments[modality.name].table)


@dataclass(frozen=True)
class Sample:
    """One modality of one sample: as it is stored, and as it is seen when it is read (decoded)."""

    stored: np.ndarray
    seen: np.ndarray


def _read(plan: Plan, number: int) -> dict[str, Sample]:
    """One sample as the source gives it, held to what the source declared; modalities it leaves out are missing in this
    sample.
    """
    name = plan.rows[number].id
    try:
        given = plan.read(number)
    except (BadSample, MultiviewError):
        raise
    except Exception as cause:  # a plugin's mistake must name the sample that it fell over
        raise MultiviewError(f"the source failed at sample '{name}': {type(cause).__name__}: {cause}.") from cause
    found = [modality for modality in plan.modalities if modality.name in given]
    if not found:
        raise BadSample(f"{name}: no modality is there")
    return {each.name: _checked(each, np.asarray(given[each.name]), name) for each in found}


def _checked(modality: Modality, array: np.ndarray, name: str) -> Sample:
    if array.dtype != np.dtype(modality.dtype) or not modality.takes(array.shape):
        raise MultiviewError(
            f"the source gave {modality.name} of '{name}' as {array.dtype}{array.shape} but declared "
            f"{modality.dtype}{modality.shape}; mend its `plan` or its `read`."
        )
    if not array.size:
        raise BadSample(f"{name}: {modality.name} is empty")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadSample(f"{name}: {modality.name} holds values that are not finite")
    return Sample(array, decoded(modality, array, name) if modality.encoding else array)


class _Samples:
    """The samples of one modality on their way into a shard."""

    def __init__(self, file: Any, modality: Modality, room: int) -> None:
        self.file = file
        self.modality = modality
        self.lengths: list[int] = []
        self.pieces: list[np.ndarray] = []
        self.fixed: Any = None if modality.ragged else _one_a_chunk(file, modality, room)

    def add(self, sample: np.ndarray | None) -> None:
        if sample is None:
            self.lengths.append(0)
            return
        if self.fixed is None:
            self.pieces.append(np.array(sample))  # a copy: the source may use its buffer again
        else:
            self.fixed[len(self.lengths)] = sample
        self.lengths.append(len(sample) if self.modality.ragged else 1)

    def finish(self) -> None:
        if self.fixed is not None:
            self.fixed.resize(len(self.lengths), axis=0)
            return
        none = np.empty((0, *self.modality.shape[1:]), self.modality.dtype)
        _end_to_end(self.file, self.modality.name, np.concatenate([none, *self.pieces]))
        _column(self.file, f"length/{self.modality.name}", np.array(self.lengths, "int64"))


def _one_a_chunk(file: Any, modality: Modality, rows: int) -> Any:
    # One sample a chunk: a random read touches exactly its own bytes and checks exactly its own checksum.
    return file.create_dataset(
        modality.name,
        shape=(rows, *modality.shape),
        maxshape=(rows, *modality.shape),
        chunks=(1, *modality.shape),
        dtype=modality.dtype,
        fletcher32=True,
        track_times=False,
    )


def _end_to_end(file: Any, name: str, data: np.ndarray) -> None:
    # Samples of any length: chunks so small that reading one touches little else, so large that they are few.
    each = int(np.prod(data.shape[1:])) * data.dtype.itemsize
    rows = max(1, min(len(data), CHUNK // each))
    file.create_dataset(name, data=data, chunks=(rows, *data.shape[1:]), fletcher32=True, track_times=False)


def _numbered(names: Sequence[str], none: int) -> dict[str | None, int]:
    numbers: dict[str | None, int] = {name: index for index, name in enumerate(names)}
    return numbers | {None: none}


def _column(file: Any, name: str, data: np.ndarray) -> None:
    room = (max(len(data), 1), *data.shape[1:])  # a chunk of no rows is not allowed
    file.create_dataset(name, data=data, maxshape=room, chunks=room, fletcher32=True, track_times=False)


def _texts(texts: Sequence[str]) -> np.ndarray:
    # Fixed width, because fletcher32 does not reach into HDF5's heap of variable strings.
    import h5py

    encoded = [text.encode() for text in texts]
    width = max(map(len, encoded), default=1)
    return np.array(encoded, h5py.string_dtype("utf-8", width))
