"""Data in memory: the same bits as from a store of the same arrays; absent samples; mistakes."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import assert_same_losses

import multiview as mv
from multiview.data.load import dataset
from multiview.data.load.dataset import Loader, Samples
from multiview.data.load.memory import MemoryStore, open_memory
from multiview.data.load.sampler import Batches
from multiview.data.load.viewstatistics import describe_views
from multiview.data.load.viewstatistics import with_statistics as view_with_statistics
from multiview.data.sources.arrays import Arrays
from multiview.data.write.preprocess import preprocess

COUNT = 60
CONSTANT = mv.Optimizer(schedule="constant")
TRAIN = mv.Train(steps=4, batch=16, knn_every=0, log_every=1, threads=1, optimizer=CONSTANT)


def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "image": rng.integers(0, 256, (COUNT, 20, 24, 3), dtype=np.uint8),
        "depth": rng.uniform(0, 5, (COUNT, 20, 24)).astype("float32"),
        "sensors": rng.normal(size=(COUNT, 7)).astype("float32"),
        "y": rng.integers(0, 3, COUNT),
    }


class Dicts(torch.utils.data.Dataset[dict[str, Any]]):
    """A map-style dataset: the rows of `arrays`, with some keys left out."""

    def __init__(self, without: dict[str, tuple[int, ...]] | None = None, **more: Any) -> None:
        self.columns, self.without = arrays() | more, without or {}

    def __len__(self) -> int:
        return len(self.columns["y"])

    def __getitem__(self, number: int) -> dict[str, Any]:
        sample = {name: values[number] for name, values in self.columns.items()}
        sample["depth"] = torch.from_numpy(sample["depth"])
        return {name: value for name, value in sample.items() if number not in self.without.get(name, ())}


def sensors(crop: mv.Crop) -> mv.View:
    channels = mv.Channels("sensors", count=7, unit="number", low=-3.0, high=3.0)
    return mv.View(modality="sensors", channels=channels, crop=crop, axes=("channels",))


def setup() -> mv.Setup:
    torch.manual_seed(0)
    crop = mv.Crop(size=16)
    views = {"photo": mv.views.rgb(crop), "depth": mv.make_view("depth", crop), "table": sensors(crop)}
    makers = {"photo": ("convnet", 3), "depth": ("convnet", 1), "table": ("mlp", 7)}
    encoders: dict[str, mv.Encoder | str] = {name: mv.make_encoder(*made, width=0.25) for name, made in makers.items()}
    return mv.Setup(views, encoders, mv.ContrastGraph.full(views, mv.SimCLR()))


def opened(data: Any) -> MemoryStore:
    return open_memory(data, say=lambda _: None)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that `multiview preprocess arrays` makes of the arrays."""
    folder = tmp_path_factory.mktemp("arrays")
    np.savez(folder / "data.npz", **arrays())
    preprocess(Arrays(), folder / "data.npz", folder / "store")
    describe_views(folder / "store")
    return folder / "store"


@pytest.fixture(scope="module")
def reference(store: Path) -> Path:
    """The run that was trained on the store."""
    return mv.fit(setup(), data=store, out=store.parent / "run", train=TRAIN, evaluate=False).folder or store


def frame() -> Any:
    pandas = pytest.importorskip("pandas")
    values = arrays()
    table = {f"sensors_{number}": values["sensors"][:, number] for number in range(7)}
    return pandas.DataFrame({"image": list(values["image"]), "depth": list(values["depth"]), **table, "y": values["y"]})


DATA = {
    "arrays": arrays,
    "tensors": lambda: {name: torch.from_numpy(values) for name, values in arrays().items()},
    "a dataset": Dicts,
    "a list": lambda: [Dicts()[number] for number in range(COUNT)],
    "a data frame": frame,
}


