"""The record of a shard: what its store must know of it when the shard itself is elsewhere."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

import numpy as np

from multiview.data.store.columnfile import ID, column_names
from multiview.data.store.manifest import Shard
from multiview.data.store.shard import Layout, Reject, ShardSummary
from multiview.data.store.shardfiles import ShardFiles
from multiview.data.store.statistics import Moments

SUMMARY, MOMENTS, COLUMN = "summary", "moments/", "column/"
ENDING = ".npz"


def record_name(shard: str) -> str:
    """The file name of the record of a shard."""
    return f"{shard}{ENDING}"


def record_of(folder: Path, summary: ShardSummary, layout: Layout) -> bytes:
    """The record of a whole shard in `folder`: its summary and its columns, as an npz file."""
    plain = {
        "origin": layout.origin,
        "shard": asdict(summary.shard),
        "rejects": [asdict(reject) for reject in summary.rejects],
        "split_counts": summary.split_counts,
    }
    arrays = {SUMMARY: np.frombuffer(json.dumps(plain).encode(), np.uint8)}
    arrays |= {f"{MOMENTS}{name}": moments.table for name, moments in summary.moments.items()}
    with closing(ShardFiles(folder, (summary.shard,))) as files:
        for name in column_names(layout):
            column = files.column(0, name)
            arrays[f"{COLUMN}{name}"] = column.astype(column.dtype.str)  # without the notes of HDF5
    file = io.BytesIO()
    np.savez(file, **cast("dict[str, Any]", arrays))
    return file.getvalue()


def summary_in(record: bytes, layout: Layout) -> ShardSummary | None:
    """The summary in a record; None when the record is damaged or of another store."""
    try:
        with np.load(io.BytesIO(record)) as arrays:
            plain = json.loads(arrays[SUMMARY].tobytes())
            if plain["origin"] != layout.origin:
                return None
            return ShardSummary(
                shard=Shard(**plain["shard"]),
                rejects=tuple(Reject(**each) for each in plain["rejects"]),
                moments={each.name: Moments(arrays[f"{MOMENTS}{each.name}"]) for each in layout.modalities},
                split_counts=tuple(plain["split_counts"]),
                ids=tuple(each.decode() for each in arrays[f"{COLUMN}{ID}"].tolist()),
                digests=tuple(row.tobytes() for row in arrays[f"{COLUMN}digest"]),
                splits=tuple(map(int, arrays[f"{COLUMN}split"])),
            )
    except (ValueError, KeyError, TypeError, BadZipFile, EOFError, OSError):
        return None


def columns_in(record: bytes, names: Iterable[str]) -> dict[str, np.ndarray]:
    """These columns in a record that `summary_in` has read."""
    with np.load(io.BytesIO(record)) as arrays:
        return {name: arrays[f"{COLUMN}{name}"] for name in names}
