"""Related features, and rows of a search, for tests of what is measured without labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from multiview.measure.retrieval import Bootstrap, Partners, Searched, rows_of
from multiview.measure.rows import Measure

Rows = NDArray[np.float64]


def related(n: int, noise: float = 0.1, seed: int = 0) -> tuple[Rows, Rows]:
    """Two views of five numbers that share three directions."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 3))
    x = np.concatenate([common, rng.normal(size=(n, 2))], 1)
    return x, common @ rng.normal(size=(3, 5)) + noise * rng.normal(size=(n, 5)) + 7


def searched(trained: float, random: float, ridge: float, cca: float, n: int = 500) -> list[Measure]:
    """The rows of a search whose shares of first tries are given."""
    rng = np.random.default_rng(0)
    shares = {"trained": trained, "random": random, "ridge": ridge, "cca": cca}
    found = {name: np.where(rng.permutation(n) < share * n, 1, 50) for name, share in shares.items()}
    facts = {"head": "linear_128", "crop": "own", "same_crop": False}
    return rows_of(
        Searched(
            pair=Partners(query="photo", gallery="depth", facts=facts, positions=np.arange(n)),
            found=found,
            widths=dict.fromkeys(found, 128),
            facts={"ridge": {"fitted": 900}},
            draws=Bootstrap(n),
        ),
        "test",
    )
