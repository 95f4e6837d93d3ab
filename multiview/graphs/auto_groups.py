"""Names a column that may tell which samples belong together, such as the model or the patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from multiview.data.store.shard import TARGET
from multiview.graphs.auto import Reason

FEWEST = 20
"""Values below which a column of texts names classes rather than groups."""
LARGEST = 20
"""Samples per value above which it does."""


def proposed_group(columns: Mapping[str, Sequence[str]], samples: int) -> list[Reason]:
    """A line for the column that may tell groups; none without one, or when groups are known.

    Of several columns it is the one with the most values: a model has one maker, and a maker has
    several models.

    Args:
        columns: those of texts that a store keeps, with their values.
        samples: of the store.
    """
    texts = {name.removeprefix(TARGET): len(set(values)) for name, values in columns.items() if name.startswith(TARGET)}
    fitting = {name: n for name, n in texts.items() if n >= FEWEST and 2 * n <= samples <= LARGEST * n}
    if not fitting or len(texts) < len(columns):
        return []
    name = max(fitting, key=lambda each: fitting[each])
    each = f"{fitting[name]:,} values, each in about {samples / fitting[name]:.2g} samples"
    why = (
        f"not chosen: '{name}' has {each}. If these show one thing, give --group {name}, so that they are not each "
        "other's negatives"
    )
    return [Reason("group", "none", why)]
