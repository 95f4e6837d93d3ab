"""How far the vectors of an exported network are from those of its model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multiview.errors import MultiviewError

BATCHES = (1, 3, 8)
"""Numbers of samples that are compared at once."""
TOLERANCE = 1e-3
"""Largest difference of an export, as a share of the largest number of the model's vectors."""

Vectors = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Difference:
    """The largest difference of one output over all batches.

    Args:
        output: name of the output.
        largest: |exported - model|.
        scale: the largest absolute number of the model's vectors.
    """

    output: str
    largest: float
    scale: float

    def __str__(self) -> str:
        return f"{self.output} {self.largest:.1e} (its numbers go up to {self.scale:.3g})"


def differences(model: Callable[[int], Vectors], exported: Callable[[int], Vectors]) -> tuple[Difference, ...]:
    """Compares the vectors of `BATCHES` samples; both functions take the number of samples.

    Raises MultiviewError when shapes differ, or numbers by more than `TOLERANCE`.
    """
    pairs = [(model(count), exported(count)) for count in BATCHES]
    found = tuple(_difference(name, [(ours[name], theirs[name]) for ours, theirs in pairs]) for name in pairs[0][0])
    for each in found:
        if not each.largest <= TOLERANCE * max(1.0, each.scale):
            raise MultiviewError(
                f"the exported network differs from the model: {each}. Nothing was written. Report this with the "
                "names of the view and the encoder, or choose another format."
            )
    return found


def _difference(name: str, pairs: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> Difference:
    for ours, theirs in pairs:
        if ours.shape != theirs.shape:
            raise MultiviewError(f"the exported network gives {name} the shape {theirs.shape}, the model {ours.shape}.")
    gaps = [np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max(initial=0) for ours, theirs in pairs]
    scale = max(float(np.abs(ours).max(initial=0)) for ours, _ in pairs)
    return Difference(name, float(np.max(gaps)), scale)  # NaN when any number is NaN
