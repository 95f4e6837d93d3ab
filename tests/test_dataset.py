"""Samples and the loader: the modalities of the views, in the same order for any workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from multiview.batch import Batch
from multiview.data.load import dataset
from multiview.data.load.dataset import Loader, Samples, loader, suitable_workers
from multiview.data.load.sampler import Batches
from multiview.data.modality import Modality
from multiview.data.store import Store
from multiview.errors import MultiviewError
from multiview.view import Crop, View
from multiview.views import Lab, depth, normal, rgb

SIZE = 12
KINDS = (
    Modality(name="image", kind="image", dtype="uint8", shape=(SIZE, SIZE, 3), unit="sRGB"),
    Modality(name="depth", kind="depth", dtype="float32", shape=(SIZE, SIZE), unit="m"),
    Modality(name="normal", kind="normal", dtype="float16", shape=(SIZE, SIZE, 3), unit=""),
)


class FakeStore:
    """A store in memory: every third row belongs to `test`, every fourth has no depth."""

    def __init__(self, count: int = 60) -> None:
        rng = np.random.default_rng(0)
        self.manifest, self.path = SimpleNamespace(modalities=KINDS), "scans"
        self.labels = rng.integers(0, 5, count)
        self.data = {
            "image": rng.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8),
            "depth": rng.random((count, SIZE, SIZE), dtype=np.float32) + 1,
            "normal": rng.normal(size=(count, SIZE, SIZE, 3)).astype(np.float16),
        }
        self.name, self.is_large, self.cache = "scans", False, None
        self.asked: list[str] = []
        self.held: list[tuple[str | int, ...]] = []
        self.in_memory = True
        self.bad_row: int | None = None
        self.fatal_row: int | None = None

    def rows(self, split: str) -> NDArray[np.int64]:
        every = np.arange(len(self.labels))
        return {"train": every[every % 3 > 0], "test": every[every % 3 == 0], "none": every[:0]}[split]

    split_rows = rows

    def present(self, modality: str) -> NDArray[np.bool_]:
        every = np.arange(len(self.labels))
        return every % 4 > 0 if modality == "depth" else every >= 0

    def read(self, rows: NDArray[np.int64], modality: str) -> NDArray:
        self.asked.append(modality)
        if self.bad_row in rows:
            raise MultiviewError(f"shard-00000.h5 is damaged at row {self.bad_row}.")
        if self.fatal_row in rows:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.data[modality][rows]

    def was_read(self, rows: NDArray[np.int64], modality: str) -> NDArray[np.bool_]:
        return np.ones(len(rows), bool)

    def read_for_crops(self, rows: NDArray[np.int64], modality: str) -> list[NDArray]:
        return list(self.read(rows, modality))

    def is_in_memory(self, modality: str) -> bool:
        return self.in_memory

    def cached(self, modalities: Sequence[str], limit_bytes: int) -> FakeStore:
        self.held.append((*modalities, limit_bytes))
        return self


def samples(store: FakeStore | None = None, train: bool = True, seed: int = 0, **views: View) -> Samples:
    crop = Crop(size=8)
    chosen = views or {"L": Lab.lightness(crop), "d": depth(crop), "other": rgb(crop.named("other"))}
    return Samples(store or FakeStore(), "train", chosen, train, seed)  # type: ignore[arg-type]


def assert_same(ours: Iterable[Batch], theirs: Iterable[Batch]) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a.index, b.index)
        assert a.present.keys() == b.present.keys()
        assert all(torch.equal(a.present[name], b.present[name]) for name in a.present)
        flat = [{(c, m): x for c, crops in each.crops.items() for m, x in crops.items()} for each in (a, b)]
        assert flat[0].keys() == flat[1].keys()
        for key, x in flat[0].items():
            assert torch.equal(x, flat[1][key]), key


def test_a_batch_carries_the_index_of_its_samples() -> None:
    data = samples()
    batch = data[0, torch.tensor([3, 0, 39])]
    assert len(data) == 40
    assert len(batch) == 3
    assert batch.index.tolist() == [3, 0, 39]
    assert {name: list(crops) for name, crops in batch.crops.items()} == {
        "crop": ["image", "depth"],
        "other": ["image"],
    }
    assert (data.labels == data.store.labels[data.rows]).all()
    image, metres = batch.crops["crop"]["image"], batch.crops["crop"]["depth"]
    assert (image.dtype, tuple(image.shape)) == (torch.uint8, (3, 3, 8, 8))
    assert (metres.dtype, tuple(metres.shape)) == (torch.float32, (3, 1, 8, 8))


def test_positions_are_those_within_the_split() -> None:
    crop = Crop(size=SIZE)
    store = FakeStore()
    batch = samples(store, train=False, v=rgb(crop))[0, torch.tensor([0, 5])]
    expected = torch.from_numpy(store.data["image"][store.rows("train")[[0, 5]]]).permute(0, 3, 1, 2)
    assert torch.equal(batch.crops["crop"]["image"], expected)


def test_only_what_the_views_read_is_read() -> None:
    store = FakeStore()
    _ = samples(store, n=normal(Crop()))[0, torch.arange(4)]
    assert set(store.asked) == {"normal"}


def test_the_store_is_asked_to_hold_what_the_views_read_for_all_splits() -> None:
    store, crop = FakeStore(), Crop(size=8)
    views = {"L": Lab.lightness(crop), "ab": Lab.chroma(crop), "d": depth(crop)}
    both = [Samples(store, split, views, train=False, cache=99) for split in ("train", "test")]  # type: ignore[arg-type]
    assert store.held == [("image", "depth", 99)] * 2
    assert all(each.store is store for each in both)


def test_rows_without_a_modality_are_zeros_and_marked_absent() -> None:
    store = FakeStore()
    data = samples(store)
    batch = data[0, torch.arange(40)]
    there = torch.from_numpy(store.present("depth")[store.rows("train")])
    assert 0 < there.sum() < 40
    assert torch.equal(batch.present["depth"], there)
    assert (data.count_absent("depth"), data.count_absent("image")) == (int((~there).sum()), 0)
    assert batch.present["image"].all()
    assert (batch.crops["crop"]["depth"][~there] == 0).all()
    assert (batch.crops["crop"]["depth"][there] > 0).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_delivers_the_batches_of_the_sampler(workers: int) -> None:
    data, batches = samples(), Batches(40, 8, seed=1)
    prepared = Loader(data, batches, workers)
    for epoch, start_step in ((0, 0), (1, 0), (1, 3), (0, 0)):
        expected = [data[epoch, index] for index in batches.for_epoch(epoch, start_step)]
        assert len(expected) == 5 - start_step
        assert_same(prepared.for_epoch(epoch, start_step), expected)


def test_workers_give_the_same_batches_after_an_unfinished_epoch() -> None:
    batches = Batches(40, 8)
    ahead, here = Loader(samples(), batches, workers=2), Loader(samples(), batches)
    left = ahead.for_epoch(0)
    next(left)
    del left
    assert_same(ahead.for_epoch(2), here.for_epoch(2))


def test_resuming_in_the_middle_of_an_epoch_gives_the_rest_of_it() -> None:
    batches = Batches(40, 8, seed=3)
    whole = list(loader(samples(seed=3), batches, epoch=7))
    assert_same(loader(samples(seed=3), batches, epoch=7, start_step=2), whole[2:])


def test_the_slices_of_two_ranks_make_the_batch_of_one() -> None:
    data = samples()
    whole = list(loader(data, Batches(40, 8)))
    ranks = [list(loader(data, Batches(40, 8, rank=rank, world=2))) for rank in (0, 1)]
    for step, batch in enumerate(whole):
        for half, mine in enumerate(ranks):
            part = slice(4 * half, 4 * half + 4)
            assert torch.equal(mine[step].index, batch.index[part])
            assert torch.equal(mine[step].crops["other"]["image"], batch.crops["other"]["image"][part])
            assert torch.equal(mine[step].crops["crop"]["depth"], batch.crops["crop"]["depth"][part])


@pytest.mark.parametrize("workers", [0, 1])
def test_global_random_numbers_are_left_alone(workers: int) -> None:
    state = torch.random.get_rng_state()
    assert len(list(loader(samples(), Batches(40, 20), workers=workers))) == 2
    assert torch.equal(torch.random.get_rng_state(), state)


def test_evaluation_is_the_same_in_every_epoch() -> None:
    data = samples(train=False)
    assert_same([data[0, torch.arange(10)]], [data[9, torch.arange(10)]])


def test_a_batch_moves_as_a_whole() -> None:
    batch = samples(train=False)[0, torch.arange(4)]
    moved = batch.to("meta")
    assert {moved.index.device.type, moved.present["depth"].device.type} == {"meta"}
    assert {x.device.type for crops in moved.crops.values() for x in crops.values()} == {"meta"}
    assert moved.crops["crop"]["image"] is moved.crops["other"]["image"], "the central crop is one tensor, moved once"
    assert_same([batch.to("cpu")], [batch])


def test_a_modality_that_the_store_lacks_is_named_before_anything_is_read() -> None:
    store = FakeStore()
    store.manifest.modalities = KINDS[::2]
    with pytest.raises(
        MultiviewError, match=r"view '.*' reads 'depth', which scans does not hold; it holds image, normal"
    ):
        samples(store)
    assert store.asked == []


def test_an_empty_split_is_an_error() -> None:
    with pytest.raises(MultiviewError, match="the split 'none' of this store has no sample"):
        Samples(FakeStore(), "none", {"v": rgb(Crop())}, train=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mistake_found_by_a_worker_reads_as_it_was_written(workers: int) -> None:
    store = FakeStore()
    store.bad_row = 1
    with pytest.raises(MultiviewError) as caught:
        list(loader(samples(store), Batches(40, 20), workers=workers))
    assert str(caught.value) == "shard-00000.h5 is damaged at row 1."


def test_a_killed_worker_is_an_error_that_says_what_to_do() -> None:
    store = FakeStore()
    store.fatal_row = 1
    with pytest.raises(MultiviewError, match=r"a data worker stopped .* use fewer workers, or --workers 0"):
        list(loader(samples(store), Batches(40, 20), workers=1))


def test_workers_are_used_only_for_data_that_is_not_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    store = FakeStore()
    assert Loader(samples(store), Batches(40, 20), workers=-1).workers == 0
    store.in_memory = False
    monkeypatch.setattr(dataset, "own_cores", lambda: 6)
    assert suitable_workers(samples(store)) == 3
    monkeypatch.setattr(dataset, "own_cores", lambda: 64)
    assert suitable_workers(samples(store)) == 8
    assert len(list(Loader(samples(store), Batches(40, 20), workers=1).for_epoch(0))) == 2


@pytest.mark.parametrize("cause", [OSError(28, "No space left on device"), OSError(24, "Too many open files")])
def test_workers_that_cannot_be_started_are_one_sentence(
    scenes: Path, monkeypatch: pytest.MonkeyPatch, cause: OSError
) -> None:
    def refuse(*_: object) -> None:
        raise cause

    samples = Samples(Store.open(scenes), "train", {"rgb": rgb(Crop(size=8))}, train=True)
    batches = Loader(samples, Batches(len(samples), 8), workers=1)
    monkeypatch.setattr("multiprocessing.get_context", lambda: SimpleNamespace(Queue=refuse))
    with pytest.raises(MultiviewError, match=rf"data workers cannot be started: {cause.strerror}.*--workers 0"):
        next(batches.for_epoch(0))
