"""The order and the columns of large data: computed place by place, the same for any processes."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_runs import assert_same_end, run, signal_in_step

import multiview as mv
from multiview.counter_rng import KeyedPermutation
from multiview.data.load.ahead import Ahead
from multiview.data.load.dataset import Loader, Samples
from multiview.data.load.identity import identity_of
from multiview.data.load.sampler import Batches
from multiview.data.load.window_order import WindowOrder
from multiview.data.sources.scenes import Scenes
from multiview.data.store import columnfile, columns
from multiview.data.store.grouped import places_of
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError
from multiview.views import Lab

COUNTS = np.random.default_rng(0).integers(0, 30, 60)
GOLDEN = [1, 4, 0, 5, 2, 7, 3, 6]
GOLDEN_WINDOWS = [8, 1, 0, 5, 7, 6, 2, 3, 4]
VIEWS = {"L": Lab.lightness(mv.Crop(size=16)), "depth": mv.make_view("depth", mv.Crop(size=16))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "store"
    preprocess(Scenes(count=90), None, path, shard_rows=7)
    return path


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 17, 1000, 65_537])
def test_a_keyed_permutation_has_every_number_once(count: int) -> None:
    order = KeyedPermutation(count, 1, 2, "x")(np.arange(count))
    assert np.array_equal(np.sort(order), np.arange(count))


def test_keyed_permutations_are_uniform() -> None:
    """Chi-squared of (place, number) over 600 keys, with (m - 1)^2 degrees of freedom."""
    places, keys = 12, 600
    seen = np.zeros((places, places))
    for seed in range(keys):
        np.add.at(seen, (np.arange(places), KeyedPermutation(places, seed, 0, "x")(np.arange(places))), 1)
    freedom = (places - 1) ** 2
    statistic = ((seen - keys / places) ** 2).sum() / (keys / places) * (places - 1) / places
    assert abs(statistic - freedom) < 5 * (2 * freedom) ** 0.5


def test_recorded_numbers_of_the_order() -> None:
    """Another order would break the resuming of every large run."""
    assert KeyedPermutation(8, 0, 0, "order")(np.arange(8)).tolist() == GOLDEN
    order = WindowOrder(np.array([3, 0, 2, 4]), window=2).for_epoch(5, 1)
    assert order[np.arange(9)].tolist() == GOLDEN_WINDOWS


def test_an_epoch_takes_every_sample_once_and_few_shards_at_a_time() -> None:
    windows = WindowOrder(COUNTS, window=8)
    count, ends = int(COUNTS.sum()), np.concatenate([[0], np.cumsum(COUNTS)])
    orders = [windows.for_epoch(3, epoch)[np.arange(count)] for epoch in (0, 1)]
    assert not np.array_equal(*orders)
    for order in orders:
        assert np.array_equal(np.sort(order), np.arange(count))
        shards = np.searchsorted(ends, order, side="right") - 1
        first = {shard: np.flatnonzero(shards == shard) for shard in np.unique(shards)}
        spans = [places[-1] - places[0] for places in first.values()]
        assert max(spans) < 8 * COUNTS.max()


@pytest.mark.parametrize("world", [2, 4])
def test_processes_and_a_resumed_epoch_share_one_order(world: int) -> None:
    windows = WindowOrder(COUNTS, window=8)
    whole = list(Batches(int(COUNTS.sum()), 16, 3, windows=windows).for_epoch(1))
    ranks = [Batches(int(COUNTS.sum()), 16, 3, rank, world, windows=windows).for_epoch(1, 5) for rank in range(world)]
    for expected, parts in zip(whole[5:], zip(*ranks, strict=True), strict=True):
        assert torch.equal(torch.cat(parts), expected)


def test_data_without_shards_has_windows_too() -> None:
    order = WindowOrder.even(20_000)
    assert np.array_equal(np.sort(order.for_epoch(0, 0)[np.arange(20_000)]), np.arange(20_000))


@pytest.mark.parametrize(("columns_in", "workers"), [("file", 0), ("old file", 0), ("shards", 2)])
def test_a_large_store_gives_the_same_batches(
    folder: Path, columns_in: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with a column file without checksums of parts, and without a column file."""
    file, plain = folder / columnfile.NAME, Samples(Store.open(folder), "train", VIEWS, train=True, cache=0)
    batches = Batches(len(plain), 8, windows=plain.windows())
    expected = list(Loader(plain, batches).for_epoch(0))
    ids = plain.ids(expected[0].index)
    monkeypatch.setattr(columns, "LARGE", 50)
    content = file.read_bytes()
    if columns_in == "old file":
        file.write_bytes(content.replace(b'"parts/', b'"other/'))
    if columns_in == "shards":
        file.unlink()
    try:
        large = pickle.loads(pickle.dumps(Samples(Store.open(folder), "train", VIEWS, train=True, cache=0)))
        assert large.store.is_large
        assert large.windows().name == batches.order
        found = list(Loader(large, Batches(len(large), 8, windows=large.windows()), workers).for_epoch(0))
    finally:
        file.write_bytes(content)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours.index, theirs.index)
        for name, crops in ours.crops.items():
            assert all(torch.equal(x, theirs.crops[name][key]) for key, x in crops.items())
        assert all(torch.equal(there, theirs.present[name]) for name, there in ours.present.items())
    assert large.ids(found[0].index) == ids
    assert np.array_equal(large.labels, plain.labels)
    assert np.array_equal(large.labels_at(np.arange(5)), plain.labels[:5])
    assert [large.count_absent(name) for name in large.modalities] == [0, 0]
    assert identity_of(large).contents == identity_of(plain).contents


