"""Arrays with a row a sample: .npz, HDF5 and .npy; what their kinds are, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from multiview.data.source import BadSample
from multiview.data.sources.arrays import Arrays
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError

RNG = np.random.default_rng(0)
TABLE = {
    "fou": RNG.normal(size=(6, 5)).astype("float32"),
    "mor": RNG.integers(0, 9, (6, 2)),
    "y": np.array([3, 1, 3, 1, 1, 3]),
    "split": np.array(["train", "test", "valid", "train", "train", "test"]),
}


def saved(folder: Path, arrays: dict[str, np.ndarray], ending: str) -> Path:
    """The same arrays in each kind of file."""
    if ending == "npz":
        np.savez_compressed(folder / "t.npz", **arrays)
    elif ending == "npy":
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        return folder
    else:
        with h5py.File(folder / f"t.{ending}", "w") as file:
            for name, array in arrays.items():
                file[name] = array.astype(object) if array.dtype.kind == "U" else array
    return folder / f"t.{ending}"


@pytest.mark.parametrize("ending", ["npz", "npy", "h5", "mat"])
def test_the_same_store_from_every_kind_of_file(tmp_path: Path, ending: str) -> None:
    path = saved(tmp_path, TABLE, ending)
    store = Store.open(preprocess(Arrays(), path, tmp_path / "store").out)
    assert {each.name: (each.kind, each.shape, each.dtype) for each in store.manifest.modalities} == {
        "fou": ("table", (5,), "float32"),
        "mor": ("table", (2,), "float32"),
    }
    assert store.manifest.classes == ("1", "3")
    assert store.labels.tolist() == [1, 0, 1, 0, 0, 1]
    assert store.manifest.splits == {"train": 3, "val": 1, "test": 2}
    np.testing.assert_array_equal(store.read([4, 0], "fou"), TABLE["fou"][[4, 0]])
    np.testing.assert_array_equal(store.read([5], "mor"), TABLE["mor"][[5]])


def test_a_folder_with_one_file_of_arrays_is_that_file(tmp_path: Path) -> None:
    saved(tmp_path, TABLE, "npz")
    assert len(Arrays().plan(tmp_path).rows) == 6
    saved(tmp_path, TABLE, "h5")
    with pytest.raises(
        MultiviewError, match=r"exactly one file of arrays, it holds: t\.h5, t\.npz. Give the file itself"
    ):
        Arrays().plan(tmp_path)


def test_kinds_are_guessed_from_arrays(tmp_path: Path) -> None:
    arrays = {
        "photo": RNG.integers(0, 256, (3, 8, 9, 3), "uint8"),
        "first": RNG.integers(0, 256, (3, 3, 8, 9), "uint8"),
        "grey": RNG.integers(0, 256, (3, 8, 9), "uint8"),
        "depth": np.array([[[1.5, np.nan, -1, 0]]] * 3),
        "mask": RNG.integers(0, 900, (3, 8, 9)),
        "spectrum": RNG.random((3, 8, 9, 7)),
        "track": RNG.random((3, 20, 2)),
        "one": np.array([1.0, 2.0, 3.0]),
        "caption": np.array(["ein Löwe", "", "cat"]),
        "scale": np.float32(3),
    }
    plan = Arrays().plan(saved(tmp_path, arrays, "npz"))
    assert {each.name: each.kind for each in plan.modalities} == {
        "photo": "image",
        "first": "image",
        "grey": "image",
        "depth": "depth",
        "mask": "mask",
        "spectrum": "bands",
        "track": "points",
        "one": "table",
        "caption": "text",
    }
    assert "skipped scale: not 3 rows." in plan.notes
    sample = plan.read(0)
    assert sample["depth"].tolist() == [[1.5, 0, 0, 0]]
    assert sample["mask"].dtype == np.uint16
    assert np.array_equal(sample["first"], np.moveaxis(arrays["first"][0], 0, -1))
    assert np.array_equal(sample["grey"][..., 2], arrays["grey"][0])
    assert bytes(sample["caption"]) == "ein Löwe".encode()
    assert bytes(plan.read(1)["caption"]) == b"\0" * 9
    for name, array in sample.items():
        modality = next(each for each in plan.modalities if each.name == name)
        assert (str(array.dtype), array.shape) == (modality.dtype, modality.shape), name


def test_kinds_can_be_given(tmp_path: Path) -> None:
    arrays = {
        "a": RNG.random((3, 20, 2)),
        "b": RNG.normal(size=(3, 50)),
        "clock": np.arange(3),
        "id": np.array([7, 8, 9]),
    }
    path = saved(tmp_path, arrays, "npz")
    plan = Arrays(modalities={"gait:series": "a", "call:audio": "b", "clock": "clock"}, rate=100).plan(path)
    assert [(each.name, each.kind, each.rate) for each in plan.modalities] == [
        ("gait", "series", 100),
        ("call", "audio", 100),
        ("clock", "table", None),
    ]
    assert [row.id for row in plan.rows] == ["7", "8", "9"]
    assert plan.read(2)["call"].dtype == np.int16
    assert [each.name for each in Arrays(modalities=("a:points",)).plan(path).modalities] == ["a"]


def test_rows_that_are_not_finite_are_rejected(tmp_path: Path) -> None:
    fou = TABLE["fou"].copy()
    fou[2, 3] = np.nan
    fou[4] = np.inf
    path = saved(tmp_path, {**TABLE, "fou": fou}, "npz")
    report = preprocess(Arrays(), path, tmp_path / "store", max_bad=2)
    assert (report.written, report.rejected) == (4, 2)
    rejects = (tmp_path / "store" / "rejects.jsonl").read_text()
    assert "t.npz, row 2: fou holds 1 value that is not finite, the first at [3]" in rejects
    assert "t.npz, row 4: fou holds 5 values that are not finite" in rejects


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"y": None}, {"label_column": "y"}, r"has no array 'y'; it has: fou, mor, split"),
        ({}, {"modalities": ("fuo",)}, r"'fuo' is not an array of .*Did you mean 'fou'"),
        ({}, {"modalities": {"fou:tabel": "fou"}}, r"'tabel' is not a kind of modality.*Did you mean 'table'"),
        ({}, {"modalities": ("fou:image",)}, r"'fou' holds float32\(5,\) per sample, which is no image"),
        ({}, {"modalities": ("fou:audio",)}, r"'fou' is audio of an unknown rate; give --rate"),
        (
            {"mor": TABLE["mor"][:5]},
            {"modalities": ("fou", "mor")},
            "differ in their numbers of rows: fou 6, mor 5, y 6, split 6",
        ),
        ({"fou": None, "mor": None}, {}, "holds no array for a modality; it has: y, split"),
    ],
)
def test_mistakes_with_arrays(
    tmp_path: Path, change: dict[str, np.ndarray | None], options: dict[str, object], message: str
) -> None:
    arrays = {name: array for name, array in {**TABLE, **change}.items() if array is not None}
    with pytest.raises(MultiviewError, match=message):
        Arrays(**options).plan(saved(tmp_path, arrays, "npz"))  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", ["npz", "npy"])
def test_objects_are_refused(tmp_path: Path, ending: str) -> None:
    path = saved(tmp_path, {"x": np.array([{}, {}], dtype=object)}, ending)
    with pytest.raises(MultiviewError, match=r"Python objects|cannot be read as arrays: .*[Oo]bject"):
        Arrays().plan(path)


@pytest.mark.parametrize("ending", ["npz", "h5"])
def test_truncated_files_of_arrays_are_named(tmp_path: Path, ending: str) -> None:
    path = saved(tmp_path, {**TABLE, "big": RNG.random((6, 1000))}, ending)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MultiviewError, match=rf"t\.{ending} cannot be read as arrays: .* Is it truncated\?"):
        Arrays().plan(path)
    with pytest.raises(MultiviewError, match=r"gone\.npz does not exist; give an \.npz or HDF5 file"):
        Arrays().plan(tmp_path / "gone.npz")


def test_a_damaged_row_is_a_bad_sample(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file.create_dataset("x", data=RNG.random((4, 64)), chunks=(1, 64), fletcher32=True)
        place = file["x"].id.get_chunk_info(2).byte_offset
    data = bytearray((tmp_path / "t.h5").read_bytes())
    data[place] ^= 1
    (tmp_path / "t.h5").write_bytes(data)
    plan = Arrays().plan(tmp_path / "t.h5")
    reader = pickle.loads(pickle.dumps(plan.read))
    assert reader(1)["x"].shape == (64,)
    with pytest.raises(BadSample, match=r"t\.h5, row 2: .*"):
        reader(2)


def test_hdf5_with_links_to_other_files_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.ones((3, 2))
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["x"] = h5py.ExternalLink("other.h5", "/x")
    with pytest.raises(MultiviewError, match=r"'x' in .*t\.h5 lies in another file, which is not followed"):
        Arrays().plan(tmp_path / "t.h5")


def test_six_tables_of_digits(shared: Path, tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(shared / "data" / "mfeat6.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    plan = Arrays().plan(tmp_path / "mfeat6")
    assert {each.name: each.shape for each in plan.modalities} == {
        "fac": (216,),
        "fou": (76,),
        "kar": (64,),
        "mor": (6,),
        "pix": (240,),
        "zer": (47,),
    }
    assert len(plan.rows) == 2000
    assert {row.split for row in plan.rows} >= {"train", "test"}
    assert len({row.label for row in plan.rows}) == 10


def test_a_file_that_was_written_again_is_read_again(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        plan = Arrays().plan(saved(tmp_path, {"x": np.full((3, 2), value)}, "npz"))
        assert plan.read(1)["x"].tolist() == [value, value]
