"""Groups of the training samples: who is never whose negative, and what that costs."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from multiview.data.listing.groups import FOLDER, LABEL, PATTERN, groups_by_id
from multiview.data.store.reading import Store
from multiview.data.values import number_text
from multiview.errors import MultiviewError, unknown_name
from multiview.files import size_text
from multiview.graph import ContrastGraph
from multiview.plurals import counted

NOTED = 0.005
"""A note is printed when at least this share of samples finds no negative in its batch."""


@dataclass(frozen=True)
class Grouping:
    """The groups of the training samples.

    Args:
        column: what `--group` named.
        codes: (N,) int64, the group of each training sample, numbered from 0.
        largest: the name of the largest group, and its number of samples.
        missing: how many samples have no value; each is a group of its own.
        split: groups with samples in several splits, and how many samples those groups have.
    """

    column: str
    codes: Tensor
    largest: tuple[str, int]
    missing: int
    split: tuple[int, int]

    @cached_property
    def counts(self) -> Tensor:
        """(G,) samples of each group, float64."""
        return torch.bincount(self.codes).double()

    @property
    def excluded(self) -> float:
        """The expected share of a sample's possible negatives that are of its own group."""
        n = len(self.codes)
        return float((self.counts * (self.counts - 1)).sum()) / (n * (n - 1))

    def without_negatives(self, batch: int) -> float:
        """The expected share of samples whose batch holds samples of their own group only."""
        n = len(self.codes)
        filled = self.counts[self.counts >= batch]
        log = torch.lgamma(filled) - torch.lgamma(filled - batch + 1) - (math.lgamma(n) - math.lgamma(n - batch + 1))
        return float((filled / n * log.exp()).sum())

    def fact(self) -> str:
        """What --plan says: sizes, what is excluded, and bytes."""
        name, size = self.largest
        share = 100 * size / len(self.codes)
        return (
            f"{self.column}: {counted(len(self.counts), 'group')}, the largest '{name}' has "
            f"{counted(size, 'sample')} ({share:.3g} %); {100 * self.excluded:.3g} % of all pairs are of one group and "
            f"excluded; the codes take {size_text(3 * self.codes.nbytes)}"
        )

    def notes(self, graph: ContrastGraph, batch: int) -> Iterator[str]:
        """What the user may not expect."""
        if self.missing:
            yield f"{counted(self.missing, 'sample')} without a value of '{self.column}': each is a group of its own."
        groups, samples = self.split
        if groups and self.column != LABEL:
            yield (
                f"the splits cut {counted(groups, 'group')} of '{self.column}' ({counted(samples, 'sample')}) in two: "
                "evaluation then meets groups that were trained on. New splits keep groups whole: "
                f"`multiview split STORE OUT --by '{self.column}'`."
            )
        if all(edge.objective.excludes_groups is None for edge in graph.edges):
            yield f"--group '{self.column}' changes nothing: no objective of this run has negatives."
        elif (share := self.without_negatives(batch)) >= NOTED:
            yield (
                f"{100 * share:.3g} % of the samples will find no negative in their batch of {batch}, because "
                f"'{self.largest[0]}' has {100 * self.largest[1] / len(self.codes):.3g} % of the samples. Objectives "
                "that contrast within the batch learn nothing from these; use a larger batch."
            )


def grouping_of(column: str | None, store: Store, split: str, graph: ContrastGraph) -> Grouping | None:
    """The groups of the samples of a split by `column`; None without a column.

    Raises MultiviewError for an unknown column, when all samples are of one group, and when an
    objective would contrast samples of one group.
    """
    if column is None:
        return None
    _refuse_objectives(graph)
    values = values_of(store, column)
    rows = store.rows(split).tolist()
    names = [values[row] for row in rows]
    numbers: dict[str | int, int] = {}
    codes = [
        numbers.setdefault(row if name is None else name, len(numbers)) for row, name in zip(rows, names, strict=True)
    ]
    if len(numbers) == 1:
        raise MultiviewError(
            f"--group '{column}' puts all {len(rows)} training samples into one group: no sample has a negative. "
            f"{_more_groups(values)}"
        )
    sizes = Counter(name for name in names if name is not None)
    largest = sizes.most_common(1)[0] if sizes else ("none", 1)
    return Grouping(column, torch.tensor(codes), largest, names.count(None), _cut(store, values))


def values_of(store: Store, column: str) -> list[str | None]:
    """The value of `column` for every row of a store; None where it is missing.

    column: `folder`, `id:REGEX`, a stored group, `label`, or a factor. Raises MultiviewError for
    any other.
    """
    if column in store.group_names:
        return store.group(column)
    found = groups_by_id(column, store.ids)
    if found is None and column in store.manifest.factors:
        found = [number_text(value) or None for value in store.factor(column)]
    if found is None and column == LABEL:
        classes = store.manifest.classes
        found = [classes[label] if label >= 0 else None for label in store.labels.tolist()]
    if found is None:
        known = [*store.group_names, LABEL, *store.manifest.factors, FOLDER, f"{PATTERN}REGEX"]
        raise unknown_name(
            "column of groups",
            column,
            known,
            f"Keep a column of the data with `multiview preprocess SOURCE INPUT OUT --group '{column}'`.",
        )
    return found


def _cut(store: Store, values: Sequence[str | None]) -> tuple[int, int]:
    """How many groups have samples in several splits, and how many samples these groups have."""
    where, sizes = defaultdict(set), Counter(value for value in values if value is not None)
    for split in store.split_names:
        for row in store.rows(split).tolist():
            where[values[row]].add(split)
    cut = [value for value, splits in where.items() if value is not None and len(splits) > 1]
    return len(cut), sum(sizes[value] for value in cut)


def _refuse_objectives(graph: ContrastGraph) -> None:
    for name, edge in graph.named_edges().items():
        if edge.objective.excludes_groups is False:
            raise MultiviewError(
                f"edge {name}: {edge.objective.name} does not know groups and would contrast samples of one group; use "
                "another objective, or leave --group out. An objective of your own reads `EdgeInput.groups()` and says "
                "so with `excludes_groups = True`."
            )


def _more_groups(values: Sequence[str | None]) -> str:
    """What to give where the training samples are one group."""
    several = len(set(values))
    if several < 2:
        return "Give a column with several values."
    return f"The data have {several} groups, of which the train split holds one: give a column with many more groups."
