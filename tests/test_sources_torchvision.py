"""Dataset classes of torchvision, on small files in the formats that they read."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pictures import noise, save
from PIL import Image
from published import write_fashion
from scipy.io import savemat

from multiview.cli import run
from multiview.data.sources.torchvision import Torchvision
from multiview.data.store.reading import Store
from multiview.errors import MultiviewError


def test_train_and_test_of_a_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_fashion(tmp_path / "in")
    assert run(["preprocess", "torchvision:FashionMNIST", str(root), str(tmp_path / "out")]) == 0
    assert "10 samples in 1 shard" in capsys.readouterr().out
    store = Store.open(tmp_path / "out")
    assert store.manifest.splits == {"train": 6, "test": 4}
    assert store.manifest.classes[0] == "Coat"
    assert store.manifest.classes[store.labels[0]] == "T-shirt/top"
    assert store.ids[6] == "test/000000"
    pixels = np.random.default_rng(0).integers(0, 256, (6, 28, 28), "uint8")
    assert np.array_equal(store.read([2], "image")[0], np.repeat(pixels[2][..., None], 3, axis=-1))
    assert store.manifest.provenance.options["dataset"] == "FashionMNIST"


def test_validation_samples_and_sizes(tmp_path: Path) -> None:
    root = write_fashion(tmp_path)
    plan = Torchvision(dataset="FashionMNIST", val=50, size=8).plan(root)
    assert set(Counter(row.split for row in plan.rows)) == {"train", "val", "test"}
    assert plan.modalities[0].shape == (8, 8, 3)
    assert pickle.loads(pickle.dumps(plan.read))(9)["image"].shape == (8, 8, 3)


def test_a_class_with_splits(tmp_path: Path) -> None:
    root = tmp_path / "flowers-102"
    for number in range(1, 8):
        save(root / "jpg" / f"image_{number:05d}.jpg", noise(number, 20, 24 + number))
    savemat(root / "imagelabels.mat", {"labels": np.array([[1, 2, 3, 1, 2, 3, 1]])})
    savemat(root / "setid.mat", {"trnid": [[1, 2, 6]], "valid": [[3, 7]], "tstid": [[4, 5]]})
    import hashlib

    from torchvision.datasets import Flowers102

    files = {"label": root / "imagelabels.mat", "setid": root / "setid.mat"}
    sums = {key: (path.name, hashlib.md5(path.read_bytes()).hexdigest()) for key, path in files.items()}
    with pytest.MonkeyPatch.context() as patch:  # the sums of the published files
        patch.setattr(Flowers102, "_file_dict", {**Flowers102._file_dict, **sums})
        plan = Torchvision(dataset="Flowers102").plan(tmp_path)
        assert Counter(row.split for row in plan.rows) == {"train": 3, "val": 2, "test": 2}
        assert plan.modalities[0].shape == (20, 20, 3)
        assert plan.read(5)["image"].shape == (20, 20, 3)


def test_image_targets_become_masks(tmp_path: Path) -> None:
    voc = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("a", "b", "c"):
        save(voc / "JPEGImages" / f"{name}.jpg", noise(1, 10, 10))
        (voc / "SegmentationClass").mkdir(exist_ok=True)
        Image.fromarray(np.full((10, 10), 7, "uint8")).save(voc / "SegmentationClass" / f"{name}.png")
    folder = voc / "ImageSets" / "Segmentation"
    folder.mkdir(parents=True)
    (folder / "train.txt").write_text("a\nb\n")
    (folder / "val.txt").write_text("c\n")
    plan = Torchvision(dataset="VOCSegmentation", arguments={"year": "2012"}).plan(tmp_path)
    assert [each.name for each in plan.modalities] == ["image", "mask"]
    assert {row.id: row.split for row in plan.rows} == {
        "train/000000": "train",
        "train/000001": "train",
        "val/000000": "val",
    }
    assert (plan.read(2)["mask"] == 7).all()


def test_a_class_without_splits_is_split_by_hash(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / ("a", "b")[number % 2] / f"{number}.png", noise(number))
    plan = Torchvision(dataset="ImageFolder").plan(tmp_path)
    assert sorted(row.label or "" for row in plan.rows) == ["a", "a", "b", "b"]
    assert any("by a hash" in note for note in plan.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"dataset": "FasionMNIST"},
            r"'FasionMNIST' is not a dataset class of torchvision\. Did you mean 'FashionMNIST'",
        ),
        ({"dataset": ""}, r"'' is not a dataset class of torchvision; .*Write torchvision:NAME"),
        ({"dataset": "MNIST"}, "torchvision:MNIST does not find its files in .*nothing is downloaded here"),
        ({"dataset": "Flowers102"}, "torchvision:Flowers102 does not find its files in"),
        ({"dataset": "MNIST", "arguments": {"colour": 1}}, "torchvision:MNIST does not take these arguments: .*colour"),
    ],
)
def test_mistakes_with_torchvision(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(MultiviewError, match=message):
        Torchvision(**options).plan(tmp_path)  # type: ignore[arg-type]


def test_a_source_without_a_value_says_so(tmp_path: Path) -> None:
    with pytest.raises(MultiviewError, match="the source 'folder' takes no value after a colon"):
        run(["preprocess", "folder:x", str(tmp_path), str(tmp_path / "out")])
    assert run(["preprocess", "scenes:3", str(tmp_path / "out"), "--size", "8"]) == 0
    assert len(Store.open(tmp_path / "out")) == 3
