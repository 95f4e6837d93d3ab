"""From a store to batches: reads what the views need, cuts the crops, and says who every sample is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from multiview.batch import Batch
from multiview.cores import own_cores
from multiview.data.files.encoded import LazyImage
from multiview.data.load.crops import CropTransform, Stored
from multiview.data.load.sampler import Batches
from multiview.errors import MultiviewError, unknown_name
from multiview.view import View, modalities_of

if TYPE_CHECKING:
    from multiview.data.store.reading import Store

CACHE = 2 * 2**30
"""Bytes up to which the modalities of a store are held in memory."""

MOST_WORKERS = 8
DEATH = ("exited unexpectedly", "killed by signal")
"""What DataLoader says of a worker that is gone, in a RuntimeError like any other."""

Request = tuple[int, Tensor]
"""An epoch and the sample indices of one batch: all that a worker must know."""


class Samples(Dataset[Batch]):
    """One split of a store (None = all rows) as the views need it: `samples[epoch, index]` is the `Batch` of those samples.

    index: positions within the split, 0 .. len - 1, which the batch hands on. Only the modalities that the views read
    are read; the store holds them in memory, for all its splits, when it then holds at most `cache` bytes. train=True
    cuts random crops, which depend on (seed, epoch, index, crop name) alone; train=False the central one. Raises
    MultiviewError when the store lacks a modality or the split is empty.
    """

    def __init__(
        self, store: Store, split: str | None, views: Mapping[str, View], train: bool, seed: int = 0, cache: int = CACHE
    ) -> None:
        stored = {modality.name: modality for modality in store.manifest.modalities}
        wanted = modalities_of(views.values())
        names = tuple(dict.fromkeys(name for read in wanted.values() for name in read))
        for name in names:
            if name not in stored:
                raise unknown_name("modality of this store", name, stored, "Leave out its view, or preprocess it.")
        self.rows = store.rows(split)
        if len(self.rows) == 0:
            raise MultiviewError(f"the split '{split}' of this store has no sample; choose another split.")
        self.store = store.cached(names, cache)
        self.labels: NDArray[np.int64] = np.asarray(store.labels)[self.rows]
        self.train = train
        self.transform = CropTransform(
            {crop: [stored[name] for name in read] for crop, read in wanted.items()}, train, seed
        )
        self.modalities = names
        self._present = {name: np.asarray(store.present(name))[self.rows] for name in names}

    def __len__(self) -> int:
        return len(self.rows)

    def ids(self, index: Tensor) -> list[str]:
        """The store's ids of the samples at these positions."""
        names = self.store.ids
        return [names[row] for row in self.rows[index.numpy()]]

    def lacking(self, modality: str) -> int:
        """How many samples lack a modality, as far as is known before they are read."""
        return int((~self._present[modality]).sum())

    def __getitem__(self, request: Request) -> Batch:
        epoch, index = request
        positions = index.numpy()
        rows = self.rows[positions]
        arrays, present = {}, {}
        for name, there in self._present.items():
            read = self.store.samples(rows, name) if self.train else self.store.read(rows, name)
            present[name] = there[positions] & _readable(read)
            arrays[name] = _blanked(read, present[name])
        crops = self.transform(arrays, positions, epoch)
        for name, samples in arrays.items():
            present[name] &= self._faultless(samples, rows, name)
        return Batch(crops, index, {name: torch.from_numpy(there) for name, there in present.items()})

    def _faultless(self, samples: Stored, rows: NDArray[np.int64], name: str) -> NDArray[np.bool_]:
        """Which samples did not turn out to be damaged when their pixels were needed."""
        good = np.ones(len(rows), bool)
        for place, sample in enumerate(samples if isinstance(samples, list) else ()):
            if isinstance(sample, LazyImage) and sample.fault:
                self.store.blame(int(rows[place]), name, sample.fault)
                good[place] = False
        return good


def _readable(samples: Stored) -> NDArray[np.bool_]:
    """Which samples hold anything: files that are read as they are asked for may turn out to be damaged."""
    if isinstance(samples, np.ndarray):
        return np.ones(len(samples), bool)
    return np.array([sample.size > 0 for sample in samples], bool)


