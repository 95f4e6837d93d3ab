"""Training from the files themselves: same samples as from a store; a damaged file is left out."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from multiview.data.load.dataset import Loader, Samples
from multiview.data.load.open_data import open_data
from multiview.data.load.sampler import Batches
from multiview.data.load.sourcestore import SourceStore
from multiview.data.sources.folder import Folder
from multiview.errors import MultiviewError
from multiview.view import Crop, View
from multiview.views import Lab

SIDES = ((20, 30), (33, 21), (25, 25))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for split, each in (("train", 9), ("test", 3)):
        for number in range(each):
            pixels = np.random.default_rng(number).integers(0, 256, (*SIDES[number % 3], 3), dtype="uint8")
            path = tmp_path / "photos" / split / "ab"[number % 2] / f"é {number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return tmp_path / "photos"


def opened(photos: Path) -> SourceStore:
    store = open_data(f"folder:{photos}", photos.parent / "cache")
    assert isinstance(store, SourceStore)
    return store


def views() -> dict[str, View]:
    return {"L": Lab.lightness(Crop(size=8))}


def test_a_folder_of_images_is_read_without_a_copy(photos: Path) -> None:
    store = opened(photos)
    assert len(store) == 12
    assert store.split_names == ("train", "test")
    assert store.manifest.classes == ("a", "b")
    assert [len(store.rows(name)) for name in ("train", "test")] == [9, 3]
    assert "train/a/é 0" in store.ids
    assert store.present("image").all()
    row = store.ids.index("train/b/é 1")
    assert store.labels[row] == 1
    assert np.array_equal(store.read([row], "image")[0], np.asarray(Image.open(photos / "train" / "b" / "é 1.png")))
    assert not (photos.parent / "cache").exists()
    assert open_data(store.spec, photos).manifest == store.manifest


@pytest.mark.parametrize("cache", [0, 10**6])
def test_batches_are_those_of_the_pixels_whoever_reads_them(photos: Path, cache: int) -> None:
    samples = Samples(opened(photos), "train", views(), train=True, cache=cache)
    assert bool(samples.store._decoded_samples) == (cache > 0)  # type: ignore[attr-defined]
    here = list(Loader(samples, Batches(9, 3)).for_epoch(1))
    ahead = list(Loader(samples, Batches(9, 3), workers=1).for_epoch(1))
    for a, b in zip(here, ahead, strict=True):
        assert torch.equal(a.crops["crop"]["image"], b.crops["crop"]["image"])
    whole = Samples(opened(photos), "train", views(), train=True, cache=0)[1, here[0].index]
    assert torch.equal(whole.crops["crop"]["image"], here[0].crops["crop"]["image"])
    copy = pickle.loads(pickle.dumps(samples.store))
    assert np.array_equal(copy.read([0], "image")[0], samples.store.read([0], "image")[0])


def test_a_damaged_file_is_a_sample_without_its_image_and_named_once(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = photos / "train" / "a" / "é 4.png"
    bad.write_bytes(bad.read_bytes()[:200])
    samples = Samples(opened(photos), "train", views(), train=True, cache=0)
    place = samples.store.ids.index("train/a/é 4")
    for _ in range(2):
        batch = samples[0, torch.arange(9)]
    there = batch.present["image"].tolist()
    rows = samples.rows.tolist()
    assert there == [row != place for row in rows]
    assert not batch.crops["crop"]["image"][rows.index(place)].any()
    said = capsys.readouterr().err
    assert said.count("left out: ") == 1
    assert "é 4" in said


@pytest.mark.parametrize("cache", [0, 10**6])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_file_of_a_fixed_size_is_absent_too(photos: Path, cache: int, workers: int) -> None:
    bad = photos / "train" / "a" / "é 4.png"
    bad.write_bytes(bad.read_bytes()[:200])
    store = SourceStore.of(Folder(size=24), photos, "folder")
    samples = Samples(store, "train", views(), train=True, cache=cache)
    place = store.ids.index("train/a/é 4")
    for batch in Loader(samples, Batches(9, 3), workers=workers).for_epoch(0):
        rows = samples.rows[batch.index.numpy()].tolist()
        assert batch.present["image"].tolist() == [row != place for row in rows]


def test_a_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(MultiviewError, match="there is no image below"):
        open_data(f"folder:{tmp_path}", tmp_path)
    with pytest.raises(MultiviewError, match="nowhere does not exist; give `folder:` and the folder"):
        open_data(f"folder:{tmp_path / 'nowhere'}", tmp_path)


def test_any_source_can_be_read_without_a_store(photos: Path) -> None:
    store = SourceStore.of(Folder(size=10), photos, "folder")
    pixels = store.read([3, 0, 3], "image")
    assert isinstance(pixels, np.ndarray)
    assert pixels.shape == (3, 10, 10, 3)
    assert np.array_equal(pixels[0], pixels[2])
    assert store.read([], "image").shape == (0, 10, 10, 3)  # type: ignore[union-attr]
    with pytest.raises(IndexError, match="rows 99 to 99 were asked for; the store has rows 0 to 11"):
        store.read([99], "image")
