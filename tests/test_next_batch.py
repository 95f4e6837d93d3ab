"""The batch that a thread makes while the step before uses another one."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from multiview import Crop
from multiview.data.load.dataset import Loader, Samples
from multiview.data.load.memory import open_memory
from multiview.data.load.next_batch import one_ahead
from multiview.data.load.sampler import Batches
from multiview.views import rgb


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def names() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("next batch")]


def test_all_are_made_once_in_order_and_one_before_it_is_asked_for() -> None:
    made: list[int] = []
    second = threading.Event()

    def make(number: int) -> int:
        made.append(number)
        if number == 1:
            second.set()
        return 10 * number

    found = one_ahead(make, range(4))
    assert next(found) == 0
    assert second.wait(10)
    assert list(found) == [10, 20, 30]
    assert made == [0, 1, 2, 3]
    assert list(one_ahead(make, [])) == []
    assert names() == []


def test_an_error_is_raised_where_its_batch_is_asked_for_and_ends_the_thread() -> None:
    def make(number: int) -> float:
        return 1 / (2 - number)

    found = one_ahead(make, range(5))
    assert next(found) == 0.5
    assert next(found) == 1.0
    with pytest.raises(ZeroDivisionError):
        next(found)
    assert names() == []


def test_the_thread_ends_when_the_run_stops_within_an_epoch() -> None:
    found = one_ahead(lambda number: number, range(5))
    next(found)
    assert len(names()) == 1
    found.close()  # type: ignore[attr-defined]
    assert names() == []


@pytest.mark.usefixtures("threads")
def test_batches_are_the_same_with_and_without_the_thread() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 3), dtype=np.uint8)
    store = open_memory({"image": pictures, "split": ["train"] * 40}, print)
    samples = Samples(store, "train", {"rgb": rgb(Crop(size=8))}, train=True, seed=1)
    loader = Loader(samples, Batches(40, 8, 0))
    found, used = [], []
    for count in (1, 2):
        torch.set_num_threads(count)
        epoch = loader.for_epoch(3, 1)
        found.append([next(epoch)])
        used.append(len(names()))
        found[-1] += list(epoch)
    assert used == [0, 1]
    assert len(found[0]) == len(found[1]) == 4
    for alone, ahead in zip(*found, strict=True):
        assert torch.equal(alone.index, ahead.index)
        assert torch.equal(alone.crops["crop"]["image"], ahead.crops["crop"]["image"])
