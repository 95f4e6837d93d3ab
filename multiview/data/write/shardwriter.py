"""Writes one shard: under a temporary name, then checked, then given its final name."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from multiview.data.files.encoded import decoded
from multiview.data.modality import Modality
from multiview.data.source import BadSample, Plan, Row
from multiview.data.store.manifest import DIGEST, NO_SPLIT
from multiview.data.store.shard import (
    BadShardError,
    Layout,
    Reject,
    ShardSummary,
    TooManyRejectsError,
    check_shard,
    digest,
    group_dataset,
    reject_line,
)
from multiview.data.store.statistics import Moments, channels, moments_of
from multiview.errors import MultiviewError
from multiview.files import create, partial_path, sync

Copies = Mapping[str, str]
"""Id of a sample to leave out -> id of the earlier sample that it equals."""
ATTRIBUTE_BYTES = 60_000
"""HDF5 takes attributes of up to 64 kB."""
CHUNK = 32 * 1024
"""Most bytes per chunk of a modality whose samples differ in length."""


def write_shard(
    path: Path,
    plan: Plan,
    rows: range,
    layout: Layout,
    allowed_bad: float,
    tick: Callable[[int, int], None],
    copies: Copies,
) -> ShardSummary:
    """Writes the planned `rows` to `path` and returns the summary of the checked file.

    Only a whole shard ever has the name `path`. allowed_bad: bad samples that may be left out; one
    more raises TooManyRejectsError, with all bad samples of these rows. tick: called after each
    sample with 1, and 1 when it is bad.
    Raises MultiviewError when the disk does not take the file.
    """
    import h5py

    # To memory first: HDF5 2.0 ends the process with SIGSEGV when the disk is full.
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        draft = _Draft(file, layout, len(rows))
        for number in rows:
            bad = draft.take(plan, number, copies)
            if draft.count_bad > allowed_bad:
                draft.note_unreadable(plan, range(number + 1, rows.stop))
                raise TooManyRejectsError(draft.rejects)
            tick(1, int(bad))
        draft.finish()
    return _publish(path, memory, layout)


def is_readable(plan: Plan, number: int) -> bool:
    """Whether a planned sample can be read."""
    try:
        _read(plan, number)
    except BadSample:
        return False
    return True


def _publish(path: Path, memory: io.BytesIO, layout: Layout) -> ShardSummary:
    partial = partial_path(path)
    try:
        with create(partial) as file:
            file.write(memory.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        summary = check_shard(partial, layout, name=path.name)
        partial.replace(path)
        sync(path.parent)
    except (OSError, BadShardError) as cause:
        raise MultiviewError(
            f"{path} could not be written: {cause}. Nothing is lost: mend the cause and run the same command again, it "
            "continues from here."
        ) from cause
    finally:
        partial.unlink(missing_ok=True)
    return summary


class _Draft:
    """A shard that is being written: its open file, and the facts about the samples so far."""

    def __init__(self, file: Any, layout: Layout, room: int) -> None:
        self.file = file
        self.layout = layout
        self.rows: list[Row] = []
        self.rejects: list[Reject] = []
        self.present: list[list[bool]] = []
        self.digests: list[bytes] = []
        self.moments = {each.name: Moments.none(channels(each)) for each in layout.modalities}
        self.columns = {each.name: _Samples(file, each, room) for each in layout.modalities}

    @property
    def count_bad(self) -> int:
        """Samples that could not be read."""
        return sum(reject.copy_of is None for reject in self.rejects)

    def note_unreadable(self, plan: Plan, rows: range) -> None:
        """Notes which of the rows cannot be read, so that a user can mend all of them at once."""
        for number in rows:
            try:
                _read(plan, number)
            except BadSample as reason:
                self.rejects.append(Reject(plan.rows[number].id, str(reason)))

    def take(self, plan: Plan, number: int, copies: Copies) -> bool:
        """Adds a planned sample, or notes why it is left out. Returns whether the sample is bad."""
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
                found = moments_of(modality, given.decoded)
                self.moments[modality.name] = self.moments[modality.name].joined(found)
        self.digests.append(digest({name: each.stored for name, each in sample.items()}))
        self.present.append([each.name in sample for each in self.layout.modalities])
        self.rows.append(row)

    def finish(self) -> None:
        for column in self.columns.values():
            column.finish()
        self._write_row_columns()
        self._write_presence()
        lines = "".join(reject_line(each) for each in self.rejects).encode()
        _create_column(self.file, "rejects", np.frombuffer(lines, "uint8"))
        self.file.attrs["origin"] = self.layout.origin
        self._describe()

    def _describe(self) -> None:
        """Names and units as attributes, for readers that know HDF5 only; the manifest decides."""
        for name, names in {"label": self.layout.classes, "split": self.layout.splits}.items():
            _set_texts(self.file[name], "names", names)
        for modality in self.layout.modalities:
            attributes = self.file[modality.name].attrs
            attributes["kind"], attributes["unit"] = modality.kind, modality.unit
            if modality.rate is not None:
                attributes["rate"] = float(modality.rate)
            if modality.encoding is not None:
                attributes["encoding"] = modality.encoding
            _set_texts(self.file[modality.name], "names", modality.names)

    def _write_row_columns(self) -> None:
        rows = self.rows
        label = _number_names(self.layout.classes, -1)
        split = _number_names(self.layout.splits, NO_SPLIT)
        _create_column(self.file, "label", np.array([label[row.label] for row in rows], "int64"))
        _create_column(self.file, "split", np.array([split[row.split] for row in rows], "uint8"))
        _create_column(self.file, "id", _encode_texts([row.id for row in rows]))
        _create_column(self.file, "digest", np.frombuffer(b"".join(self.digests), "uint8").reshape(len(rows), DIGEST))
        for name in self.layout.factors:
            values = [row.factors.get(name, np.nan) for row in rows]
            _create_column(self.file, f"factor/{name}", np.array(values, "float64"))
        for column, names in self.layout.groups.items():
            number = _number_names(names, -1)
            codes = [number[row.groups.get(column)] for row in rows]
            _create_column(self.file, group_dataset(column), np.array(codes, "int64"))

    def _write_presence(self) -> None:
        there = np.array(self.present, "uint8").reshape(len(self.rows), len(self.layout.modalities))
        for index, modality in enumerate(self.layout.modalities):
            _create_column(self.file, f"present/{modality.name}", there[:, index])
            _create_column(self.file, f"statistics/{modality.name}", self.moments[modality.name].table)


@dataclass(frozen=True)
class Sample:
    """One modality of one sample: the stored array, and the decoded array that a reader gets."""

    stored: np.ndarray
    decoded: np.ndarray


def _read(plan: Plan, number: int) -> dict[str, Sample]:
    """A sample from the source, checked against the declared modalities; some may be missing."""
    name = plan.rows[number].id
    try:
        given = plan.read(number)
    except (BadSample, MultiviewError):
        raise
    except Exception as cause:  # the error of a plugin must name the sample
        raise MultiviewError(f"the source failed at sample '{name}': {type(cause).__name__}: {cause}.") from cause
    found = [modality for modality in plan.modalities if modality.name in given]
    if not found:
        raise BadSample(f"{name}: no modality is there")
    return {each.name: _checked(each, np.asarray(given[each.name]), name) for each in found}


def _checked(modality: Modality, array: np.ndarray, name: str) -> Sample:
    if array.dtype != np.dtype(modality.dtype) or not modality.takes(array.shape):
        raise MultiviewError(
            f"the source gave {modality.name} of '{name}' as {array.dtype}{array.shape} but declared "
            f"{modality.dtype}{modality.shape}; mend the `plan` or the `read` of the source."
        )
    if not array.size:
        raise BadSample(f"{name}: {modality.name} is empty")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadSample(f"{name}: {modality.name} holds values that are not finite")
    return Sample(array, decoded(modality, array, name) if modality.encoding else array)


class _Samples:
    """Writes the samples of one modality into a shard."""

    def __init__(self, file: Any, modality: Modality, room: int) -> None:
        self.file = file
        self.modality = modality
        self.lengths: list[int] = []
        self.pieces: list[np.ndarray] = []
        self.fixed: Any = None if modality.ragged else _create_chunked_by_sample(file, modality, room)

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
        _create_concatenated(self.file, self.modality.name, np.concatenate([none, *self.pieces]))
        _create_column(self.file, f"length/{self.modality.name}", np.array(self.lengths, "int64"))


def _create_chunked_by_sample(file: Any, modality: Modality, rows: int) -> Any:
    # One sample per chunk: reading a sample reads and checks only the bytes of that sample.
    return file.create_dataset(
        modality.name,
        shape=(rows, *modality.shape),
        maxshape=(rows, *modality.shape),
        chunks=(1, *modality.shape),
        dtype=modality.dtype,
        fletcher32=True,
        track_times=False,
    )


def _create_concatenated(file: Any, name: str, data: np.ndarray) -> None:
    # Chunks are small, so that reading a sample reads little else, yet large enough to be few.
    each = int(np.prod(data.shape[1:])) * data.dtype.itemsize
    rows = max(1, min(len(data), CHUNK // each))
    file.create_dataset(name, data=data, chunks=(rows, *data.shape[1:]), fletcher32=True, track_times=False)


def _number_names(names: Sequence[str], none: int) -> dict[str | None, int]:
    numbers: dict[str | None, int] = {name: index for index, name in enumerate(names)}
    return numbers | {None: none}


def _set_texts(dataset: Any, name: str, texts: Sequence[str]) -> None:
    """An attribute of texts; none where there are no texts, or more than an attribute may hold."""
    if texts and sum(len(text.encode()) + 24 for text in texts) < ATTRIBUTE_BYTES:
        dataset.attrs[name] = list(texts)


def _create_column(file: Any, name: str, data: np.ndarray) -> None:
    room = (max(len(data), 1), *data.shape[1:])  # a chunk of no rows is not allowed
    file.create_dataset(name, data=data, maxshape=room, chunks=room, fletcher32=True, track_times=False)


def _encode_texts(texts: Sequence[str]) -> np.ndarray:
    # Fixed width: fletcher32 does not protect HDF5's strings of variable length.
    import h5py

    encoded = [text.encode() for text in texts]
    width = max(map(len, encoded), default=1)
    return np.array(encoded, h5py.string_dtype("utf-8", width))