@pytest.mark.parametrize("name", DATA)
def test_data_in_memory_trains_as_a_store_of_the_same_arrays(name: str, reference: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    mv.fit(setup(), data=DATA[name](), out=out, train=TRAIN, evaluate=False)
    assert_same_losses(out, reference)
    assert (out / "checkpoints").is_dir()


def test_a_run_on_data_in_memory_goes_on_from_its_checkpoint(reference: Path, tmp_path: Path) -> None:
    out, half = tmp_path / "run", replace(TRAIN, steps=2)
    mv.fit(setup(), data=Dicts(), out=out, train=half, evaluate=False)
    other = arrays() | {"id": [f"n{number}" for number in range(COUNT)]}
    with pytest.raises(mv.MultiviewError, match=r"the run was trained on (other|49) samples"):
        mv.fit(setup(), data=other, out=out, train=TRAIN, evaluate=False, resume=True)
    mv.fit(setup(), data=Dicts(), out=out, train=TRAIN, evaluate=False, resume=True)
    assert_same_losses(out, reference)


def test_ids_labels_and_splits_are_those_of_the_store(store: Path) -> None:
    written, held = mv.Store.open(store), opened(Dicts())
    assert held.ids == written.ids
    assert held.manifest.classes == written.manifest.classes
    assert held.split_names == written.split_names
    assert np.array_equal(held.labels, written.labels)
    assert all(np.array_equal(held.rows(name), written.rows(name)) for name in held.split_names)
    assert held.manifest.modalities == written.manifest.modalities


def test_statistics_are_those_of_the_store_bit_for_bit(store: Path) -> None:
    written, held = mv.Store.open(store), opened(arrays())
    for view in setup().views.values():
        assert view_with_statistics(view, held) == view_with_statistics(view, written)
    assert held.statistics["sensors"] == written.statistics["sensors"]
    assert held.view_statistics["rgb"] == written.view_statistics["rgb"]


def test_keys_id_label_and_split_are_used() -> None:
    held = opened(
        {
            "x": np.zeros((4, 2), "float32"),
            "id": ["a", "b", "c", "d"],
            "label": ["cat", None, "dog", "cat"],
            "split": ["train", "training", "valid", "test"],
        }
    )
    assert held.ids == ["a", "b", "c", "d"]
    assert held.manifest.classes == ("cat", "dog")
    assert held.labels.tolist() == [0, -1, 1, 0]
    assert held.split_names == ("train", "val", "test")
    assert held.rows("train").tolist() == [0, 1]


def test_absent_samples_are_none_rows_of_nan_and_missing_keys() -> None:
    rows = arrays()["sensors"]
    rows[3] = np.nan
    missing: list[Any] = list(arrays()["depth"])
    missing[5] = None
    given = opened(arrays() | {"sensors": rows, "depth": missing})
    assert np.flatnonzero(~given.present("sensors")).tolist() == [3]
    assert np.flatnonzero(~given.present("depth")).tolist() == [5]
    assert given.present("image").all()
    scanned = opened(Dicts(without={"depth": (5,)}, sensors=rows))
    for name in ("image", "depth", "sensors"):
        assert np.array_equal(scanned.present(name), given.present(name))
        assert np.array_equal(scanned.read(scanned.rows(), name), given.read(given.rows(), name))
    batch = Samples(given, None, setup().views, train=False)[0, torch.tensor([3, 5])]
    assert batch.present["sensors"].tolist() == [False, True]
    assert batch.present["depth"].tolist() == [True, False]


def test_absent_samples_train_as_in_a_manifest_without_these_cells(tmp_path: Path) -> None:
    data = Dicts(without={"depth": tuple(range(0, COUNT, 7))})
    trained = mv.fit(setup(), data=data, out=tmp_path / "run", train=TRAIN, evaluate=False)
    assert trained.steps == 4
    assert trained.store.present("depth").sum() == COUNT - 9


def test_numbers_that_are_not_finite_make_a_sample_absent_and_are_told() -> None:
    rows = arrays()["sensors"]
    rows[3, 2] = np.inf
    said: list[str] = []
    held = open_memory({"sensors": rows}, say=said.append)
    assert np.flatnonzero(~held.present("sensors")).tolist() == [3]
    assert "1 sample of 'sensors' with numbers that are not finite: absent." in said


def test_a_large_dataset_is_read_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    held = opened(Dicts(without={"sensors": (2,)}))
    monkeypatch.setattr(dataset, "CACHE", 0)
    lazy = opened(Dicts(without={"sensors": (2,)}))
    assert lazy.manifest == held.manifest
    views = setup().views
    kept, read = (Samples(each, "train", views, train=True, cache=0) for each in (held, lazy))
    batches = Batches(len(kept), 8, 0)
    for one, other in zip(
        Loader(kept, batches).for_epoch(0), Loader(read, batches, workers=2).for_epoch(0), strict=True
    ):
        for crop, modalities in one.crops.items():
            assert all(torch.equal(x, other.crops[crop][name]) for name, x in modalities.items())
        assert all(torch.equal(one.present[name], other.present[name]) for name in one.present)
    assert np.array_equal(pickle.loads(pickle.dumps(lazy)).read([1], "image"), held.read([1], "image"))


def test_a_dataset_that_changes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "CACHE", 0)
    data = Dicts()
    store = opened(data)
    data.without = {"depth": (1,)}
    with pytest.raises(mv.MultiviewError, match="give a dataset that returns the same sample each time"):
        store.read([1], "depth")


