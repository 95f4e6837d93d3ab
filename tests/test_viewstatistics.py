"""Statistics of views, which normalise views without own mean and std."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from multiview.cli import run
from multiview.data.load import viewstatistics
from multiview.data.load.viewstatistics import describe_views, measure_views, with_statistics
from multiview.data.modality import Modality
from multiview.data.source import Plan, Row
from multiview.data.store.manifest import Manifest
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.data.write.progress import Progress
from multiview.errors import MultiviewError
from multiview.view import Channels, Crop, View
from multiview.views import Lab, rgb

SIDE = 16
KINDS = (
    Modality(name="image", kind="image", dtype="uint8", shape=(SIDE, SIDE, 3), unit="sRGB"),
    Modality(name="depth", kind="depth", dtype="float32", shape=(SIDE, SIDE), unit="m"),
)


@dataclass(frozen=True)
class Toy:
    needs_input: ClassVar[bool] = False

    def plan(self, root: Path | None) -> Plan:
        return Plan([Row(f"{n}", split=("train", "test")[n % 4 > 2]) for n in range(20)], KINDS, self.read)

    def read(self, number: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(number)
        image = rng.integers(0, 256, (SIDE, SIDE, 3), dtype="uint8")
        depth = rng.random((SIDE, SIDE), dtype="float32") * (rng.random((SIDE, SIDE)) > 0.3)
        return {"image": image, "depth": depth.astype("float32")} if number % 5 else {"image": image}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    preprocess(Toy(), None, tmp_path / "s")
    return tmp_path / "s"


def test_views_at_an_address_are_measured_with_one_read_of_each_sample(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    published: list[str] = []
    manifest = Store.open(folder).manifest
    monkeypatch.setattr(viewstatistics, "manifest_at", lambda _: (manifest, b""))
    monkeypatch.setattr(viewstatistics, "publish_views", lambda _, text: published.append(text))
    monkeypatch.setattr(Toy, "read", lambda toy, number, read=Toy.read: reads.append(number) or read(toy, number))
    viewstatistics.describe_views_at("memory://bucket/toy", Toy(), None)
    assert sorted(reads) == list(range(20))
    assert Manifest.from_json(published[0], "x").views == describe_views(folder)


def doubled(x: Tensor) -> Tensor:
    return torch.cat([2 * x, x + 1], 1)


def test_measured_statistics_are_those_of_the_training_samples(folder: Path) -> None:
    store = Store.open(folder)
    view = View(
        modality="depth", channels=Channels("d", 2, "", 0, 1), crop=Crop(size=SIDE), convert=doubled, missing=0.0
    )
    found = measure_views(store, {"it": view})["it"]
    depths = [Toy().read(n)["depth"] for n in range(20) if n % 4 <= 2 and n % 5]
    values = np.concatenate([depth.ravel() for depth in depths]).astype("float64")
    there = values[values != 0]
    np.testing.assert_allclose(found.mean, [2 * there.mean(), (values + 1).mean()], rtol=1e-6)
    np.testing.assert_allclose(found.std, [2 * there.std(), values.std()], rtol=1e-5)
    assert found.low[1] == 1.0


def test_view_statistics_enter_the_manifest_and_leave_the_hash_of_the_store(folder: Path) -> None:
    before = Store.open(folder).manifest
    found = describe_views(folder)
    after = Store.open(folder).manifest
    assert {"L", "ab", "rgb", "depth"} <= set(found)
    assert after.views == found
    assert after.hash == before.hash
    assert replace(after, views={}) == before
    assert 0 < found["L"].mean[0] < 100
    assert len(found["ab"].mean) == 2
    text = (folder / "manifest.json").read_text()
    assert describe_views(folder) == found
    assert (folder / "manifest.json").read_text() == text
    assert preprocess(Toy(), None, folder).already


def test_a_view_without_mean_and_std_gets_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(folder)
    crop = Crop(size=SIDE)
    given = Lab.lightness(crop)
    assert with_statistics(given, store) is given
    open_lab = replace(given, mean=None, std=None)
    found = with_statistics(open_lab, store)
    assert found.mean == measure_views(store, {"it": given})["it"].mean
    describe_views(folder)
    known = Store.open(folder)
    monkeypatch.setattr(viewstatistics, "measure_views", lambda *_: {})  # nothing is measured again
    assert with_statistics(open_lab, known).mean == known.manifest.views["L"].mean
    assert with_statistics(replace(given, std=None), known).mean == given.mean
    impostor = replace(open_lab, convert=doubled, take=None)
    with pytest.raises(
        MultiviewError, match=r"view 'L' has no mean and std, and the store has no image to measure them on"
    ):
        with_statistics(impostor, known)


def test_a_view_of_pixels_gets_statistics_in_its_own_range(folder: Path) -> None:
    found = with_statistics(replace(rgb(Crop(size=SIDE)), mean=None, std=None), Store.open(folder))
    assert found.mean is not None
    assert all(0.4 < mean < 0.6 for mean in found.mean), "images are stored in 0 to 255 and seen in 0 to 1"


def test_the_command_measures_views_unless_switched_off(tmp_path: Path) -> None:
    words = ["preprocess", "scenes", "--count", "12", "--size", "16", "--workers", "1"]
    assert run([*words, str(tmp_path / "with")]) == 0
    assert run([*words, "--view-statistics", "false", str(tmp_path / "without")]) == 0
    assert "L" in Store.open(tmp_path / "with").manifest.views
    assert not Store.open(tmp_path / "without").manifest.views


def test_views_are_measured_by_one_thread(folder: Path) -> None:
    """Several threads of short operations took ten times the processor time on a busy machine."""
    threads: list[int] = []

    def convert(x: Tensor) -> Tensor:
        threads.append(torch.get_num_threads())
        return x

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        view = View(modality="depth", channels=Channels("d", 1, "", 0, 1), crop=Crop(size=SIDE), convert=convert)
        measure_views(Store.open(folder), {"it": view})
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(threads) == {1}


def test_measuring_shows_its_progress(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []

    @contextmanager
    def bar(label: str) -> Iterator[Progress]:
        shown.append(label)
        yield lambda *told: shown.append(told)

    monkeypatch.setattr(viewstatistics, "progress_bar", bar)
    monkeypatch.setattr(viewstatistics, "BATCH", 10)
    describe_views(folder)
    label, *counts = shown
    assert label == (
        "mean and spread of the installed views of image, depth (for normalisation; --view_statistics false leaves "
        "this out)"
    )
    assert counts == [(0, 15, 0), (10, 15, 0), (15, 15, 0)]
    describe_views(folder)
    assert len(shown) == 4, "what is known is not measured, and nothing is shown"


def test_without_views_nothing_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(folder)
    monkeypatch.setattr("multiview.data.load.dataset.Samples", None)
    assert measure_views(store, {}) == {}
