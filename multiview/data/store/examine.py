"""The reading half of `multiview verify`, which runs in a separate process.

python -m multiview.data.store.examine STORE MEMORY SHARD [SHARD ...]

Prints one line of JSON per shard. When a malformed file kills this process, `verify` reports that.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from multiview.data.files.encoded import decoded
from multiview.data.modality import Modality
from multiview.data.source import BadSample
from multiview.data.store.columnfile import ColumnFile, ColumnFileError, column_names
from multiview.data.store.fetched import fetched
from multiview.data.store.manifest import NAME, NO_SPLIT, Manifest, Shard
from multiview.data.store.reading import Store
from multiview.data.store.shard import BadShardError, check_shard, digest, group_dataset, layout_of
from multiview.data.store.statistics import Moments, channels, moments_of
from multiview.data.store.structure import HDF5_ERRORS, structure_faults
from multiview.errors import MultiviewError
from multiview.files import sha256
from multiview.parsing import reason
from multiview.remote.address import is_address

EXAMINE_ERRORS: tuple[type[Exception], ...] = (MultiviewError, *HDF5_ERRORS)


def faults_of(store: Store, facts: dict[str, Any]) -> Iterator[str]:
    """One sentence for each fault of a store with one shard; adds the counts to `facts`."""
    shard = store.manifest.shards[0]
    path = store.path / shard.name
    fault = _byte_fault(path, shard)
    if fault:
        yield fault
        if not path.is_file():
            return
    wrong = list(_structure_faults(path))
    yield from wrong
    if wrong:  # its values are not to be read
        return
    try:
        summary = check_shard(path, layout_of(store.manifest, store.manifest.provenance))
    except BadShardError as cause:
        yield str(cause)
        return
    if summary.shard.rows != shard.rows:
        yield f"it holds {summary.shard.rows} rows, the manifest says {shard.rows}"
        return
    facts["splits"], facts["rejected"] = summary.split_counts, len(summary.rejects)
    facts["moments"] = {name: moments.table.tolist() for name, moments in summary.moments.items()}
    yield from _column_faults(store)
    yield from _sample_faults(store, summary.moments)


def _byte_fault(path: Path, shard: Shard) -> str | None:
    if not path.is_file():
        return "it is missing"
    if path.stat().st_size != shard.size:
        return f"it has {path.stat().st_size} bytes, not {shard.size}"
    return None if sha256(path) == shard.sha256 else "its sha256 is not that of the manifest"


def _structure_faults(path: Path) -> Iterator[str]:
    """Links, storage and missing parts that no shard has and that could read other files."""
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            yield from structure_faults(file, path.stat().st_size)
    except HDF5_ERRORS as cause:
        yield f"it cannot be read: {reason(cause)}"


def _column_faults(store: Store) -> Iterator[str]:
    files, manifest = store.files, store.manifest
    labels, splits = files.column(0, "label"), files.column(0, "split")
    if len(labels) and (labels.min() < -1 or labels.max() >= len(manifest.classes)):
        yield f"its labels go from {labels.min()} to {labels.max()}, of {len(manifest.classes)} classes"
    for column, names in manifest.groups.items():
        codes = files.column(0, group_dataset(column))
        if len(codes) and (codes.min() < -1 or codes.max() >= len(names)):
            yield f"its groups '{column}' go from {codes.min()} to {codes.max()}, of {len(names)} names"
    unknown = (splits >= len(manifest.splits)) & (splits != NO_SPLIT)
    if unknown.any():
        yield f"{unknown.sum()} rows have a split that the manifest lacks"


def _sample_faults(store: Store, moments: Mapping[str, Moments]) -> Iterator[str]:
    """Compares every sample with its digest, and all samples with the moments of the shard."""
    expected, kinds = store.files.column(0, "digest"), store.manifest.modalities
    present = {kind.name: store.files.column(0, f"present/{kind.name}").astype(bool) for kind in kinds}
    found = {kind.name: Moments.none(channels(kind)) for kind in kinds}
    measured = set((store.rows("train") if "train" in store.split_names else store.rows()).tolist())
    for row in range(len(store)):
        sample = {kind.name: store.read([row], kind.name, decode=False)[0] for kind in kinds if present[kind.name][row]}
        if digest(sample) != expected[row].tobytes():
            yield f"row {row} is not what was written: its digest differs"
        for kind in kinds:
            if kind.name not in sample:
                continue
            try:
                values = _require_values(kind, sample[kind.name])
            except (BadSample, MultiviewError) as fault:
                yield f"/{kind.name} at row {row}: {fault}"
            else:
                if row in measured:
                    found[kind.name] = found[kind.name].joined(moments_of(kind, values))
    for kind in kinds:
        # Versions of image libraries decode JPEG a little differently.
        if not found[kind.name].is_close(moments[kind.name], 0.01 if kind.encoding else 1e-6):
            yield f"/statistics/{kind.name} is not that of its samples"


def _require_values(kind: Modality, sample: np.ndarray) -> np.ndarray:
    """The decoded sample. Raises BadSample for values that no sample may have."""
    if sample.dtype.kind == "f" and not np.isfinite(sample).all():
        raise BadSample("values that are not finite")
    return decoded(kind, sample, "the file") if kind.encoding else sample


def _columns_in_file(path: Path, manifest: Manifest) -> dict[str, np.ndarray]:
    """The columns of the column file; none of a file that is not used."""
    try:
        file = ColumnFile(path, manifest)
        return {name: file[name] for name in column_names(manifest) if name in file}
    except (OSError, ColumnFileError):
        return {}


def _different(columns: Mapping[str, np.ndarray], store: Store, first: int) -> list[str]:
    """The columns of which the shard with the first row `first` holds other values."""
    stop = first + len(store)
    return [
        name
        for name, column in columns.items()
        if column[first:stop].astype((found := store.files.column(0, name)).dtype).tobytes() != found.tobytes()
    ]


def _report(
    path: Path, manifest: Manifest, number: int, columns: Mapping[str, np.ndarray] | None = None
) -> dict[str, Any]:
    shard = manifest.shards[number]
    # A store of this shard alone, so that faults of other shards are not reported here.
    store = Store(path, replace(manifest, shards=(shard,), count=shard.rows))
    facts: dict[str, Any] = {}
    faults = list(faults_of(store, facts))
    if faults:
        return {"faults": faults[:100], "rows": 0, "ids": []}
    first = sum(each.rows for each in manifest.shards[:number])
    return {
        "faults": [],
        "rows": shard.rows,
        "ids": store.ids,
        "columns": _different(columns or {}, store, first),
        **facts,
    }


def _limit_memory(memory: int) -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(words: list[str]) -> None:
    """Examines the shards that the command line names."""
    path, memory, *numbers = words
    _limit_memory(int(memory))
    cache, manifest = fetched(path) if is_address(path) else (None, Manifest.read(Path(path) / NAME))
    folder = cache.folder if cache else Path(path)
    columns = _columns_in_file(folder, manifest)
    for number in map(int, numbers):
        try:
            with cache.hold(manifest.shards[number]) if cache else nullcontext():
                report = _report(folder, manifest, number, columns)
        except EXAMINE_ERRORS as cause:
            report = {"faults": [f"{type(cause).__name__}: {cause}"], "rows": 0, "ids": []}
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
