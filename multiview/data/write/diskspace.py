"""Whether a store fits on the disk, estimated before the first sample is written."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import numpy as np

from multiview.data.modality import Modality
from multiview.data.source import BadSample, Plan
from multiview.data.store.shard import shard_name
from multiview.data.write.settings import SHARD_ROWS
from multiview.data.write.shardjob import ShardJob
from multiview.errors import MultiviewError
from multiview.files import size_text

REMOTE_MEGABYTES = 128.0
"""Size of a shard at an address, unless another is given."""
PROBED = 16
"""How many samples, evenly spread, are read to estimate the length of all samples."""


def check_space(job: ShardJob, numbers: Sequence[int]) -> None:
    """Raises MultiviewError when the disk clearly cannot hold the missing ones of these shards."""
    missing = [number for number in numbers if not (job.out / shard_name(number)).exists()]
    rows = [row for number in missing for row in job.rows_of(number)]
    need, free = estimate_bytes(job, rows), shutil.disk_usage(job.out).free
    if need > free:
        raise MultiviewError(
            f"the store needs about {size_text(need)} and the disk of {job.out} has {size_text(free)} free. Make room, "
            "choose another OUT, or store less (smaller pictures, encoded files)."
        )


def rows_per_shard(plan: Plan, rows: int | None, megabytes: float | None, at_address: bool) -> int:
    """Planned samples per shard; the same in every job of a store. Raises MultiviewError below 1.

    rows: None = `SHARD_ROWS`. megabytes: the size of a shard, in place of `rows` (None = `rows`,
    and for a store at an address `REMOTE_MEGABYTES` unless `rows` is given).
    """
    if megabytes is None and at_address and rows is None:
        megabytes = REMOTE_MEGABYTES
    if megabytes is None:
        return SHARD_ROWS if rows is None else rows
    if not megabytes > 0:
        raise MultiviewError(f"shard_mb is {megabytes}; give a number of megabytes above 0.")
    each = estimate_bytes_of(plan, range(len(plan.rows))) / len(plan.rows)
    return max(1, min(len(plan.rows), int(megabytes * 1e6 / max(each, 1))))


def estimate_bytes(job: ShardJob, rows: Sequence[int]) -> float:
    """Bytes that planned rows will take: exact for fixed shapes, else from a few samples."""
    return estimate_bytes_of(job.plan, rows)


def estimate_bytes_of(plan: Plan, rows: Sequence[int]) -> float:
    """See `estimate_bytes`."""
    modalities = plan.modalities
    fixed = sum(_count_bytes(each, each.shape) for each in modalities if not each.ragged) * len(rows)
    ragged = [each for each in modalities if each.ragged]
    if not ragged or not rows:
        return fixed
    places = np.unique(np.linspace(0, len(rows) - 1, PROBED).astype(int))
    sizes = [size for place in places if (size := _sample_bytes(plan, rows[place], ragged)) is not None]
    return fixed + (sum(sizes) / len(sizes) * len(rows) if sizes else 0)


def _sample_bytes(plan: Plan, row: int, modalities: Sequence[Modality]) -> int | None:
    """Bytes of these modalities of a sample; None when the sample cannot be read."""
    try:
        sample = plan.read(row)
    except (BadSample, MultiviewError):
        return None
    return sum(_count_bytes(each, np.shape(sample[each.name])) for each in modalities if each.name in sample)


def _count_bytes(modality: Modality, shape: tuple[int, ...]) -> int:
    return int(np.prod(shape)) * np.dtype(modality.dtype).itemsize
