"""Whether a store fits on the disk, estimated before the first sample is written."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import numpy as np

from multiview.data.modality import Modality
from multiview.data.source import BadSample
from multiview.data.store.shard import shard_name
from multiview.data.write.shardjob import Work
from multiview.errors import MultiviewError
from multiview.files import size_text

PROBED = 16
"""Samples, evenly spread, whose lengths stand for all where lengths differ."""


def check_space(work: Work, numbers: Sequence[int]) -> None:
    """Raises MultiviewError when the disk of the output clearly cannot hold the shards of `numbers` that are not there."""
    missing = [number for number in numbers if not (work.out / shard_name(number)).exists()]
    rows = [row for number in missing for row in work.rows(number)]
    need, free = estimated(work, rows), shutil.disk_usage(work.out).free
    if need > free:
        raise MultiviewError(
            f"the store needs about {size_text(need)} and the disk of {work.out} has {size_text(free)} free. Make room, "
            "choose another OUT, or store less (smaller pictures, encoded files)."
        )


def estimated(work: Work, rows: Sequence[int]) -> float:
    """Bytes that these planned rows will take: exact for fixed shapes, from a few samples for the others."""
    kinds = work.plan.modalities
    fixed = sum(_bytes(each, each.shape) for each in kinds if not each.ragged) * len(rows)
    ragged = [each for each in kinds if each.ragged]
    if not ragged or not rows:
        return fixed
    places = np.unique(np.linspace(0, len(rows) - 1, PROBED).astype(int))
    found = [size for place in places if (size := _probed(work, rows[place], ragged)) is not None]
    return fixed + (sum(found) / len(found) * len(rows) if found else 0)


def _probed(work: Work, row: int, kinds: Sequence[Modality]) -> int | None:
    try:
        sample = work.plan.read(row)
    except (BadSample, MultiviewError):
        return None
    return sum(_bytes(each, np.shape(sample[each.name])) for each in kinds if each.name in sample)


def _bytes(modality: Modality, shape: tuple[int, ...]) -> int:
    return int(np.prod(shape)) * np.dtype(modality.dtype).itemsize
