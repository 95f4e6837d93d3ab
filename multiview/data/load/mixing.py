"""Several stores in words: `a+b`, `--mix 3:1`, and the part of each store in a batch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from multiview.errors import MultiviewError

PLUS = "+"


def stores_of(spec: str) -> list[str]:
    """`['a', 'b']` for `a+b`; one name when there is no plus, or a file or folder of that name."""
    parts = [part.strip() for part in spec.split(PLUS)]
    if len(parts) < 2 or Path(spec).exists():
        return [spec]
    if not all(parts):
        raise MultiviewError(f"data is '{spec}', and one of the names around the plus is empty; write a+b.")
    return parts


def ratio_of(mix: str | None, spec: str, count: int) -> tuple[int, ...] | None:
    """`(3, 1)` for `3:1`; None without `mix`. Raises MultiviewError when it does not fit the data.

    count: how many stores `spec` names.
    """
    if mix is None:
        return None
    if count < 2:
        raise MultiviewError(f"mix is {mix}, but data names one store, {spec}; name several: --data a+b --mix 3:1.")
    numbers = mix.split(":")
    if not all(re.fullmatch(r"\s*\d{1,9}\s*", each) and int(each) for each in numbers):
        raise MultiviewError(f"mix is '{mix}'; give a whole number above 0 for each store, such as 3:1.")
    if len(numbers) != count:
        raise MultiviewError(f"mix is {mix}, of {len(numbers)} numbers, but data names {count} stores, {spec}.")
    return tuple(map(int, numbers))


def shares(batch: int, ratio: Sequence[int], names: Sequence[str]) -> tuple[int, ...]:
    """Samples of each store in a batch, by largest remainder. Raises MultiviewError for none."""
    exact = [batch * part / sum(ratio) for part in ratio]
    counts = [int(each) for each in exact]
    by_remainder = sorted(range(len(ratio)), key=lambda n: (counts[n] - exact[n], n))
    for n in by_remainder[: batch - sum(counts)]:
        counts[n] += 1
    if 0 in counts:
        raise MultiviewError(
            f"a batch of {batch} with mix {':'.join(map(str, ratio))} has no sample of {names[counts.index(0)]}; use "
            f"a batch of {-(-sum(ratio) // min(ratio))} or more, or another --mix."
        )
    return tuple(counts)
