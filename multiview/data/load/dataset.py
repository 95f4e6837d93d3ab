"""From a store to batches: reads the modalities that the views need and cuts the crops."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from multiview.batch import Batch
from multiview.child import leave_stopping_to_parent
from multiview.cores import own_cores
from multiview.data.files.encoded import LazyImage
from multiview.data.load.absent import require_modalities
from multiview.data.load.ahead import Ahead
from multiview.data.load.crops import CropTransform, Stored
from multiview.data.load.mixedbatches import refuse_windows_of_mix
from multiview.data.load.sampler import Batches
from multiview.data.load.window_order import WindowOrder, uses_windows
from multiview.data.store.columns import SplitRows
from multiview.errors import MultiviewError
from multiview.view import View, modalities_of

if TYPE_CHECKING:
    from multiview.data.store.reading import Store

CACHE = 2 * 2**30
"""Most bytes of a store that are held in memory."""

MOST_WORKERS = 8
ANSWER_SECONDS = 300
"""Seconds to wait for a batch of the workers; repeated once, because a stopped run may go on."""
DEATH = ("exited unexpectedly", "killed by signal")
"""Parts of the message of the RuntimeError that DataLoader raises when a worker died."""
LATE = "timed out after"
"""Part of the message of the RuntimeError that DataLoader raises when no worker answers."""

Request = tuple[int, Tensor]
"""The epoch and the sample indices of a batch: everything that a worker needs."""


class Samples(Dataset[Batch]):
    """A split of a store: `samples[epoch, index]` is the `Batch` of the samples at `index`.

    `index` holds positions in the split, 0 .. len - 1; the batch carries the same index. Only the
    modalities that the views read are read.

    Args:
        store: the store.
        split: name of the split, None for all rows.
        views: the views that the batches are for.
        train: True cuts random crops, which depend only on (seed, epoch, index, crop name); False
            cuts the central crop.
        seed: of the random crops.
        cache: hold the modalities of all splits in memory if they need at most so many bytes.

    Raises MultiviewError when the store lacks a modality or the split is empty.
    """

    def __init__(
        self, store: Store, split: str | None, views: Mapping[str, View], train: bool, seed: int = 0, cache: int = CACHE
    ) -> None:
        stored = require_modalities(views.values(), store)
        wanted = modalities_of(views.values())
        names = tuple(dict.fromkeys(name for read in wanted.values() for name in read))
        self.rows = store.split_rows(split)
        if len(self.rows) == 0:
            raise MultiviewError(f"the split '{split}' of this store has no sample; choose another split.")
        self.store = store.cached(names, cache)
        self.for_views = partial(Samples, store, split, train=train, seed=seed, cache=cache)
        self.train = train
        self.transform = CropTransform(
            {crop: [stored[name] for name in read] for crop, read in wanted.items()}, train, seed
        )
        self.modalities = names
        self._present = {} if store.is_large else {name: store.present(name)[self.rows] for name in names}

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def is_fetched(self) -> bool:
        """Whether samples are read from shards that are fetched from an address."""
        store = self.store
        return store.cache is not None and not all(map(store.is_in_memory, self.modalities))

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The label of every sample, int64 (len,); -1 = unlabelled."""
        return np.asarray(self.store.labels)[np.asarray(self.rows)]

    def labels_at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The labels of the samples at these positions; of a large store only these are read."""
        return self.store.values("label", self.rows[positions]) if self.store.is_large else self.labels[positions]

    def ids(self, index: Tensor) -> list[str]:
        """The ids of the samples at these positions."""
        rows = self.rows[index.numpy()]
        return [each.decode("utf-8", "replace") for each in self.store.values("id", rows).tolist()]

    def count_absent(self, modality: str) -> int:
        """How many samples lack a modality, without those whose files turn out to be unreadable."""
        if self.store.is_large:
            return int((~self._present_at(modality, np.arange(len(self)))).sum())
        return int((~self._present[modality]).sum())

    def windows(self, order: str = "window") -> WindowOrder | None:
        """The order of an epoch that reads few shards at a time; None for the exact order.

        order: exact, window, or auto, see `uses_windows`. Raises
        MultiviewError for window when the data was given with --mix.
        """
        if order == "window":
            refuse_windows_of_mix(self.store)
        if not uses_windows(order, len(self)):
            return None
        return WindowOrder(self.rows.counts) if isinstance(self.rows, SplitRows) else self._windows_of_table()

    def _windows_of_table(self) -> WindowOrder:
        shards = self.store.manifest.shards
        if not shards:
            return WindowOrder.even(len(self))
        ends = np.cumsum([0, *(shard.rows for shard in shards)])
        return WindowOrder(np.diff(np.searchsorted(self.rows, ends)))

    def _present_at(self, modality: str, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which samples at these positions have a modality."""
        if modality in self._present:
            return self._present[modality][positions]
        return self.store.values(f"present/{modality}", self.rows[positions]).astype(bool)

    def __getitem__(self, request: Request) -> Batch:
        epoch, index = request
        positions = index.numpy()
        rows = self.rows[positions]
        arrays, present = {}, {}
        for name in self.modalities:
            read = self.store.read_for_crops(rows, name) if self.train else self.store.read(rows, name)
            present[name] = self._present_at(name, positions) & _not_empty(read) & self.store.was_read(rows, name)
            arrays[name] = _zero_absent(read, present[name])
        crops = self.transform(arrays, positions, epoch)
        for name, samples in arrays.items():
            present[name] &= self._decoded_well(samples, rows, name)
        return Batch(crops, index, {name: torch.from_numpy(there) for name, there in present.items()})

    def _decoded_well(self, samples: Stored, rows: NDArray[np.int64], name: str) -> NDArray[np.bool_]:
        """Which samples had no fault when the crops decoded their pixels."""
        good = np.ones(len(rows), bool)
        for place, sample in enumerate(samples if isinstance(samples, list) else ()):
            if isinstance(sample, LazyImage) and sample.fault:
                self.store.report_damage(int(rows[place]), name, sample.fault)
                good[place] = False
        return good


