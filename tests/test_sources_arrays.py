"""Arrays with a row a sample: .npz, HDF5 and .npy; what their kinds are, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from multiview.cli import run
from multiview.data.load.viewstatistics import with_statistics
from multiview.data.source import BadSample
from multiview.data.sources.arrays import Arrays
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError
from multiview.view import Crop, make_view

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
        MultiviewError,
        match=r"exactly one file of arrays, but it holds: t\.h5, t\.npz. Give the path of the file itself",
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
    assert "skipped scale: not an array with 3 rows." in plan.notes
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


@pytest.mark.parametrize("kind", ["npz", "h5"])
def test_a_row_that_is_all_nan_is_an_absent_view(tmp_path: Path, kind: str) -> None:
    fou, other = TABLE["fou"].copy(), TABLE["fou"][:, :2].copy()
    fou[[1, 2]], other[2] = np.nan, np.nan
    path = saved(tmp_path, {**TABLE, "fou": fou, "other": other}, kind)
    report = preprocess(Arrays(), path, tmp_path / "store", max_bad=1)
    store = Store.open(tmp_path / "store")
    assert (report.written, report.rejected) == (len(fou), 0)
    assert store.present("fou").tolist() == [number not in (1, 2) for number in range(len(fou))]
    assert store.present("other").tolist() == [number != 2 for number in range(len(fou))]


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
            "differ in their numbers of rows: fou 6, mor 5. Choose arrays",
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
    with pytest.raises(MultiviewError, match=r"'x' in .*t\.h5 is in another file, which is not followed"):
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


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("codes", "classes"),
    [
        ([2012001, 2012004, 2012001], ("2012001", "2012004")),
        ([1000000, 1000001, 9999999], ("1000000", "1000001", "9999999")),
        ([0.5, 1.25, 3], ("0.5", "1.25", "3")),
        ([0.1, 0.2, -0.0], ("0", "0.1", "0.2")),
        ([3, np.nan, 4], ("3", "4")),
    ],
)
def test_every_number_is_a_class_of_its_own(
    tmp_path: Path, codes: list[float], classes: tuple[str, ...], dtype: str
) -> None:
    arrays = {"x": RNG.random((3, 4)), "y": np.array(codes, dtype)}
    plan = Arrays().plan(saved(tmp_path, arrays, "npz"))
    assert tuple(sorted({row.label for row in plan.rows} - {None})) == classes


def test_numbers_with_many_digits_stay_apart(tmp_path: Path) -> None:
    codes = np.array([123456.5, 123456.25, 1234567.5, 1e-7, 1.0000001e-7, 1e300, 2.5e17])
    plan = Arrays().plan(saved(tmp_path, {"x": RNG.random((7, 4)), "id": codes}, "npz"))
    assert len({row.id for row in plan.rows}) == 7
    assert [float(row.id) for row in plan.rows] == codes.tolist()


@pytest.mark.parametrize(
    "name", ["label", "y", "y_true", "y_train", "yTrue", "fine_labels", "one_hot", "labels_onehot"]
)
def test_labels_are_no_view(tmp_path: Path, name: str) -> None:
    classes = np.array([0, 2, 1, 2, 0])
    plan = Arrays().plan(saved(tmp_path, {"x": RNG.random((5, 4)), name: np.eye(3)[classes]}, "npz"))
    assert [each.name for each in plan.modalities] == ["x"]
    assert [row.label for row in plan.rows] == ["0", "2", "1", "2", "0"]
    assert f"'{name}' is one-hot: the number of the column is the class." in plan.notes
    scores = {"x": RNG.random((5, 4)), name: RNG.random((5, 3))}
    plan = Arrays().plan(saved(tmp_path, scores, "npz"))
    assert [each.name for each in plan.modalities] == ["x"]
    assert {row.label for row in plan.rows} == {None}
    assert any(f"'{name}' looks like labels, so it is no modality" in note for note in plan.notes)
    assert [each.name for each in Arrays(modalities=("x", name)).plan(tmp_path / "t.npz").modalities] == ["x", name]


@pytest.mark.parametrize("name", ["target_image", "class_embedding", "pos_y", "labelled_area", "y1"])
def test_other_names_with_such_words_are_views(tmp_path: Path, name: str) -> None:
    plan = Arrays().plan(saved(tmp_path, {"x": RNG.random((5, 4)), name: RNG.random((5, 3))}, "npz"))
    assert {each.name for each in plan.modalities} == {"x", name}


def test_labels_in_a_group_are_no_view(tmp_path: Path) -> None:
    arrays = {"data/x": RNG.random((4, 3)), "data/label": np.array([7, 8, 7, 8]), "data/id": np.array(list("abcd"))}
    plan = Arrays().plan(saved(tmp_path, arrays, "h5"))
    assert [each.name for each in plan.modalities] == ["data_x"]
    assert [(row.id, row.label) for row in plan.rows] == [("a", "7"), ("b", "8"), ("c", "7"), ("d", "8")]


@pytest.mark.parametrize(
    ("ending", "pattern"), [("h5", "{split}/{name}"), ("npz", "{name}_{split}"), ("npy", "{split}_{name}")]
)
def test_arrays_named_after_splits_are_joined(tmp_path: Path, ending: str, pattern: str) -> None:
    x, labels = RNG.random((7, 4)).astype("float32"), np.array([1, 0, 1, 0, 1, 0, 1])
    arrays = {}
    for split, rows in (("train", slice(0, 4)), ("test", slice(4, 7))):
        arrays |= {pattern.format(split=split, name=name): a[rows] for name, a in (("x", x), ("y", labels))}
    plan = Arrays().plan(saved(tmp_path, arrays, ending))
    assert [each.name for each in plan.modalities] == ["x"]
    assert [row.split for row in plan.rows] == ["train"] * 4 + ["test"] * 3
    assert [row.label for row in plan.rows] == [str(label) for label in labels]
    np.testing.assert_array_equal([pickle.loads(pickle.dumps(plan.read))(n)["x"] for n in range(7)], x)


def test_a_group_per_sample_is_a_sample(tmp_path: Path) -> None:
    photos = RNG.integers(0, 256, (5, 20, 24, 3), "uint8")
    arrays = {}
    for number, photo in enumerate(photos):
        arrays |= {f"s{number}/photo": photo, f"s{number}/x": RNG.random(4), f"s{number}/label": np.int64(number % 2)}
    plan = Arrays().plan(saved(tmp_path, arrays, "h5"))
    assert {each.name: each.shape for each in plan.modalities} == {"photo": (20, 24, 3), "x": (4,)}
    assert [(row.id, row.label) for row in plan.rows] == [(f"s{number}", str(number % 2)) for number in range(5)]
    np.testing.assert_array_equal(plan.read(3)["photo"], photos[3])


def test_a_group_per_view_is_a_view(tmp_path: Path) -> None:
    arrays = {f"{side}/image": RNG.integers(0, 256, (5, 20, 24, 3), "uint8") for side in ("left", "right")}
    plan = Arrays().plan(saved(tmp_path, arrays, "h5"))
    assert {each.name: each.shape for each in plan.modalities} == {
        "left_image": (20, 24, 3),
        "right_image": (20, 24, 3),
    }


def test_one_picture_is_no_set_of_rows(tmp_path: Path) -> None:
    with pytest.raises(MultiviewError, match=r"'photo' in .* is one picture \(32, 48, 3\), not a row per sample"):
        Arrays().plan(saved(tmp_path, {"photo": np.zeros((32, 48, 3), "uint8")}, "npz"))


@pytest.mark.parametrize(
    ("name", "shape", "kind", "stored"),
    [
        ("bands", (4, 16, 12), "bands", (16, 12, 4)),
        ("bands", (16, 12, 4), "bands", (16, 12, 4)),
        ("bands", (8, 8, 200), "bands", (8, 8, 200)),
        ("normal", (3, 16, 12), "normal", (16, 12, 3)),
        ("walk:series", (3, 128), "series", (128, 3)),
        ("walk:series", (128, 3), "series", (128, 3)),
        ("accel", (3, 128), "series", (128, 3)),
        ("cloud:points", (3, 64), "points", (64, 3)),
        ("call:audio", (2, 400), "audio", (400, 2)),
        ("depth", (16, 12, 1), "depth", (16, 12)),
        ("depth", (1, 16, 12), "depth", (16, 12)),
    ],
)
def test_channels_are_stored_last(
    tmp_path: Path, name: str, shape: tuple[int, ...], kind: str, stored: tuple[int, ...]
) -> None:
    array = RNG.random((3, *shape)).astype("float32") * 0.5 + 0.25
    bare = name.partition(":")[0]
    plan = Arrays(modalities=(name,), rate=50).plan(saved(tmp_path, {bare: array}, "npz"))
    assert (plan.modalities[0].kind, plan.modalities[0].shape) == (kind, stored)
    moved = np.moveaxis(array[1], 0, -1) if len(stored) == len(shape) and stored != shape else array[1]
    found = plan.read(1)[bare].astype("float64").ravel() / (32768 if kind == "audio" else 1)
    np.testing.assert_allclose(found, moved.ravel(), rtol=1e-2 if kind == "audio" else 1e-3)
    said = any("with its channels first" in note for note in plan.notes)
    assert said == (len(stored) == len(shape) and stored != shape)


def test_the_axis_of_channels_can_be_given(tmp_path: Path) -> None:
    path = saved(tmp_path, {"walk": RNG.random((3, 16, 16)), "eeg": RNG.random((3, 20, 64))}, "npz")
    kinds = ("walk:series", "eeg:series")
    first = Arrays(modalities=kinds, rate=50, channel_axis="first").plan(path)
    assert [each.shape for each in first.modalities] == [(16, 16), (64, 20)]
    np.testing.assert_array_equal(
        first.read(0)["walk"].T, Arrays(modalities=kinds, rate=50, channel_axis="last").plan(path).read(0)["walk"]
    )
    assert [each.shape for each in Arrays(modalities=kinds, rate=50, channel_axis="last").plan(path).modalities] == [
        (16, 16),
        (20, 64),
    ]
    with pytest.raises(MultiviewError, match="'middle' is not a channel axis"):
        Arrays(channel_axis="middle")  # type: ignore[arg-type]


def test_numbers_that_may_be_a_series_are_noted(tmp_path: Path) -> None:
    path = saved(tmp_path, {"walk": RNG.random((3, 128, 3)), "imu": RNG.random((3, 128, 6))}, "npz")
    with pytest.raises(MultiviewError, match="'imu' is a series of an unknown rate; give --rate"):
        Arrays().plan(path)
    plan = Arrays(modalities=("walk",)).plan(path)
    assert plan.modalities[0].kind == "points"
    assert any("a series of (times, channels) needs --rate" in note for note in plan.notes)
    assert [each.kind for each in Arrays(rate=50).plan(path).modalities] == ["series", "series"]


def test_another_array_of_the_file_refuses_no_view(tmp_path: Path) -> None:
    arrays = {"x": RNG.random((6, 4)), "meta": np.array([{}, []], dtype=object)}
    for ending in ("npz", "npy"):
        path = saved(tmp_path, arrays, ending)
        for options in ({"modalities": ("x",)}, {}):
            plan = Arrays(**options).plan(path)  # type: ignore[arg-type]
            assert [each.name for each in plan.modalities] == ["x"]
            assert any("'meta' in " in note and "holds Python objects" in note for note in plan.notes)
            assert {row.label for row in plan.rows} == {None}
        with pytest.raises(MultiviewError, match=r"'meta' in .* holds Python objects"):
            Arrays(modalities=("meta",)).plan(path)


def test_whole_metres_and_loud_sounds_are_noted(tmp_path: Path) -> None:
    arrays = {"depth": np.full((3, 4, 5), 1500, "uint16"), "audio": np.full((3, 100), 2.5)}
    plan = Arrays(rate=8000).plan(saved(tmp_path, arrays, "npz"))
    assert any("'depth' holds whole numbers, which are read as metres" in note for note in plan.notes)
    assert any("the sound reaches 2.5 times full scale" in note for note in plan.notes)


@pytest.mark.parametrize(("times", "channels"), [(3, 128), (6, 50), (12, 1000)])
def test_a_view_of_a_transposed_series_is_told_so(times: int, channels: int, tmp_path: Path) -> None:
    """The wrong advice would be to give the view as many channels as the series has times."""
    np.savez(tmp_path / "x.npz", accel=np.random.default_rng(0).normal(size=(20, times, channels)).astype("f4"))
    words = ["preprocess", "arrays", str(tmp_path / "x.npz"), str(tmp_path / "store"), "--rate", "50"]
    assert run([*words, "--channel_axis", "last"]) == 0
    store = Store.open(tmp_path / "store")
    view = make_view("series", Crop(seconds=0.05), channels=times, modality="accel")
    with pytest.raises(MultiviewError, match=f"{times} times of {channels} channels, which looks transposed.*first"):
        with_statistics(view, store)
    other = make_view("series", Crop(seconds=0.05), channels=times + 1, modality="accel")
    with pytest.raises(MultiviewError, match=f"give the view the number {channels}, or a tuple of .* to read\\.$"):
        with_statistics(other, store)


@pytest.mark.parametrize(
    ("name", "labels"),
    [("label", np.arange(39) % 4), ("y", np.arange(41) % 4), ("target", np.eye(3)[np.arange(7) % 3])],
)
def test_labels_of_another_number_of_rows_are_refused(name: str, labels: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "made.npz"
    np.savez(file, image=np.zeros((40, 8, 8, 3), "uint8"), **{name: labels})
    with pytest.raises(MultiviewError, match=f"'{name}' in .* has {len(labels)} labels for 40 samples"):
        Arrays().plan(file)
    plan = Arrays(modalities=("image",)).plan(file)
    assert [each.name for each in plan.modalities] == ["image"]
    wanted = f"'{name}' in {file} has {len(labels)} labels for 40 samples. The samples are read without labels."
    assert wanted in plan.notes
    assert not any("use it with --label_column" in note for note in plan.notes)
