"""How a split memory bank is cut into strata, so that no result depends on the processes.

Sample i is row i // STRATA of stratum i % STRATA. Importing this file does not import torch.
"""

from __future__ import annotations

from multiview.errors import MultiviewError

STRATA = 64
"""Parts of a split bank, and so many negatives at a time: the number of processes divides it."""


def length(stratum: int, size: int) -> int:
    """The number of samples, of `size`, in a stratum."""
    return (size - stratum + STRATA - 1) // STRATA


def require_shared(size: int, processes: int) -> None:
    """Raises MultiviewError when a bank of `size` rows cannot be split over so many processes."""
    if STRATA % processes:
        divisors = [str(count) for count in range(1, STRATA) if STRATA % count == 0]
        raise MultiviewError(
            f"bank=split shares {STRATA} parts of a bank out over the processes, and {processes} does not divide "
            f"{STRATA}; use {', '.join(divisors)} or {STRATA} processes, or bank=whole."
        )
    if size < 2 * STRATA:
        raise MultiviewError(
            f"bank=split needs {2 * STRATA} training samples or more, and the data has {size}; give bank=whole."
        )