def _not_empty(samples: Stored) -> NDArray[np.bool_]:
    """Which samples hold a value; a file that cannot be read gives an empty sample."""
    if isinstance(samples, np.ndarray):
        return np.ones(len(samples), bool)
    return np.array([sample.size > 0 for sample in samples], bool)


def _zero_absent(samples: Stored, present: NDArray[np.bool_]) -> Stored:
    """The samples with zeros in absent rows, whatever the store holds there."""
    if not isinstance(samples, np.ndarray):
        return [sample if known else _zeros_like(sample) for sample, known in zip(samples, present, strict=True)]
    if present.all():
        return samples if samples.flags.writeable else samples.copy()
    return np.where(present.reshape(-1, *[1] * (samples.ndim - 1)), samples, np.zeros((), samples.dtype))


def _zeros_like(sample: NDArray | LazyImage) -> NDArray:
    """Zeros in the shape of a sample; an empty picture becomes one pixel, so that it can be cut."""
    shape = (1, 1, *sample.shape[2:]) if sample.ndim == 3 and not sample.size else sample.shape
    return np.zeros(shape, sample.dtype)


class _Requests(Sampler[Request]):
    """The requests to the workers. They carry the epoch, so that workers survive an epoch."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        self.epoch = 0
        self.start_step = 0

    def __iter__(self) -> Iterator[Request]:
        for index in self.batches.for_epoch(self.epoch, self.start_step):
            yield self.epoch, index

    def __len__(self) -> int:
        return len(self.batches) - self.start_step


class _ErrorsAsValues(Dataset[Batch | MultiviewError]):
    """Returns MultiviewErrors, because DataLoader hides a raised message in a traceback."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __getitem__(self, request: Request) -> Batch | MultiviewError:
        try:
            return self.samples[request]
        except MultiviewError as mistake:
            return mistake


