"""One shard of a store: its layout, its summary, and the check from end to end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from multiview.data.modality import Modality
from multiview.data.store.manifest import DIGEST, NO_SPLIT, Manifest, Provenance, Shard
from multiview.data.store.statistics import Moments
from multiview.files import sha256

TARGET = "target:"
"""Begins the name of a column of texts that is kept to be predicted, not to tell groups."""


@dataclass(frozen=True)
class Layout:
    """What all shards of a store share: columns, names of the stored numbers, origin of the store.

    measured: the split that the statistics are computed over; None means all samples.
    """

    modalities: tuple[Modality, ...]
    splits: tuple[str, ...]
    classes: tuple[str, ...]
    factors: tuple[str, ...]
    origin: str
    measured: str | None
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Reject:
    """A planned sample that is not in the store, and the reason, which names the file.

    copy_of: the id of the sample that an exact copy equals.
    """

    id: str
    reason: str
    copy_of: str | None = None


@dataclass(frozen=True)
class ShardSummary:
    """The facts about a whole shard, as read from the shard.

    split_counts: rows in each split of the layout. ids, digests: of the rows; equal samples have
    equal digests. splits: the number of the split of every row.
    """

    shard: Shard
    rejects: tuple[Reject, ...]
    moments: Mapping[str, Moments]
    split_counts: tuple[int, ...]
    ids: tuple[str, ...]
    digests: tuple[bytes, ...]
    splits: tuple[int, ...]


class TooManyRejectsError(Exception):
    """A shard has more bad samples, `rejects`, than are allowed."""

    def __init__(self, rejects: Sequence[Reject]) -> None:
        super().__init__(f"{len(rejects)} bad samples")
        self.rejects = tuple(rejects)

    def __reduce__(self) -> tuple[type[TooManyRejectsError], tuple[tuple[Reject, ...]]]:
        return type(self), (self.rejects,)


class BadShardError(Exception):
    """A file is not the whole shard that its name promises."""


def group_dataset(column: str) -> str:
    """The name of the dataset of a column of groups; the name of the column may hold a slash."""
    return f"group/{column.replace('/', '_')}"


def shard_name(number: int) -> str:
    """The file name of shard `number`."""
    return f"shard-{number:05d}.h5"


def reject_line(reject: Reject) -> str:
    """One line of `rejects.jsonl`."""
    known = {name: value for name, value in asdict(reject).items() if value is not None}
    return json.dumps(known, ensure_ascii=False) + "\n"


def check_shard(path: Path, layout: Layout, name: str | None = None) -> ShardSummary:
    """Reads a shard from end to end with every checksum, and returns its summary.

    name: the final name of a file that still has a temporary one. Raises BadShardError, with the
    reason, when the shard is not whole or belongs to another store.
    """
    import h5py

    try:
        shard = Shard(name or path.name, 0, path.stat().st_size, sha256(path))
        with h5py.File(path, "r", locking=False) as file:
            return _read_summary(file, shard, layout)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as cause:
        raise BadShardError(f"{path.name}: {cause}") from cause


def _read_summary(file: Any, shard: Shard, layout: Layout) -> ShardSummary:
    if file.attrs.get("origin") != layout.origin:
        raise ValueError("it belongs to another store")
    rows = len(file["label"])
    for name in (
        "split",
        "id",
        "digest",
        *(f"factor/{each}" for each in layout.factors),
        *map(group_dataset, layout.groups),
    ):
        _require(len(file[name][()]) == rows, f"/{name} does not hold {rows} rows")
    for modality in layout.modalities:
        there = file[f"present/{modality.name}"][()]
        _require(len(there) == rows, f"/present/{modality.name} does not hold {rows} rows")
        if modality.ragged:
            _check_ragged(file, modality, there)
        else:
            _check_fixed(file[modality.name], modality, there)
    lines = file["rejects"][()].tobytes().decode().split("\n")[:-1]
    splits = file["split"][()]
    counts = np.bincount(splits, minlength=NO_SPLIT + 1)[: len(layout.splits)]
    return ShardSummary(
        shard=replace(shard, rows=rows),
        rejects=tuple(Reject(**json.loads(line)) for line in lines),
        moments={each.name: Moments(file[f"statistics/{each.name}"][()]) for each in layout.modalities},
        split_counts=tuple(map(int, counts)),
        ids=tuple(each.decode() for each in file["id"][()].tolist()),
        digests=tuple(row.tobytes() for row in file["digest"][()]),
        splits=tuple(map(int, splits)),
    )


def _check_fixed(samples: Any, modality: Modality, there: np.ndarray) -> None:
    _require(samples.shape == (len(there), *modality.shape), f"/{modality.name} has shape {samples.shape}")
    _require(samples.id.get_num_chunks() == there.sum(), f"/{modality.name} lacks samples")
    for row in np.flatnonzero(there):
        samples[row]


def _check_ragged(file: Any, modality: Modality, there: np.ndarray) -> None:
    samples, lengths = file[modality.name], file[f"length/{modality.name}"][()]
    _require(len(lengths) == len(there), f"/length/{modality.name} does not hold {len(there)} rows")
    _require(bool(((lengths > 0) == there).all()), f"/length/{modality.name} and /present/{modality.name} differ")
    _require(samples.shape == (lengths.sum(), *modality.shape[1:]), f"/{modality.name} has shape {samples.shape}")
    step = samples.chunks[0]
    _require(samples.id.get_num_chunks() == -(-len(samples) // step), f"/{modality.name} lacks samples")
    for start in range(0, len(samples), step):
        samples[start : start + step]


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise ValueError(reason)


def layout_of(manifest: Manifest, origin: Provenance) -> Layout:
    """The layout of the shards of a store with this manifest and origin."""
    splits = tuple(manifest.splits)
    return Layout(
        modalities=manifest.modalities,
        splits=splits,
        classes=manifest.classes,
        factors=manifest.factors,
        origin=origin.origin(),
        measured="train" if "train" in splits else None,
        groups=manifest.groups,
    )


def digest(sample: Mapping[str, np.ndarray]) -> bytes:
    """`DIGEST` bytes that are equal for two samples with equal modalities, absent ones included."""
    hashed = hashlib.blake2b(digest_size=DIGEST)
    for name, array in sorted(sample.items()):
        hashed.update(f"{name}{array.shape}".encode())
        hashed.update(np.ascontiguousarray(array).tobytes())
    return hashed.digest()
