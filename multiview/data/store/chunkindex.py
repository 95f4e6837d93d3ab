"""Where the chunks of a dataset lie, read from its index in the file: a few bytes for each chunk.

h5py makes a Python object for each chunk, some microseconds each: too slow for shards of many small
samples. The index is a B-tree of version 1, which the HDF5 file format specification describes in
its section III.A.1. A file of another form is listed by h5py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

FEW = 256
"""Chunks of a dataset that h5py lists as fast."""
SIGNATURE = b"\x89HDF\r\n\x1a\n"
HEADER = 2**16
"""More bytes than a part of an object header has."""
CHILDREN = 64
"""Most children of a node, in a file that does not say otherwise."""
TOGETHER = 256
"""Nodes that are held in memory at a time."""
LEVELS = 16
"""More levels than any tree has."""
LAYOUT, CONTINUATION = 8, 16
"""Types of messages in the header of a dataset."""
CHUNKED_BY_TREE = b"\x03\x02"
"""A layout message of version 3, of chunks."""


class OtherFormError(Exception):
    """The index has another form than this file reads."""


@dataclass(frozen=True)
class Chunks:
    """All chunks in an index, one row for each.

    Attributes:
        first: (n, dimensions) coordinates of the first value.
        size: (n,) bytes in the file.
        skipped: (n,) which filters were not applied, one bit each.
        place: (n,) first byte in the file, below 0 for an address behind the end of any file.
    """

    first: NDArray[np.int64]
    size: NDArray[np.int64]
    skipped: NDArray[np.int64]
    place: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.size)


def chunks_of(dataset: Any) -> Chunks:
    """All chunks in the index of a dataset. Raises what h5py raises for a damaged index."""
    if len(dataset) > FEW * dataset.chunks[0]:
        try:
            return _read(dataset)
        except (OtherFormError, OSError, RuntimeError, ValueError, OverflowError):
            pass  # h5py lists it, or says what is damaged
    return _listed(dataset)


def _listed(dataset: Any) -> Chunks:
    """The chunks, as h5py lists them."""
    rows: list[tuple[int, ...]] = []

    def add(chunk: Any) -> None:
        rows.append((chunk.size, chunk.filter_mask, chunk.byte_offset, *chunk.chunk_offset))

    dataset.id.chunk_iter(add)
    table = np.array(rows, np.uint64).reshape(len(rows), 3 + dataset.ndim).astype(np.int64)
    return Chunks(table[:, 3:], *table[:, :3].T)


def _read(dataset: Any) -> Chunks:
    """The chunks, from the bytes of the file."""
    with Path(dataset.file.filename).open("rb", buffering=0) as file:
        _require_plain(_bytes(file, 0, 32))
        group, name = dataset.parent, dataset.name.rpartition("/")[2]
        dimensions, root = _layout(file, group.id.links.get_info(name.encode()).u)
        if dimensions != dataset.ndim + 1:
            raise OtherFormError
        keys, places = _leaves(file, root, dimensions)
    words, first = keys[:, 0], keys[:, 1:-1]
    return Chunks(first, words & 0xFFFFFFFF, words >> 32 & 0xFFFFFFFF, places)


def _bytes(file: BinaryIO, place: int, count: int) -> bytes:
    """At most `count` bytes from a place on."""
    file.seek(place)
    return file.read(count)


def _require_plain(head: bytes) -> None:
    """The file begins with a superblock of version 0; addresses have 8 bytes and count from 0."""
    if head[:9] != SIGNATURE + b"\0" or head[13:15] != b"\x08\x08" or any(head[24:32]):
        raise OtherFormError


def _layout(file: BinaryIO, header: int) -> tuple[int, int]:
    """The dimensions of a key and the place of the root, from the object header of a dataset."""
    for kind, body in _messages(file, header):
        if kind == LAYOUT and body[:2] == CHUNKED_BY_TREE:
            return body[2], int.from_bytes(body[3:11], "little")
    raise OtherFormError


def _messages(file: BinaryIO, header: int) -> Iterator[tuple[int, bytes]]:
    """The type and the bytes of every message of an object header of version 1."""
    start = _bytes(file, header, 16)
    if len(start) < 16 or start[0] != 1:
        raise OtherFormError
    blocks = [(header + 16, int.from_bytes(start[8:12], "little"))]
    for place, length in blocks:  # grows
        block = _bytes(file, place, min(length, HEADER))
        at = 0
        while at + 8 <= len(block) and len(blocks) < LEVELS:
            kind, size = (int.from_bytes(block[at + n : at + n + 2], "little") for n in (0, 2))
            body = block[at + 8 : at + 8 + size]
            if kind == CONTINUATION:
                blocks.append((int.from_bytes(body[:8], "little"), int.from_bytes(body[8:16], "little")))
            yield kind, body
            at += 8 + size


def _leaves(file: BinaryIO, root: int, dimensions: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The keys (n, 1 + dimensions) and the addresses (n,) in all leaves below a node."""
    nodes = np.array([root])
    level = None
    for _ in range(LEVELS):
        found = [_children(file, part, dimensions) for part in np.array_split(nodes, -(-len(nodes) // TOGETHER) or 1)]
        depth = found[0][0]
        if any(each != depth for each, *_ in found) or (level is not None and depth != level - 1):
            raise OtherFormError
        nodes, level = np.concatenate([children for *_, children in found]), depth
        if depth == 0:
            return np.concatenate([keys for _, keys, _ in found]), nodes
    raise OtherFormError


def _children(
    file: BinaryIO, nodes: NDArray[np.int64], dimensions: int
) -> tuple[int, NDArray[np.int64], NDArray[np.int64]]:
    """The level of some nodes of one level, and the keys and the addresses of their children."""
    key = 1 + dimensions
    words = 3 + (CHILDREN + 1) * key + CHILDREN
    read = [_bytes(file, place, words * 8) for place in nodes.tolist()]
    if not read or any(len(node) < 24 or node[:5] != b"TREE\1" or node[5] != read[0][5] for node in read):
        raise OtherFormError
    table = np.frombuffer(b"".join(node.ljust(words * 8, b"\0") for node in read), "<i8").reshape(len(read), words)
    used = table[:, 0] >> 48 & 0xFFFF  # behind signature, kind and level
    if used.max() > CHILDREN:
        raise OtherFormError
    pairs = table[:, 3 : 3 + CHILDREN * (key + 1)].reshape(len(read), CHILDREN, key + 1)
    found = pairs[np.arange(CHILDREN) < used[:, None]]
    return read[0][5], found[:, :key].copy(), found[:, key].copy()