def test_a_damaged_part_of_a_column_is_read_from_its_shard(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / columnfile.NAME
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    start = json.loads(content[8 : 8 + length])["label"]["data_offsets"][0] + 8 + length
    whole = Store.open(folder).labels.copy()  # not mapped from the file that changes
    monkeypatch.setattr(columns, "LARGE", 50)
    file.write_bytes(content[:start] + b"\x07" + content[start + 1 :])
    try:
        store = Store.open(folder)
        assert np.array_equal(store.values("label", np.arange(90)), whole)
        with pytest.raises(columnfile.ColumnFileError, match="checksum of /label of shard 0"):
            columnfile.ColumnFile(folder, store.manifest).part("label", 0, 0, 7)
    finally:
        file.write_bytes(content)


def test_equal_numbers_are_found_by_one_sort() -> None:
    numbers = np.random.default_rng(0).integers(0, 7, 50) * 10
    found = dict(places_of(numbers))
    assert list(found) == np.unique(numbers).tolist()
    for number, places in found.items():
        assert np.array_equal(places, np.flatnonzero(numbers == number))
    assert list(places_of(numbers[:0])) == []


def test_threads_have_columns_of_their_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "LARGE", 50)
    rows = Store.open(folder).split_rows("train")
    assert isinstance(rows, columns.SplitRows)
    positions = np.arange(len(rows))
    mine, own = rows[positions], rows.for_thread()
    assert np.array_equal(own[positions], mine)
    assert own.parts._held is not rows.parts._held
    assert own.parts.columns is not rows.parts.columns
    assert own.parts.columns.files._handles is not rows.parts.columns.files._handles


def test_a_fault_while_rows_are_computed_ends_the_threads_quietly(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged() -> Iterator[np.ndarray]:
        yield np.arange(3)
        raise MultiviewError("a shard is damaged")

    seen: list[object] = []
    monkeypatch.setattr(threading, "excepthook", seen.append)
    files = Store.open(folder).files
    files.cache = SimpleNamespace(limit=10**9, hold=lambda _: SimpleNamespace(release=lambda: None))
    ahead = Ahead(files, damaged())
    for thread in ahead._threads:
        thread.join(10)
        assert not thread.is_alive()
    assert not seen


def test_a_run_is_resumed_in_its_own_order(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--train.order", "window", "--save_every", "1", "--batch", "8")
    whole, part = tmp_path / "whole", tmp_path / "part"
    assert run("simsiam", folder, whole, *words) == 0
    with signal_in_step(4):
        assert run("simsiam", folder, part, *words) == 130
    assert run("simsiam", folder, part, "--resume", "--train.order", "exact", "--batch", "8") == 2
    assert "takes its samples in the order 'window'" in capsys.readouterr().err
    assert run("simsiam", folder, part, "--resume", *words) == 0
    assert_same_end(whole, part)