class Loader:
    """Batches of `samples`, epoch by epoch: `for batch in loader.for_epoch(epoch, start_step)`.

    The batches are the same, bit for bit, for any number of workers.

    Args:
        samples: the samples.
        batches: which samples form which batch.
        workers: processes that prepare batches ahead, kept for all epochs; 0 prepares batches in
            this process, -1 chooses a suitable number.
        pin: copy batches to page-locked memory, for faster copies to a GPU; idle without one.
    """

    def __init__(self, samples: Samples, batches: Batches, workers: int = 0, pin: bool = False) -> None:
        self.samples = samples
        self.requests = _Requests(batches)
        self.pin = pin and torch.cuda.is_available()
        self.workers = suitable_workers(samples) if workers < 0 else workers
        self._pool = self._start_workers(self.workers) if self.workers else None

    def for_epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from `start_step` on. Raises MultiviewError if a worker dies."""
        self.requests.epoch, self.requests.start_step = epoch, start_step
        found = self._from_workers(self._pool) if self._pool is not None else self._in_this_process()
        return self._with_shards_ahead(found) if self.samples.is_fetched else found

    def every_sample(self) -> Iterator[Batch]:
        """Full batches that hold every sample, in the order of the first epoch.

        The last batch also holds some samples of the one before, where the samples fill none.
        """
        usual = self.requests.batches
        self.requests.batches = replace(usual, drop_last=False, filled=True)
        try:
            yield from self.for_epoch(0)
        finally:
            self.requests.batches = usual

    def _with_shards_ahead(self, found: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches; meanwhile, threads fetch the shards of the coming ones."""
        first = next(found, None)  # workers are forked before a thread starts
        rows = self.samples.rows
        own = rows.for_thread() if isinstance(rows, SplitRows) else rows
        ahead = Ahead(self.samples.store.files, (own[index.numpy()] for _, index in self.requests))
        try:
            while first is not None:
                ahead.used()
                yield first
                first = next(found, None)
        finally:
            ahead.stop()

    def _in_this_process(self) -> Iterator[Batch]:
        for request in self.requests:
            batch = self.samples[request]
            yield batch.pin_memory() if self.pin else batch

    def _from_workers(self, pool: Iterable[Batch | MultiviewError]) -> Iterator[Batch]:
        _require_shared_memory()
        batches, late = iter(pool), False
        while True:
            try:
                batch = next(batches)
                late = False
            except StopIteration:
                return
            except (RuntimeError, ConnectionError, EOFError) as cause:
                if LATE in str(cause):
                    if late:
                        raise _no_answer() from cause
                    late = True
                    continue
                if isinstance(cause, RuntimeError) and not any(sign in str(cause) for sign in DEATH):
                    raise
                raise MultiviewError(
                    f"a data worker stopped ({type(cause).__name__}: {cause}). The usual cause is too little memory: "
                    "use fewer workers, or --workers 0 to prepare batches in the main process."
                ) from cause
            if isinstance(batch, MultiviewError):
                raise batch
            yield batch

    def _start_workers(self, count: int) -> DataLoader[Batch | MultiviewError]:
        return DataLoader(
            _ErrorsAsValues(self.samples),
            batch_size=None,
            sampler=self.requests,
            num_workers=count,
            persistent_workers=True,
            collate_fn=_unchanged,
            pin_memory=self.pin,
            timeout=ANSWER_SECONDS,
            worker_init_fn=_as_worker,
            # Otherwise DataLoader draws the base seed of workers from the global generator.
            generator=torch.Generator(),
        )


def suitable_workers(samples: Samples) -> int:
    """The number of data-loading workers that suits the data.

    Returns 0 when the data is in memory: preparing a batch here is then cheaper than sending it
    between processes. Otherwise half of this process's cores, up to `MOST_WORKERS`.
    """
    if all(samples.store.is_in_memory(name) for name in samples.modalities):
        return 0
    return min(MOST_WORKERS, own_cores() // 2)


def _require_shared_memory() -> None:
    """Raises MultiviewError when workers cannot be started, before DataLoader half starts them."""
    try:
        multiprocessing.get_context().Queue()
    except OSError as cause:
        raise MultiviewError(
            f"data workers cannot be started: {cause.strerror or cause} (shared memory or open files). "
            "Use --workers 0 to prepare batches in the main process, or give the machine more "
            "(docker run --shm-size=2g, ulimit -n 4096)."
        ) from cause


def _as_worker(_: int) -> None:
    leave_stopping_to_parent()


def _no_answer() -> MultiviewError:
    workers = ", ".join(f"{worker.pid}" for worker in multiprocessing.active_children())
    return MultiviewError(
        f"no data worker has answered for {2 * ANSWER_SECONDS} s (processes {workers}). The usual cause is a disk or a "
        "network share that does not respond: check it, then continue with --resume, or use --workers 0 to read the "
        "data in the main process."
    )


def _unchanged(batch: Any) -> Any:
    return batch


def loader(
    samples: Samples, batches: Batches, epoch: int = 0, start_step: int = 0, workers: int = 0, pin: bool = False
) -> Iterator[Batch]:
    """The batches of one epoch. For several epochs keep one `Loader`, which keeps its workers."""
    return Loader(samples, batches, workers, pin).for_epoch(epoch, start_step)
