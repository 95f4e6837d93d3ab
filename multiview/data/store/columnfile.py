"""The column file of a store: what is known of all samples, so that no shard is opened for it.

The file lies beside the manifest, in the format of safetensors, and is mapped into memory. It
repeats the columns of the shards and may be deleted at any time. Its header holds a hash of the
shards' hashes, one hash per column, and a checksum of every shard's part of a column: a file of
other shards, a damaged column and a damaged part are noticed.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from multiview.data.store.manifest import Manifest, Shard
from multiview.data.store.shard import Layout, group_dataset
from multiview.data.store.shardfiles import COLUMNS, ShardFiles
from multiview.files import replacing

NAME = "columns.safetensors"
ID = "id"
"""The column of texts, whose width is known after all shards are read."""
LENGTH_BYTES = 8
"""Bytes of the number that begins the file: the length of the header."""
ColumnsOf = Callable[[Shard, Sequence[str]], dict[str, np.ndarray]]
"""Gives the columns of these names of a shard."""
LARGEST_HEADER = 256 << 20
PARTS, DIGITS = "parts/", 8
"""Before a column's name: its CRC-32 of each shard's rows, as hexadecimal digits in one text."""
TYPES = {"int64": "I64", "float64": "F64", "uint8": "U8"}
"""Dtype of a column -> its name in the header."""


class ColumnFileError(Exception):
    """The column file is damaged, or of other shards; the reason."""


@dataclass(frozen=True)
class Place:
    """Where a column lies behind the header, from byte `start`, and its values per row."""

    dtype: str
    row: tuple[int, ...]
    start: int
    count: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return int(np.prod(self.row, dtype=int)) * np.dtype(self.dtype).itemsize

    @property
    def stop(self) -> int:
        """The first byte behind the column."""
        return self.start + self.count * self.row_bytes

    def entry(self) -> dict[str, Any]:
        """The entry of the header."""
        shape = [self.count, *self.row]
        return {"dtype": TYPES[self.dtype], "shape": shape, "data_offsets": [self.start, self.stop]}


def column_names(layout: Layout | Manifest) -> list[str]:
    """The names of all columns of a store, or of shards of a layout; wide numbers come first."""
    names = [
        "label",
        *(f"length/{kind.name}" for kind in layout.modalities if kind.ragged),
        *(f"factor/{name}" for name in layout.factors),
        *map(group_dataset, layout.groups),
        "split",
        *(f"present/{kind.name}" for kind in layout.modalities),
        "digest",
        "id",
    ]
    return list(dict.fromkeys(names))


def hash_of_shards(shards: Iterable[Shard]) -> str:
    """sha256 of names, rows, sizes and hashes of the shards, hexadecimal."""
    text = "".join(f"{shard.name} {shard.rows} {shard.size} {shard.sha256}\n" for shard in shards)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class ColumnFile:
    """The columns in the file of a store, by name. Not to be pickled.

    Raises FileNotFoundError without a file, ColumnFileError when it is damaged or of other shards.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.count = manifest.count
        self.path = folder / NAME
        if not self.path.stat().st_size:
            raise ColumnFileError("it is empty")
        self._bytes = np.asarray(np.memmap(self.path, np.uint8, "r"))
        try:
            self._entries, self._hashes = self._header()
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as cause:
            raise ColumnFileError("its header is damaged") from cause
        if self._hashes.get("shards") != hash_of_shards(manifest.shards):
            raise ColumnFileError("it is of other shards")

    def _header(self) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        length = int.from_bytes(self._bytes[:LENGTH_BYTES].tobytes(), "little")
        if length > min(len(self._bytes), LARGEST_HEADER):
            raise ValueError("it is longer than the file")
        self._first = LENGTH_BYTES + length
        entries = json.loads(self._bytes[LENGTH_BYTES : self._first].tobytes())
        return entries, dict(entries.pop("__metadata__"))

    def part(self, name: str, shard: int, first: int, rows: int) -> np.ndarray:
        """The rows of one shard, which begins at row `first`; only they are read and checked.

        Raises ColumnFileError when they are damaged, or when the file has no checksums of parts.
        """
        try:
            start, stop = self._entries[name]["data_offsets"]
            dtype, row = _form(name, self._entries[name]["shape"][-1])
            place = Place(dtype, row, self._first + start, self.count)
            if not 0 <= start <= stop == start + self.count * place.row_bytes:
                raise ValueError("it has another length")
            wanted = int(self._hashes[PARTS + name][shard * DIGITS : (shard + 1) * DIGITS], 16)
            # Not from the mapped file, whose pages would stay in the memory of the process.
            found = np.fromfile(
                self.path, np.uint8, rows * place.row_bytes, offset=place.start + first * place.row_bytes
            )
            column = found.view(np.dtype(dtype).newbyteorder("<")).reshape(rows, *row)
        except (ValueError, TypeError, LookupError, OverflowError, OSError) as cause:
            raise ColumnFileError(f"it does not hold /{name} of shard {shard}") from cause
        if zlib.crc32(found.data) != wanted:
            raise ColumnFileError(f"the checksum of /{name} of shard {shard} does not match")
        return column

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> np.ndarray:
        """All rows of a column, not writeable. Raises ColumnFileError when it is damaged."""
        try:
            start, stop = self._entries[name]["data_offsets"]
            width = self._entries[name]["shape"][-1]
            piece = self._bytes[self._first + start : self._first + stop]
            dtype, row = _form(name, width)
            column = piece.view(np.dtype(dtype).newbyteorder("<")).reshape(self.count, *row)
        except (ValueError, TypeError, LookupError, OverflowError) as cause:
            raise ColumnFileError(f"it does not hold /{name}") from cause
        if hashlib.sha256(piece.data).hexdigest() != self._hashes.get(name):
            raise ColumnFileError(f"the hash of /{name} does not match")
        return column