def test_kinds_follow_names_shapes_and_dtypes() -> None:
    data = {
        "picture": np.zeros((6, 3, 8, 10), "uint8"),
        "imu": np.zeros((6, 50, 3), "float32"),
        "speech:audio": np.zeros((6, 100), "float32"),
        "text": ["one", "two", "three", "four", "five", "six"],
        "numbers": np.zeros(6),
        "rate": 50,
    }
    kinds = {each.name: each for each in opened(data).manifest.modalities}
    assert {name: kind.kind for name, kind in kinds.items()} == {
        "picture": "image",
        "imu": "series",
        "speech": "audio",
        "text": "text",
        "numbers": "table",
    }
    assert kinds["picture"].shape == (8, 10, 3)
    assert kinds["imu"].rate == kinds["speech"].rate == 50


def test_series_and_points_may_differ_in_length() -> None:
    samples = [{"points": np.ones((n, 3), "float32"), "imu:series": np.ones((2, n)), "rate": 10} for n in range(4, 9)]
    held = opened(samples)
    assert [len(each) for each in held.read(held.rows(), "points")] == [4, 5, 6, 7, 8]
    assert [each.shape for each in held.read(held.rows(), "imu")] == [(n, 2) for n in range(4, 9)]


def test_pictures_of_pillow_are_read() -> None:
    from PIL import Image

    pixels = arrays()["image"]
    held = opened([{"image": Image.fromarray(each)} for each in pixels])
    assert np.array_equal(held.read(held.rows(), "image"), pixels)


class Endless(torch.utils.data.IterableDataset[int]):
    """Samples without order."""

    def __iter__(self) -> Any:
        return iter(())


class Failing(Dicts):
    """A dataset with a mistake."""

    def __getitem__(self, number: int) -> dict[str, Any]:
        return {"x": {}[number]}


MISTAKES = {
    "iterable": (lambda: Endless(), "^data is an iterable Endless, which has no length and no order; give a dataset"),
    "tuples": (lambda: [(1, 2)], r"^data\[0\] is a tuple; give a dict per sample, such as"),
    "tensors": (
        lambda: torch.utils.data.TensorDataset(torch.zeros(4, 2)),
        r"^data\[0\] is a tuple; give a dict per sample",
    ),
    "loader": (lambda: torch.utils.data.DataLoader(Dicts()), "give its dataset, as in data=loader.dataset"),
    "array": (lambda: np.zeros((3, 2)), "^data is a ndarray; give a dict of arrays or tensors"),
    "empty": (list, "^data is a list without a sample"),
    "empty mapping": (dict, "^data is a dict without a sample"),
    "empty arrays": (lambda: {"x": np.zeros((0, 3))}, "^the data has no sample"),
    "lengths": (
        lambda: {"x": np.zeros((3, 2)), "z": np.zeros((4, 2))},
        "^the entries of the data differ in length: x 3, z 4",
    ),
    "objects": (lambda: {"x": [object(), object()]}, "^'x' holds an object; give numbers, text, an array"),
    "complex": (lambda: {"x": np.zeros((3, 2), complex)}, r"^data\['x'\] is a ndarray of complex128; give whole"),
    "scalar": (lambda: {"x": 3}, r"^data\['x'\] is a int; give an array, a tensor or a list with one entry per sample"),
    "nested": (lambda: {"train": {"x": [1]}}, "A key `split` with `train`, `val` or `test`"),
    "sizes": (
        lambda: [{"image": np.zeros((n, n, 3), "uint8")} for n in (4, 5)],
        r"^'image' has the shape \(4, 4, 3\) in sample 0 and \(5, 5, 3\) in sample 1; bring all samples to one shape",
    ),
    "axes": (lambda: [{"x": np.zeros((2, 2))}, {"x": np.zeros(2)}], "in sample 0 and .* in sample 1"),
    "float picture": (
        lambda: {"image": np.zeros((3, 3, 8, 8), "float32")},
        "images have 1 or 3 channels of uint8. Give uint8, or name the key NAME:bands",
    ),
    "rate": (lambda: {"imu": np.zeros((3, 9, 2))}, "of an unknown rate; give the key `rate`, in samples per second"),
    "rates": (lambda: [{"imu": np.zeros((9, 2)), "rate": n} for n in (3, 4)], "`rate` must hold one number above 0"),
    "kind": (lambda: {"x:imge": np.zeros((3, 2))}, "Did you mean 'image'"),
    "ids": (lambda: {"x": np.zeros((2, 2)), "id": ["a", "a"]}, "the id 'a' is given to samples 0 and 1"),
    "failing": (lambda: Failing(), r"^data\[0\] failed: KeyError: 0"),
    "mixed": (lambda: [{"x": "a"}, {"x": 1}], "'x' holds texts in some samples and numbers in others"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_sentence_with_what_is_right(name: str, tmp_path: Path) -> None:
    make, message = MISTAKES[name]
    with pytest.raises(mv.MultiviewError, match=message) as caught:
        mv.fit(setup(), data=make(), out=tmp_path / "run", train=TRAIN)
    assert not (tmp_path / "run").exists()
    assert "--" not in str(caught.value)