def _blanked(samples: Stored, present: NDArray[np.bool_]) -> Stored:
    """Zeros in the rows that are not there, whatever the store holds in their place."""
    if not isinstance(samples, np.ndarray):
        return [sample if known else _blank(sample) for sample, known in zip(samples, present, strict=True)]
    if present.all():
        return samples if samples.flags.writeable else samples.copy()
    return np.where(present.reshape(-1, *[1] * (samples.ndim - 1)), samples, np.zeros((), samples.dtype))


def _blank(sample: NDArray | LazyImage) -> NDArray:
    """Nothing in the shape of a sample; of a picture without a size a single pixel, because nothing cannot be cut."""
    shape = (1, 1, *sample.shape[2:]) if sample.ndim == 3 and not sample.size else sample.shape
    return np.zeros(shape, sample.dtype)


class _Requests(Sampler[Request]):
    """What DataLoader asks its workers for; the epoch travels with the indices, so that workers outlive an epoch."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches
        self.epoch = 0
        self.start_step = 0

    def __iter__(self) -> Iterator[Request]:
        for index in self.batches.for_epoch(self.epoch, self.start_step):
            yield self.epoch, index

    def __len__(self) -> int:
        return len(self.batches) - self.start_step


class _InWorker(Dataset[Batch | MultiviewError]):
    """Hands a user's mistake back as a value: DataLoader would bury its message under the worker's traceback."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __getitem__(self, request: Request) -> Batch | MultiviewError:
        try:
            return self.samples[request]
        except MultiviewError as mistake:
            return mistake


class Loader:
    """Batches of `samples`, epoch after epoch: `for batch in loader.for_epoch(epoch, start_step)`.

    workers: processes that prepare batches ahead, kept alive between epochs; 0 prepares them in this process, -1 takes
    what suits the data. The batches are the same, bit for bit, for any number. pin: put them in page-locked memory, for faster copies to a GPU;
    idle without one.
    """

    def __init__(self, samples: Samples, batches: Batches, workers: int = 0, pin: bool = False) -> None:
        self.samples = samples
        self.requests = _Requests(batches)
        self.pin = pin and torch.cuda.is_available()
        self.workers = suitable_workers(samples) if workers < 0 else workers
        self._pool = self._workers(self.workers) if self.workers else None

    def for_epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from `start_step` on. Raises MultiviewError when a worker dies."""
        self.requests.epoch, self.requests.start_step = epoch, start_step
        return self._ahead(self._pool) if self._pool is not None else self._here()

    def _here(self) -> Iterator[Batch]:
        for request in self.requests:
            batch = self.samples[request]
            yield batch.pin_memory() if self.pin else batch

    def _ahead(self, pool: Iterable[Batch | MultiviewError]) -> Iterator[Batch]:
        arriving = iter(pool)
        while True:
            try:
                batch = next(arriving)
            except StopIteration:
                return
            except (RuntimeError, ConnectionError, EOFError) as cause:
                if isinstance(cause, RuntimeError) and not any(sign in str(cause) for sign in DEATH):
                    raise
                raise MultiviewError(
                    f"a data worker stopped ({type(cause).__name__}: {cause}). Most often memory ran out: "
                    "use fewer workers, or --workers 0 to prepare batches in the main process."
                ) from cause
            if isinstance(batch, MultiviewError):
                raise batch
            yield batch

    def _workers(self, count: int) -> DataLoader[Batch | MultiviewError]:
        return DataLoader(
            _InWorker(self.samples),
            batch_size=None,
            sampler=self.requests,
            num_workers=count,
            persistent_workers=True,
            collate_fn=_unchanged,
            pin_memory=self.pin,
            # Its own: DataLoader would otherwise draw the workers' base seed from the global generator.
            generator=torch.Generator(),
        )


def suitable_workers(samples: Samples) -> int:
    """None for what is in memory, where cutting a batch takes less than handing it over; else half of this process's cores,
    up to `MOST_WORKERS`.
    """
    if all(samples.store.holds(name) for name in samples.modalities):
        return 0
    return min(MOST_WORKERS, own_cores() // 2)


def _unchanged(batch: Any) -> Any:
    return batch


def loader(
    samples: Samples, batches: Batches, epoch: int = 0, start_step: int = 0, workers: int = 0, pin: bool = False
) -> Iterator[Batch]:
    """The batches of a single epoch. A run of several epochs keeps one `Loader`, and with it the workers."""
    return Loader(samples, batches, workers, pin).for_epoch(epoch, start_step)