def _form(name: str, width: int) -> tuple[str, tuple[int, ...]]:
    """The dtype and the shape of a row of a column; ids have `width` bytes."""
    return (f"S{width}", ()) if name == ID else COLUMNS[name.partition("/")[0]]


def write_columns(
    folder: Path, manifest: Manifest, names: Iterable[str] | None = None, columns: ColumnsOf | None = None
) -> None:
    """Writes the column file from the shards, as a whole; `names` beside the ids, None = all.

    columns: gives the columns of a shard by name (None = they are read from the shards in
    `folder`).
    Raises OSError when the folder refuses, MultiviewError for a damaged shard.
    """
    places = _places(column_names(manifest) if names is None else names, manifest.count)
    with replacing(folder / NAME) as file:
        room = len(_header_text(places, "", _no_hashes(places, len(manifest.shards)), 0))
        read = columns or partial(_columns_in_shard, folder)
        hashes, ids = _copy_columns(file, LENGTH_BYTES + room, read, manifest, places)
        start = max((place.stop for place in places.values()), default=0)
        places[ID] = Place("uint8", (ids.dtype.itemsize,), start, len(ids))
        hashes[ID] = _put(file, LENGTH_BYTES + room + start, ids)
        hashes[PARTS + ID] = _checksums(ids, manifest)
        file.seek(0)
        file.write(room.to_bytes(LENGTH_BYTES, "little"))
        file.write(_header_text(places, hash_of_shards(manifest.shards), hashes, room))


def _no_hashes(places: Mapping[str, Place], shards: int) -> dict[str, str]:
    """Texts as long as the hashes of all columns."""
    names = [*places, ID]
    return dict.fromkeys(names, "0" * 64) | {PARTS + name: "0" * DIGITS * shards for name in names}


def _checksums(column: np.ndarray, manifest: Manifest) -> str:
    """The checksums of a column's parts."""
    ends = np.cumsum([shard.rows for shard in manifest.shards])
    return "".join(_checksum(part) for part in np.split(column, ends[:-1]))


def _checksum(part: np.ndarray) -> str:
    return f"{zlib.crc32(np.ascontiguousarray(part).data):0{DIGITS}x}"


def _places(names: Iterable[str], count: int) -> dict[str, Place]:
    """The places of all columns but the ids, whose width is not known yet."""
    places: dict[str, Place] = {}
    start = 0
    for name in names:
        if name != ID:
            places[name] = Place(*COLUMNS[name.partition("/")[0]], start, count)
            start = places[name].stop
    return places


def _header_text(places: Mapping[str, Place], shards: str, hashes: Mapping[str, str], room: int) -> bytes:
    """The header of `room` bytes; without room, the longest that it may become."""
    if not room:
        shards = "0" * 64
        places = {**places, ID: Place("uint8", (10**9,), 10**18, 10**9)}
    entries = {name: place.entry() for name, place in places.items()}
    text = json.dumps({"__metadata__": {"shards": shards, **hashes}, **entries}, separators=(",", ":")).encode()
    return text.ljust(room or -(-len(text) // 8) * 8)


def _copy_columns(
    file: BinaryIO, first: int, read: ColumnsOf, manifest: Manifest, places: Mapping[str, Place]
) -> tuple[dict[str, str], np.ndarray]:
    """Writes the columns, shard by shard; returns their hashes and the ids, which come last."""
    hashes = {name: hashlib.sha256() for name in places}
    parts: dict[str, list[str]] = {name: [] for name in places}
    ids = [np.empty(0, "S1")]
    done = 0
    for shard in manifest.shards:
        columns = read(shard, [*places, ID])
        for name, place in places.items():
            hashes[name].update(content := np.ascontiguousarray(columns[name]).data)
            file.seek(first + place.start + done * place.row_bytes)
            file.write(content)
            parts[name].append(_checksum(columns[name]))
        ids.append(columns[ID])
        done += shard.rows
    checksums = {PARTS + name: "".join(each) for name, each in parts.items()}
    return {name: each.hexdigest() for name, each in hashes.items()} | checksums, np.concatenate(ids)


def _columns_in_shard(folder: Path, shard: Shard, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Columns of a shard; its file is closed again."""
    with closing(ShardFiles(folder, (shard,))) as files:
        return {name: files.column(0, name) for name in names}


def _put(file: BinaryIO, at: int, column: np.ndarray) -> str:
    file.seek(at)
    file.write(column.data)
    return hashlib.sha256(column.data).hexdigest()
