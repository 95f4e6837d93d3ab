"""Data that is mostly unlabelled: labelled samples are chosen first, then the budget applies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sparse_tables import sparse

from multiview.data.store.reading import Store
from multiview.measure import embeddings, online
from multiview.measure.evaluate import evaluate
from multiview.measure.labelled_splits import labelled_positions, spread_evenly


@pytest.fixture
def voters(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The numbers of labelled train and test rows of every kNN."""
    seen: list[tuple[int, int]] = []

    def knn(train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray) -> np.ndarray:
        assert len(train_x) == len(train_y)
        assert len(test_x) == len(test_y)
        seen.append((int((train_y >= 0).sum()), int((test_y >= 0).sum())))
        return test_y >= 0

    monkeypatch.setattr(online, "knn_hits", knn)
    monkeypatch.setattr(online, "TRAIN_SAMPLES", 50)
    monkeypatch.setattr(online, "TEST_SAMPLES", 10)
    return seen


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"train": 1, "val": 1, "test": 1}, [(50, 10)] * 2),
        pytest.param({"train": 8, "val": 1, "test": 1}, [(50, 10)] * 2, marks=pytest.mark.slow),
        ({"train": 7, "val": 5, "test": 1}, [(50, 8)] * 2),
        ({"train": 20, "val": 0, "test": 4}, [(20, 10)] * 2),
        pytest.param({"train": 20, "val": 1}, [(20, 10)] * 2, marks=pytest.mark.slow),
        ({"train": 2, "val": 2, "test": 1, "two_every": 10}, [(80, 12), (40, 4)]),
        ({"train": 0, "val": 1, "test": 1}, []),
        ({"train": 1, "val": 0, "test": 0}, []),
    ],
)
def test_labelled_rows_fill_the_budget_of_online_knn(
    options: dict[str, int], expected: list[tuple[int, int]], voters: list[tuple[int, int]], tmp_path: Path
) -> None:
    trained = sparse(tmp_path / "store", **options)
    values = online.online_knn(trained, torch.device("cpu"))
    assert voters == expected
    assert list(values) == ([f"knn/{view}" for view in ("one", "two")] if expected else [])


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 8, 40])
def test_the_final_probe_encodes_labelled_rows_only(
    every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = sparse(tmp_path / "store", train=every, val=0, test=4)
    embedded: list[tuple[str, str, int]] = []
    original: Callable[..., embeddings.Embedded] = embeddings.embed

    def counted(store: Store, split: str, *rest: object, label: str, **options: object) -> embeddings.Embedded:
        found = original(store, split, *rest, label=label, **options)
        name = label.rsplit(" ", 1)[-1]
        embedded.append((name, split, len(found.labels)))
        assert (found.labels >= 0).all()
        return found

    monkeypatch.setattr("multiview.measure.evaluate.embed", counted)
    rows = [row for row in evaluate(trained) if row.measure == "linear"]
    tested = ("trained", "random", "raw", "statistics")
    assert embedded == [(name, split, n) for name in tested for split, n in (("train", 400 // every), ("test", 10))]
    assert {(row.samples["train"], row.samples["val"], row.tested) for row in rows} == {(400 // every, 0, 10)}


@pytest.mark.parametrize(("most", "expected"), [(None, 58), (58, 58), (10, 10), (1, 1)])
def test_positions_are_labelled_and_spread_over_the_split(most: int | None, expected: int, tmp_path: Path) -> None:
    trained = sparse(tmp_path / "store", train=7, val=1)
    positions = labelled_positions(trained.store, "train", trained.setup.views, most)
    assert len(positions) == expected
    assert (positions % 7 == 0).all()
    assert (trained.store.labels[trained.store.rows("train")[positions]] >= 0).all()
    if expected > 1:
        assert (positions[0], positions[-1]) == (0, 399)


def test_a_budget_keeps_the_ends() -> None:
    assert spread_evenly(np.arange(10, 20), 3).tolist() == [10, 14, 19]
    assert spread_evenly(np.arange(3), 5).tolist() == [0, 1, 2]
