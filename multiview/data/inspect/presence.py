"""Which modalities the samples of a store have: sample counts per combination."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from multiview.data.store.reading import Store

LISTED = 12


def count_patterns(store: Store) -> dict[tuple[str, ...], int]:
    """Combination of modalities -> number of samples that have it, most frequent first."""
    names = [modality.name for modality in store.manifest.modalities]
    present = np.stack([store.present(name) for name in names], axis=1)
    kinds, counts = np.unique(present, axis=0, return_counts=True)
    order = sorted(range(len(kinds)), key=lambda i: (-counts[i], -kinds[i].sum(), tuple(~kinds[i])))
    return {tuple(name for name, has in zip(names, kinds[i], strict=True) if has): int(counts[i]) for i in order}


def presence_text(patterns: Mapping[tuple[str, ...], int]) -> str:
    """The counts as `image+audio 812, image only 14, none 3`."""
    parts = [f"{_pattern_name(names)} {count}" for names, count in patterns.items()]
    return ", ".join(parts[:LISTED] + [f"and {len(parts) - LISTED} more patterns"] * (len(parts) > LISTED))


def _pattern_name(names: tuple[str, ...]) -> str:
    return f"{names[0]} only" if len(names) == 1 else "+".join(names) or "none"
