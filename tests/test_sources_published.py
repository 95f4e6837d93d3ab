"""CIFAR-10, CIFAR-100, STL-10 and NYU Depth v2, from small files in the published formats."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
from published import TEN, pixels, write_cifar10, write_cifar100, write_nyu, write_python2, write_stl10
from scipy.io import savemat

from multiview.data.columns.surface_normals import Camera, normals
from multiview.data.source import BadSample
from multiview.data.sources.cifar import Cifar10, Cifar100
from multiview.data.sources.nyuv2 import NyuV2
from multiview.data.sources.stl10 import Stl10
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError


@pytest.fixture
def cifar10(tmp_path: Path) -> Path:
    return write_cifar10(tmp_path)


@pytest.fixture
def stl10(tmp_path: Path) -> Path:
    return write_stl10(tmp_path)


@pytest.mark.parametrize("folder", [".", "cifar-10-batches-py", "cifar-10-batches-bin"])
def test_cifar10_in_both_formats(cifar10: Path, folder: str, tmp_path: Path) -> None:
    report = preprocess(Cifar10(), cifar10 / folder, tmp_path / "store", shard_rows=7)
    store = Store.open(report.out)
    assert (report.written, report.rejected) == (24, 0)
    assert store.manifest.splits == {"train": 20, "test": 4}
    assert store.manifest.classes == TEN
    assert store.ids[5] == "train/00005"
    assert store.ids[-1] == "test/00003"
    assert store.labels[:6].tolist() == [0, 1, 2, 3, 1, 2]
    red_first = pixels(1)[2].reshape(3, 32, 32)
    assert np.array_equal(store.read([6], "image")[0], np.stack(list(red_first), axis=-1))


def test_validation_samples_come_from_the_training_set(cifar10: Path) -> None:
    whole, carved = Cifar10().plan(cifar10), Cifar10(val=30).plan(cifar10)
    counts = Counter(row.split for row in carved.rows)
    assert counts["test"] == 4
    assert 0 < counts["val"] < 12
    assert [row.id for row in carved.rows] == [row.id for row in whole.rows]
    with pytest.raises(MultiviewError, match="val is 100; give percent of the training set, 0 to 99"):
        Cifar10(val=100)


def test_cifar100_has_classes_and_groups(tmp_path: Path) -> None:
    write_cifar100(tmp_path)
    for folder in ("cifar-100-python", "cifar-100-binary"):
        plan = Cifar100().plan(tmp_path / folder)
        assert [row.label for row in plan.rows[:4]] == ["apple", "bear", "bear", "apple"]
        groups = Cifar100(labels="coarse").plan(tmp_path / folder)
        assert [row.label for row in groups.rows[:4]] == ["trees", "carnivores", "carnivores", "fruit"]
        assert np.array_equal(plan.read(5)["image"][0, 0], pixels(1)[1].reshape(3, 32, 32)[:, 0, 0])
    with pytest.raises(MultiviewError, match="labels is 'super'; give fine or coarse"):
        Cifar100(labels="super")  # type: ignore[arg-type]


class _Harm:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("harmed",)


def test_a_pickle_runs_nothing(cifar10: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    batch = cifar10 / "cifar-10-batches-py" / "data_batch_3"
    batch.write_bytes(pickle.dumps({"data": _Harm(), "labels": []}))
    with pytest.raises(MultiviewError, match=r"data_batch_3 is refused: it asks for posix\.mkdir, and only arrays are"):
        Cifar10().plan(cifar10)
    assert not Path("harmed").exists()


def test_incomplete_published_files_are_refused(cifar10: Path, tmp_path: Path) -> None:
    batch = cifar10 / "cifar-10-batches-py" / "data_batch_2"
    whole = batch.read_bytes()
    batch.write_bytes(whole[:5000])
    with pytest.raises(MultiviewError, match=r"data_batch_2 is refused: .*Give the files as they were published"):
        Cifar10().plan(cifar10)
    write_python2(batch, {b"labels": [0], b"data": pixels(0)})
    with pytest.raises(MultiviewError, match="does not hold 3072 pixels and one value of 'labels' for each image"):
        Cifar10().plan(cifar10)
    write_python2(batch, {b"labels": [0, 1, 2, 10], b"data": pixels(0)})
    with pytest.raises(MultiviewError, match="has labels 0 to 10 for 10 classes"):
        Cifar10().plan(cifar10)
    batch.unlink()
    with pytest.raises(MultiviewError, match=r"cifar-10-batches-py has no data_batch_2; CIFAR-10 is not complete"):
        Cifar10().plan(cifar10 / "cifar-10-batches-py")
    binary = cifar10 / "cifar-10-batches-bin" / "data_batch_1.bin"
    binary.write_bytes(binary.read_bytes()[:-1])
    with pytest.raises(MultiviewError, match="has 12291 bytes, no multiple of 3073: it is truncated"):
        Cifar10().plan(binary.parent)
    (tmp_path / "empty").mkdir()
    with pytest.raises(MultiviewError, match=r"does not hold CIFAR-10; give the folder .*: cifar-10-batches-py \(data"):
        Cifar10().plan(tmp_path / "empty")


def test_stl10_trains_on_unlabelled_photos(stl10: Path, tmp_path: Path) -> None:
    store = Store.open(preprocess(Stl10(), stl10, tmp_path / "store", shard_rows=4).out)
    assert store.manifest.splits == {"train": 7, "test": 2}
    assert store.labels.tolist() == [0, 9, 3, 1, 1, -1, -1, -1, -1]
    stored = np.random.default_rng(2).integers(0, 256, (4, 3, 96, 96), dtype="uint8")
    got = store.read([store.ids.index("unlabelled/000003")], "image")[0]
    assert got[5, 7].tolist() == stored[3, :, 7, 5].tolist()
    own = Stl10(unlabelled="own").plan(stl10)
    assert Counter(row.split for row in own.rows) == {"train": 3, "test": 2, "unlabelled": 4}
    (stl10 / "stl10_binary" / "unlabeled_X.bin").unlink()
    assert len(Stl10(unlabelled="none").plan(stl10).rows) == 5
    with pytest.raises(MultiviewError, match=r"has no unlabeled_X\.bin; STL-10 is not complete"):
        Stl10().plan(stl10)


def test_mistakes_with_stl10(stl10: Path) -> None:
    root = stl10 / "stl10_binary"
    plan = Stl10().plan(stl10)
    images, labels = (root / "train_X.bin").read_bytes(), root / "train_y.bin"
    (root / "train_X.bin").write_bytes(images[:-10])
    with pytest.raises(BadSample, match=r"train_X\.bin: truncated while it was read"):
        plan.read(2)
    with pytest.raises(MultiviewError, match=r"train_X\.bin has 82934 bytes, no multiple of 27648: it is truncated"):
        Stl10().plan(stl10)
    (root / "train_X.bin").write_bytes(images)
    labels.write_bytes(b"\1\2")
    with pytest.raises(MultiviewError, match=r"holds 3 images, train_y\.bin 2 labels; one is truncated"):
        Stl10().plan(stl10)
    labels.write_bytes(b"\0\1\2")
    with pytest.raises(MultiviewError, match=r"train_y\.bin has labels 0 to 2; there are classes 1 to 10"):
        Stl10().plan(stl10)
    with pytest.raises(MultiviewError, match="unlabelled is 'all'; give train, own, none"):
        Stl10(unlabelled="all")  # type: ignore[arg-type]


# NYU Depth v2


def test_nyu_depth_in_its_published_file(tmp_path: Path) -> None:
    root = write_nyu(tmp_path)
    savemat(root / "splits.mat", {"trainNdxs": np.array([[1], [3], [4]]), "testNdxs": np.array([[2]])})
    store = Store.open(preprocess(NyuV2(), root, tmp_path / "store").out)
    assert [each.name for each in store.manifest.modalities] == ["image", "depth", "normal", "mask"]
    assert store.ids == ["0001", "0002", "0003", "0004"]
    assert store.manifest.splits == {"train": 3, "test": 1}
    assert store.manifest.classes == ("kitchen", "office")
    assert store.modality("mask").names == ("unlabelled", "book", "Schränke")
    with h5py.File(root / "nyu_depth_v2_labeled.mat") as file:
        assert store.read([2], "image")[0][5, 7].tolist() == file["images"][2, :, 7, 5].tolist()
        assert store.read([2], "mask")[0][5, 7] == file["labels"][2, 7, 5]
        assert store.read([2], "depth")[0][5, 7] == file["depths"][2, 7, 5]
    small = NyuV2(size=12, modalities=("normal", "mask")).plan(root)
    assert {each.name: each.shape for each in small.modalities} == {"normal": (12, 12, 3), "mask": (12, 12)}
    assert set(small.read(0)) == {"normal", "mask"}


def test_normals_of_planes_are_exact() -> None:
    camera = Camera(fx=100.0, fy=110.0, cx=20.0, cy=14.0)
    v, u = np.mgrid[:30, :40]
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], -1)
    for plane in (
        [0, 0, -1],
        [0.3, 0, -1],
        [0, 0.5, -1],
        [-0.4, 0.2, -1],
    ):  # facing the viewer; x right, y down, z away
        normal = np.array(plane) / np.linalg.norm(plane)
        depth = -3 / (rays @ normal)
        depth[10, 10] = 0
        got = normals(depth, camera).astype("float64")
        assert not got[10, 10].any()
        there = got.any(-1)
        assert there.sum() == there.size - 1
        np.testing.assert_allclose(got[there], np.broadcast_to(normal * [1, -1, -1], got[there].shape), atol=2e-3)


def test_normals_at_an_edge_belong_to_one_side() -> None:
    depth = np.full((20, 20), 4.0)
    depth[:, 10:] = 2.0
    got = normals(depth, Camera(100, 100, 10, 10))
    np.testing.assert_allclose(got, np.broadcast_to([0, 0, 1], got.shape), atol=1e-3)


def test_incomplete_nyu_depth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        MultiviewError, match=r"there is no .*nyu_depth_v2_labeled\.mat; give nyu_depth_v2_labeled\.mat, or"
    ):
        NyuV2().plan(tmp_path)
    path = write_nyu(tmp_path) / "nyu_depth_v2_labeled.mat"
    assert any("no splits.mat: splits train/val/test" in note for note in NyuV2().plan(path).notes)
    savemat(tmp_path / "splits.mat", {"trainNdxs": np.array([[1]]), "testNdxs": np.array([[2]])})
    with pytest.raises(MultiviewError, match=r"splits\.mat does not split samples 1 to 4"):
        NyuV2().plan(path)
    (tmp_path / "splits.mat").write_text("no")
    with pytest.raises(MultiviewError, match=r"splits\.mat cannot be read as the published split"):
        NyuV2().plan(path)
    with pytest.raises(MultiviewError, match=r"gone\.mat is not there; give the published splits\.mat"):
        NyuV2(split_file="gone.mat").plan(path)
    with pytest.raises(
        MultiviewError, match=r"'normals' is not a modality of NYU Depth v2; available: .*Did you mean 'normal'"
    ):
        NyuV2(modalities=("normals",))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MultiviewError, match=r"labeled\.mat cannot be read: .*Is it truncated\?"):
        NyuV2().plan(path)
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros((1, 3, 4, 4), "uint8")
    with pytest.raises(MultiviewError, match=r"has no depths, labels, names; give the published"):
        NyuV2().plan(path)
