"""The vectors of samples, block by block, with what is known about every sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from multiview.batch import Batch
from multiview.child import leave_stopping_to_parent
from multiview.data.listing.filetree import as_unicode
from multiview.data.load.dataset import ANSWER_SECONDS, Samples
from multiview.data.load.sourcestore import SourceStore
from multiview.data.store.manifest import NO_SPLIT
from multiview.errors import MultiviewError
from multiview.portable.lanes import Lane, in_lanes
from multiview.portable.model import Column

if TYPE_CHECKING:
    from multiview.data.source import BadSample
    from multiview.data.store.reading import Store
    from multiview.portable.opening import Opened


class Rejected(NamedTuple):
    """A file that could not be read: id of the sample, modality, reason."""

    id: str
    modality: str
    reason: str


@dataclass(frozen=True)
class Vectors:
    """Vectors of n samples, and what is known about every sample.

    Args:
        columns: what the vectors are.
        values: column -> float32 (n, width), zeros where the view is absent.
        present: view -> bool (n,).
        ids: n ids.
        paths: the files of the samples, "" where they are not known.
        splits: names, "" without a split.
        labels: names of classes, "" without a label.
        factors: name -> float64 (n,), NaN where it is not known.
        rejected: files that could not be read. A sample without any readable view is no row.
    """

    columns: tuple[Column, ...]
    values: dict[Column, NDArray[np.float32]]
    present: dict[str, NDArray[np.bool_]]
    ids: list[str]
    paths: list[str]
    splits: list[str]
    labels: list[str]
    factors: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    rejected: tuple[Rejected, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, view: str) -> NDArray[np.float32]:
        """The vectors (n, width) of a view, or those behind the first of its projectors."""
        for column in self.columns:
            if column.view == view:
                return self.values[column]
        raise MultiviewError(f"'{view}' was not embedded; there are {', '.join(self.present)}.")


def collect(opened: Opened, workers: int = 0) -> Vectors:
    """The vectors of all samples in one value."""
    return joined(list(blocks(opened, workers)), opened)


def joined(parts: Sequence[Vectors], opened: Opened) -> Vectors:
    """Several blocks of the same columns as one."""
    lists = {name: [x for part in parts for x in getattr(part, name)] for name in ("ids", "paths", "splits", "labels")}
    factors = opened.store.manifest.factors
    return Vectors(
        columns=opened.columns,
        values={
            x: np.concatenate([np.empty((0, x.width), "f4"), *(p.values[x] for p in parts)]) for x in opened.columns
        },
        present={view: np.concatenate([np.empty(0, bool), *(p.present[view] for p in parts)]) for view in opened.shown},
        factors={name: np.concatenate([np.empty(0), *(p.factors[name] for p in parts)]) for name in factors},
        rejected=tuple(x for part in parts for x in part.rejected),
        **lists,
    )


def blocks(opened: Opened, workers: int = 0, first: int = 0) -> Iterator[Vectors]:
    """The vectors of each batch of the opened data, from batch number `first` on.

    Raises MultiviewError when a store is damaged, or when a worker stops.
    """
    facts, rest = _Facts(opened.store), opened.batches[first:]
    read = zip(rest, _read(_Reading(opened), rest, workers), strict=True)
    yield from in_lanes(Lane(opened.model, opened.views), partial(_block, opened, facts), read)


def _block(opened: Opened, facts: _Facts, lane: Lane, read: tuple[NDArray[np.int64], tuple[Batch, Faults]]) -> Vectors:
    """The vectors of one batch; the lane encodes it."""
    rows, (batch, faults) = read
    there = {view: batch.present[value.modality].numpy().copy() for view, value in opened.views.items()}
    there |= {name: np.any([there[view] for view in of], axis=0) for name, of in opened.fused.items()}
    broken = {row for row, _ in faults}
    some = np.any(list(there.values()), axis=0) | ~np.isin(rows, list(broken))
    found = lane.model.vectors(batch, opened.columns, lane.views)
    values = {each: np.where(there[each.view][:, None], x.cpu().numpy(), 0)[some] for each, x in found.items()}
    return Vectors(
        columns=opened.columns,
        values=values,
        present={view: present[some] for view, present in there.items()},
        rejected=tuple(Rejected(facts.ids[row], modality, reason) for (row, modality), reason in faults.items()),
        **facts.of(rows[some]),
    )


class _Facts:
    """What a store knows about its rows."""

    def __init__(self, store: Store) -> None:
        self.store, self.ids, self.labels = store, store.ids, store.labels
        self.splits = np.full(len(store), NO_SPLIT)
        for number, name in enumerate(store.split_names):
            self.splits[store.rows(name)] = number
        self.factors = {name: store.factor(name) for name in store.manifest.factors}
        self.file_of = getattr(store.plan.read, "file_of", None) if isinstance(store, SourceStore) else None

    def of(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        """What `Vectors` holds about these rows."""
        places = rows.tolist()
        return {
            "ids": [self.ids[row] for row in places],
            "paths": [self.path(row) for row in places],
            "splits": [self.split(row) for row in places],
            "labels": [self.label(row) for row in places],
            "factors": {name: column[rows] for name, column in self.factors.items()},
        }

    def split(self, row: int) -> str:
        return "" if self.splits[row] == NO_SPLIT else self.store.split_names[self.splits[row]]

    def label(self, row: int) -> str:
        return "" if self.labels[row] < 0 else self.store.manifest.classes[self.labels[row]]

    def path(self, row: int) -> str:
        file = self.file_of(row) if self.file_of else None
        return as_unicode(str(file)) if file else ""


Faults = dict[tuple[int, str], str]


class _Collector:
    """Takes the place of `Store.report_damage` for files: collects faults and prints nothing."""

    def __init__(self) -> None:
        self.faults: Faults = {}

    def __call__(self, row: int, modality: str, fault: BadSample) -> None:
        self.faults[row, modality] = str(fault)

    def take(self) -> Faults:
        faults, self.faults = self.faults, {}
        return faults


class _Reading(Dataset[Any]):
    """Row numbers -> the batch of these rows, and the faults of their files."""

    def __init__(self, opened: Opened) -> None:
        store = opened.store
        self.collector = _Collector()
        if isinstance(store, SourceStore):
            store.report_damage = self.collector  # type: ignore[method-assign]
        self.samples = Samples(store, None, opened.views, train=False, cache=0)
        self.collector.take()  # Samples reads a few files to learn their size

    def __getitem__(self, rows: NDArray[np.int64]) -> tuple[Batch, Faults] | MultiviewError:
        try:
            batch = self.samples[0, torch.from_numpy(rows)]
        except MultiviewError as mistake:  # DataLoader would hide the message in a traceback
            return mistake
        faults = self.collector.take()
        for row, modality in faults:
            batch.present[modality] &= torch.from_numpy(rows != row)
        return batch, faults


def _read(reading: _Reading, batches: Sequence[NDArray[np.int64]], workers: int) -> Iterator[tuple[Batch, Faults]]:
    results = map(reading.__getitem__, batches) if workers == 0 else _from_workers(reading, batches, workers)
    for result in results:
        if isinstance(result, MultiviewError):
            raise result
        yield result


def _from_workers(reading: _Reading, batches: Sequence[NDArray[np.int64]], workers: int) -> Iterator[Any]:
    how: dict[str, Any] = {"batch_size": None, "collate_fn": _unchanged, "worker_init_fn": _as_worker}
    how |= {"num_workers": workers, "timeout": ANSWER_SECONDS, "generator": torch.Generator()}
    loader: DataLoader[Any] = DataLoader(reading, sampler=batches, **how)
    try:
        yield from islice(loader, len(batches))
    except (RuntimeError, ConnectionError, EOFError) as cause:
        raise MultiviewError(
            f"a data worker stopped ({type(cause).__name__}: {cause}). Use fewer workers, or --workers 0 to read the "
            "data in the main process."
        ) from cause


def _unchanged(batch: Any) -> Any:
    return batch


def _as_worker(_: int) -> None:
    leave_stopping_to_parent()
