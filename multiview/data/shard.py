"""One shard of a store: written under a temporary name, checked, and only then given its name."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from multiview.data.manifest import NO_SPLIT, Shard
from multiview.data.modality import Modality
from multiview.data.source import BadSample, Plan, Row
from multiview.data.statistics import Moments, channels, measured
from multiview.errors import MultiviewError
from multiview.files import PARTIAL, sha256, sync


@dataclass(frozen=True)
class Layout:
    """What all shards of one store have in common: columns, names behind the stored numbers, and the origin of the
    store.

    measured: the split whose samples the statistics are taken over; None takes all.
    """

    modalities: tuple[Modality, ...]
    splits: tuple[str, ...]
    classes: tuple[str, ...]
    factors: tuple[str, ...]
    origin: str
    measured: str | None


@dataclass(frozen=True)
class Reject:
    """A planned sample that is not in the store: its id, and the file and reason in words."""

    id: str
    reason: str


@dataclass(frozen=True)
class Written:
    """What a whole shard says about itself."""

    shard: Shard
    rejects: tuple[Reject, ...]
    moments: Mapping[str, Moments]
    splits: tuple[int, ...]


class TooManyRejectsError(Exception):
    """A shard met more bad samples than were allowed; `rejects` are those it met."""

    def __init__(self, rejects: Sequence[Reject]) -> None:
        super().__init__(f"{len(rejects)} bad samples")
        self.rejects = tuple(rejects)


class BadShardError(Exception):
    """A file is not the whole shard that its name says."""


def shard_name(number: int) -> str:
    """The file name of shard `number`."""
    return f"shard-{number:05d}.h5"


def write_shard(
    path: Path, plan: Plan, rows: range, layout: Layout, allowed: float, tick: Callable[[int], None] = lambda _: None
) -> Written:
    """Writes the planned `rows` to `path` and returns what a check of the finished file found. Nothing else has that
    name before. The shard is held in memory meanwhile.

    allowed: bad samples that may be left out; one more raises TooManyRejectsError. tick: called after every sample with
    the number of bad ones so far. Raises MultiviewError when the disk does not take the file.
    """
    import h5py

    # HDF5 2.0 ends the process with SIGSEGV when the disk is full, so it writes to memory and we write to the disk.
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        _fill(_Draft(file, layout, len(rows)), plan, rows, allowed, tick)
    return _publish(path, memory, layout)


def _publish(path: Path, memory: io.BytesIO, layout: Layout) -> Written:
    partial = path.with_name(path.name + PARTIAL)
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
        self.moments = {each.name: Moments.none(channels(each)) for each in layout.modalities}
        self.samples = {each.name: _samples(file, each, room) for each in layout.modalities}

    def add(self, row: Row, sample: Mapping[str, np.ndarray]) -> None:
        for modality in self.layout.modalities:
            if modality.name in sample:
                self.samples[modality.name][len(self.kept)] = sample[modality.name]
                if self.layout.measured in (None, row.split):
                    found = Moments.of(measured(modality, sample[modality.name]))
                    self.moments[modality.name] = self.moments[modality.name].joined(found)
        self.present.append([each.name in sample for each in self.layout.modalities])
        self.kept.append(row)

    def finish(self) -> None:
        for samples in self.samples.values():
            samples.resize(len(self.kept), axis=0)
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
        for name in self.layout.factors:
            values = [row.factors.get(name, np.nan) for row in rows]
            _column(self.file, f"factor/{name}", np.array(values, "float64"))

    def _note_presence(self) -> None:
        there = np.array(self.present, "uint8").reshape(len(self.kept), len(self.layout.modalities))
        for index, modality in enumerate(self.layout.modalities):
            _column(self.file, f"present/{modality.name}", there[:, index])
            _column(self.file, f"statistics/{modality.name}", self.moments[modality.name].table)


def _fill(draft: _Draft, plan: Plan, rows: range, allowed: float, tick: Callable[[int], None]) -> None:
    for number in rows:
        row = plan.rows[number]
        try:
            sample = _read(plan, number)
        except BadSample as reason:
            draft.rejects.append(Reject(row.id, str(reason)))
            if len(draft.rejects) > allowed:
                raise TooManyRejectsError(draft.rejects) from None
        else:
            draft.add(row, sample)
        tick(len(draft.rejects))
    draft.finish()


def _read(plan: Plan, number: int) -> dict[str, np.ndarray]:
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
    sample = {}
    for modality in plan.modalities:
        if modality.name not in given:
            continue
        array = np.asarray(given[modality.name])
        if array.dtype != np.dtype(modality.dtype) or array.shape != modality.shape:
            raise MultiviewError(
                f"the source gave {modality.name} of '{name}' as {array.dtype}{array.shape} but declared "
                f"{modality.dtype}{modality.shape}; mend its `plan` or its `read`."
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise BadSample(f"{name}: {modality.name} holds values that are not finite")
        sample[modality.name] = array
    if not sample:
        raise BadSample(f"{name}: no modality is there")
    return sample


def _samples(file: Any, modality: Modality, rows: int) -> Any:
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


def reject_line(reject: Reject) -> str:
    """One line of `rejects.jsonl`."""
    return json.dumps({"id": reject.id, "reason": reject.reason}, ensure_ascii=False) + "\n"


def check_shard(path: Path, layout: Layout, name: str | None = None) -> Written:
    """Reads a shard from end to end, every checksum included, and returns what it says about itself.

    name: the name it is going to have, when that is not the one it has. Raises BadShardError with the reason when it is
    not whole or belongs to another store.
    """
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            found = _examine(file, layout)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as cause:
        raise BadShardError(f"{path.name}: {cause}") from cause
    rows, rejects, moments, splits = found
    return Written(Shard(name or path.name, rows, path.stat().st_size, sha256(path)), rejects, moments, splits)


def _examine(file: Any, layout: Layout) -> tuple[int, tuple[Reject, ...], dict[str, Moments], tuple[int, ...]]:
    if file.attrs.get("origin") != layout.origin:
        raise ValueError("it belongs to another store")
    rows = len(file["label"])
    for name in ("split", "id", *(f"factor/{each}" for each in layout.factors)):
        _demand(len(file[name][()]) == rows, f"/{name} does not hold {rows} rows")
    for modality in layout.modalities:
        samples, there = file[modality.name], file[f"present/{modality.name}"][()]
        _demand(samples.shape == (rows, *modality.shape), f"/{modality.name} has shape {samples.shape}")
        _demand(len(there) == rows, f"/present/{modality.name} does not hold {rows} rows")
        _demand(samples.id.get_num_chunks() == there.sum(), f"/{modality.name} lacks samples")
        for row in np.flatnonzero(there):
            samples[row]
    lines = file["rejects"][()].tobytes().decode().splitlines()
    moments = {each.name: Moments(file[f"statistics/{each.name}"][()]) for each in layout.modalities}
    splits = np.bincount(file["split"][()], minlength=NO_SPLIT + 1)[: len(layout.splits)]
    return rows, tuple(Reject(**json.loads(line)) for line in lines), moments, tuple(map(int, splits))


def _demand(holds: bool, reason: str) -> None:
    if not holds:
        raise ValueError(reason)
