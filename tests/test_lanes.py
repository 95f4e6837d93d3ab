"""Batches that are embedded side by side give the same bits, in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from threading import Barrier, BrokenBarrierError

import numpy as np
import pytest
import torch
from many_kinds import make, of_names

import multiview as mv
from multiview.cores import thread_pool
from multiview.portable import lanes, opening
from multiview.portable.lanes import Lane, in_lanes
from multiview.portable.model import PortableModel
from multiview.portable.opening import open_for
from multiview.portable.read import read_model
from multiview.portable.write import write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[PortableModel, str]:
    folder = tmp_path_factory.mktemp("lanes")
    store = make(folder / "store")
    write_model(of_names(store, "rgb", "depth", "table"), folder / "model")
    return read_model(folder / "model"), str(store.path)


@pytest.fixture(autouse=True)
def four_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(lanes, "own_cores", lambda: 4)
    monkeypatch.setattr(opening, "BATCH", 4)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def of(model: PortableModel, data: str) -> dict[str, np.ndarray]:
    return {column.view: values for column, values in model.embed(data).values.items()}


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_lanes_give_the_bits_of_one_thread(model: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_for(*model)
    assert len(opened.batches) > 4
    side_by_side = of(*model)
    assert torch.get_num_threads() == 4
    monkeypatch.setattr(lanes, "own_cores", lambda: 1)
    assert_same(side_by_side, of(*model))


def test_batches_meet_and_each_lane_has_modules_of_its_own_and_the_same_weights(model: tuple) -> None:
    """Four calls wait for each other, so four lanes work at once."""
    meeting, opened = Barrier(4, timeout=20), open_for(*model)

    def act(lane: Lane, item: int) -> tuple[int, int, int]:
        if item < 4:
            meeting.wait()
        encoder = lane.model.parts["rgb"].encoder
        return item, id(encoder), next(encoder.parameters()).data_ptr()

    try:
        found = list(in_lanes(Lane(opened.model, opened.views), act, range(9)))
    except BrokenBarrierError:
        pytest.fail("the items were not worked on side by side")
    assert [item for item, _, _ in found] == list(range(9))
    assert len({encoder for _, encoder, _ in found}) == 4
    assert len({place for _, _, place in found}) == 1


class Remembers(torch.nn.Module):
    """An encoder that keeps its input on itself between two parts of its work."""

    def __init__(self, inner: mv.Encoder) -> None:
        super().__init__()
        self.inner, self.features = inner, inner.features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.kept = x
        mixed = sum(self.inner(x) for _ in range(3)) / 3
        return mixed + self.kept.flatten(1).mean(1, keepdim=True)


def test_an_encoder_that_keeps_values_on_itself_is_right(model: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, data = model
    part = loaded.parts["rgb"]
    other = PortableModel(loaded.layout, {"rgb": replace(part, encoder=Remembers(part.encoder))}, {})
    side_by_side = of(other, data)
    monkeypatch.setattr(lanes, "own_cores", lambda: 1)
    assert_same(side_by_side, of(other, data))


def test_a_model_that_cannot_be_copied_has_one_lane(model: tuple, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = of(*model)

    def refuse(*_: object) -> None:
        raise TypeError("cannot pickle a generator")

    monkeypatch.setattr(lanes, "deepcopy", refuse)
    assert len(lanes._twins(Lane(model[0], {}), 4)) == 1
    assert_same(expected, of(*model))


def test_an_error_ends_the_lanes_in_order(model: tuple) -> None:
    opened, done = open_for(*model), []

    def act(lane: Lane, item: int) -> int:
        if item == 5:
            raise mv.MultiviewError("broken")
        return item

    with pytest.raises(mv.MultiviewError, match="broken"):
        for found in in_lanes(Lane(opened.model, opened.views), act, range(100)):
            done.append(found)
    assert done == [0, 1, 2, 3, 4]
    assert torch.get_num_threads() == 4


def test_a_pool_gives_the_number_of_threads_back_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), thread_pool(2, before + 1) as pool:
        assert list(pool.map(lambda _: torch.get_num_threads(), range(3))) == [before + 1] * 3
        pool.submit(lambda: 1 / 0).result()
    assert torch.get_num_threads() == before
