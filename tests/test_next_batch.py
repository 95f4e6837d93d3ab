"""The batch that a thread makes while the step before uses another one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import multiview as mv
from multiview import Crop
from multiview.data.load.dataset import Loader, Samples
from multiview.data.load.memory import open_memory
from multiview.data.load.next_batch import one_ahead
from multiview.data.load.sampler import Batches
from multiview.plugins import load
from multiview.viewlayer import ViewLayer
from multiview.views import rgb

ADAMW = mv.Optimizer(name="adamw", lr=0.01, schedule="constant")


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def names() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("ThreadPoolExecutor")]


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


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("recipe", ["cmc_lab", "simclr"])
def test_a_run_has_the_same_weights_with_and_without_the_thread(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in its second epoch, and of a run that is resumed within an epoch."""
    pictures = np.random.default_rng(0).integers(0, 256, (48, 12, 12, 3), dtype=np.uint8)
    data = {"image": pictures, "split": ["train"] * 48}
    made: list[set[bool]] = []
    forward = ViewLayer.forward

    def noted(self: ViewLayer, *given: Any) -> dict[str, torch.Tensor]:
        made[-1].add(threading.current_thread() is threading.main_thread())
        return forward(self, *given)

    monkeypatch.setattr(ViewLayer, "forward", noted)
    weights = []
    for ahead, ends in ((False, (7,)), (True, (7,)), (True, (2, 7))):
        made.append(set())
        with monkeypatch.context() as patched:
            if not ahead:
                patched.setattr(Loader, "_in_this_process", lambda self: map(self._made, self.requests))
            for steps in ends:
                train = mv.Train(steps=steps, batch=8, threads=2, knn_every=0, optimizer=ADAMW)
                torch.manual_seed(0)
                setup = load("recipes", recipe)(size=8, width=0.25).build()
                out = str(tmp_path / f"{ahead}-{len(ends)}")
                resume = steps != ends[0]
                trained = mv.fit(setup, data=data, train=train, evaluate=False, out=out, resume=resume)
        weights.append(trained.model.state_dict())
    assert made[0] == {True}  # the views of the model folder are made in the main thread, always
    assert False in made[1]
    assert False in made[2]
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name
        assert torch.equal(value, weights[2][name]), name
