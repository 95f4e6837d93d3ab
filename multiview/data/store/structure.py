"""The structure of a shard: where the parts of each dataset lie, and which were never written.

HDF5 protects the values of a dataset by checksums, but not the index that leads to them: a chunk
that the index lacks reads as zeros, and a wrong address may lead to the chunk of another sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from multiview.data.files.bombs import FREE
from multiview.data.store.chunkindex import Chunks, chunks_of
from multiview.files import size_text
from multiview.parsing import MALFORMED

FLETCHER32 = 3
"""HDF5's number of the only filter that a shard may use."""
CHECKSUM_BYTES = 4
HEAD = 64
"""Bytes of a sample of which most samples have one that is not zero."""
NOT_OF_SAMPLES = frozenset({"label", "split", "id", "digest", "factor", "group", "statistics", "rejects"})
"""What lies beside the samples of a shard and is not read with them."""
HDF5_ERRORS: tuple[type[Exception], ...] = (*MALFORMED, RuntimeError, SystemError)
"""What h5py raises for a malformed file."""


def structure_faults(file: Any, size: int) -> Iterator[str]:
    """One sentence per fault of an open shard, whose file has `size` bytes.

    Every dataset is in chunks with checksums, all chunks are there, and no two lie at one place.
    Of a dataset with one sample per chunk, exactly the chunks of the present samples are there.
    """
    yield from _faults_below(file, size, frozenset())


def sample_faults(file: Any, size: int) -> Iterator[str]:
    """The faults of the samples of an open shard, of all modalities, and of what describes them.

    The modalities are checked together, because the index of one may lead to the chunks of another.
    The other columns are left out: `structure_faults` is asked before one of them is read.
    """
    yield from _faults_below(file, size, NOT_OF_SAMPLES)


def _faults_below(file: Any, size: int, skipped: frozenset[str]) -> Iterator[str]:
    datasets: dict[str, Any] = {}
    for name, fault in _walk(file, "", datasets, skipped):
        yield f"{name} {fault}"
    parts: list[Chunks] = []
    for name, dataset in datasets.items():
        present = datasets.get(f"present/{name}") if f"length/{name}" not in datasets else None
        yield from _dataset_faults(name, dataset, size, present, parts)
    yield from _place_faults(parts, size)


def _is_link(group: Any, name: str) -> bool:
    """Whether a name stands for an object elsewhere; False for a name that is not there."""
    import h5py

    links, path = group.id.links, name.encode()
    return links.exists(path) and links.get_info(path).type != h5py.h5l.TYPE_HARD


def _dataset_faults(name: str, dataset: Any, size: int, present: Any, parts: list[Chunks]) -> Iterator[str]:
    """The faults of one dataset; adds its chunks to `parts`."""
    if form := _form_fault(dataset, size):
        yield f"/{name} {form}"
        return
    parts.append(chunks := chunks_of(dataset))
    if present is not None and not _is_filled(present):
        yield f"/present/{name} lacks samples: its parts are not there"
    elif missing := _chunk_fault(dataset, chunks, present):
        yield f"/{name} {missing}"


def _walk(
    group: Any, prefix: str, datasets: dict[str, Any], skipped: frozenset[str] = frozenset()
) -> Iterator[tuple[str, str]]:
    """Collects the datasets by name, and yields (name, fault) of everything that no shard has."""
    import h5py

    for name in group:
        path = f"{prefix}/{name}"
        if path[1:] in skipped:
            continue
        if _is_link(group, name):
            yield path, "is a link to another place"
            continue
        if isinstance(found := group[name], h5py.Group):
            yield from _walk(found, path, datasets)
        elif not isinstance(found, h5py.Dataset):
            yield path, "is no dataset"
        else:
            datasets[path[1:]] = found


def _form_fault(dataset: Any, size: int) -> str | None:
    import h5py

    properties, shape = dataset.id.get_create_plist(), dataset.id.shape
    layout, filters = properties.get_layout(), _filters(properties)
    if layout == h5py.h5d.VIRTUAL or properties.get_external_count():
        return "is in another file"
    if any(each != FLETCHER32 for each in filters):
        return "is compressed"
    if layout != h5py.h5d.CHUNKED or not filters:
        return "has no checksums"
    chunk = properties.get_chunk()
    if chunk[1:] != shape[1:]:
        return "is divided within its rows"
    part = math.prod(chunk) * dataset.id.dtype.itemsize
    if part > max(size, FREE):
        return f"would need {size_text(part)} for each part, in a file of {size_text(size)}"
    return None


def _is_filled(dataset: Any) -> bool:
    """Whether there are as many chunks as the rows need; else few bytes become many rows."""
    chunks = dataset.chunks
    return chunks is not None and dataset.id.get_num_chunks() == -(-len(dataset) // chunks[0])


def _filters(properties: Any) -> list[int]:
    return [properties.get_filter(place)[0] for place in range(properties.get_nfilters())]


def only_checksums(dataset: Any) -> bool:
    """Whether a dataset is not compressed: compressed data may grow a thousandfold."""
    return all(each == FLETCHER32 for each in _filters(dataset.id.get_create_plist()))


def _chunk_fault(dataset: Any, chunks: Chunks, present: Any) -> str | None:
    """Why the chunks are not those of the dataset; `present` says which samples were written."""
    shape, rows = dataset.chunks, len(dataset)
    if present is None and len(chunks) != -(-rows // shape[0]):
        return f"lacks samples: its index leads to {len(chunks)} parts for {rows} rows"
    if present is not None and (len(present) != rows or shape[0] != 1):
        return "does not hold one chunk per sample"
    wanted = np.arange(0, rows, shape[0]) if present is None else np.flatnonzero(present[()])
    found = np.sort(chunks.first[:, 0])
    if not np.array_equal(found, wanted) or chunks.first[:, 1:].any():
        return f"lacks samples: its index leads to {len(found)} of {len(wanted)} parts, or to wrong ones"
    whole = math.prod(shape) * dataset.id.dtype.itemsize + CHECKSUM_BYTES
    if (chunks.size != whole).any() or chunks.skipped.any():
        return "has a part without its checksum"
    return None


def unwritten(dataset: Any, values: np.ndarray, start: int) -> list[int]:
    """The first rows of the chunks that are not there, of `values` = dataset[start : ...].

    HDF5 reads zeros where it does not find a chunk, also when a damaged index lists the chunk. So
    only chunks of zeros are looked up.
    """
    step, lost = dataset.chunks[0], []
    flat = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
    if step == 1:
        firsts = (start + np.flatnonzero(~flat[:, :HEAD].any(axis=1))).tolist()
    else:
        firsts = list(range(start - start % step, start + len(values), step))
    for first in firsts:
        if flat[max(first - start, 0) : first - start + step].any():
            continue
        try:
            dataset.id.read_direct_chunk((first, *(0,) * (dataset.ndim - 1)))
        except HDF5_ERRORS:
            lost.append(first)
    return lost


def _place_faults(parts: list[Chunks], size: int) -> Iterator[str]:
    """The fault of an index that leads to one place twice, or out of the file."""
    starts = np.concatenate([np.empty(0, np.int64), *(chunks.place for chunks in parts)])
    lengths = np.concatenate([np.empty(0, np.int64), *(chunks.size for chunks in parts)])
    order = np.argsort(starts, kind="stable")
    starts, lengths = starts[order], lengths[order]
    if (np.diff(starts) < lengths[:-1]).any() or (starts < 0).any() or (starts > size - lengths).any():
        yield "its index leads to one place twice, or behind the end of the file"
