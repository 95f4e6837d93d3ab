"""A mean over seeds with its 95 % interval, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from multiview.settings import t_interval


def interval(values: Sequence[float], digits: int = 1) -> str:
    """`87.1 ± 1.2`, or the mean alone of one value."""
    if len(values) < 2:
        return f"{np.mean(values):.{digits}f}"
    found = t_interval(values)
    return f"{found.points:.{digits}f} ± {found.half:.{digits}f}"
