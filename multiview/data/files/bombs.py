"""Limits on files that are small on the disk and huge in memory, checked before memory is taken."""

from __future__ import annotations

import math
from collections.abc import Callable

from multiview.data.source import BadSample
from multiview.files import size_text

FREE = 512 << 20
"""Bytes that any file may unpack to."""
RATIO = 200
"""Most bytes in memory per byte on the disk beyond `FREE`. Photos reach 20, masks 100."""
LARGEST_CHUNK = 256 << 20
"""Most bytes of one compressed chunk: reading one number of the chunk unpacks all of it."""
RATES = (100, 768_000)
"""Lowest and highest samples per second of a sound."""


def require_size(stored: int, unpacked: int) -> None:
    """Raises BadSample when `stored` bytes on the disk would become implausibly many in memory."""
    if unpacked > FREE and unpacked > RATIO * max(stored, 1):
        raise BadSample(
            f"refused as a decompression bomb: {size_text(stored)} on the disk become {size_text(unpacked)} in memory; "
            "if the data is right, save it without compression"
        )


def complaint(check: Callable[[], None]) -> str:
    """The sentence of the BadSample that a check raises, or an empty text."""
    try:
        check()
    except BadSample as cause:
        return f"is {cause}."
    return ""


def require_rate(rate: float) -> None:
    """Raises BadSample for a sampling rate that no sound has."""
    if not RATES[0] <= rate <= RATES[1]:
        raise BadSample(f"a sampling rate of {rate:g} Hz is not plausible; sounds have {RATES[0]} to {RATES[1]} Hz")


def require_chunks(dataset: object) -> None:
    """Raises BadSample when an HDF5 dataset, or one chunk of it, is a decompression bomb."""
    size = dataset.dtype.itemsize  # type: ignore[attr-defined]
    shape, chunks, stored = dataset.shape, dataset.chunks, dataset.id.get_storage_size()  # type: ignore[attr-defined]
    if shape is None or not math.prod(shape):
        return
    if chunks and dataset.compression and math.prod(chunks) * size > LARGEST_CHUNK:  # type: ignore[attr-defined]
        raise BadSample(f"refused as a decompression bomb: each chunk has {size_text(math.prod(chunks) * size)}")
    require_size(stored, math.prod(shape) * size)
