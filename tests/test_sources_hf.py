"""The source hf: Parquet, Arrow and WebDataset files in their published format become stores."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import multiview as mv
from multiview.cli import main
from multiview.data.load.memory import open_memory
from multiview.data.load.open_data import open_data
from multiview.data.sources.hf import HuggingFace, load_dataset
from multiview.data.store.reading import Store
from multiview.data.write.planning import make_plan
from multiview.data.write.preprocess import preprocess

datasets = pytest.importorskip("datasets")
soundfile = pytest.importorskip("soundfile")

COUNT = 24
RATE = 8000


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Prepared files go to a folder of the test, and nothing is asked of the network."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("hf-home")
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
        patch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        datasets.disable_progress_bars()
        yield


def pixels(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (10 + number % 3, 12, 3), dtype=np.uint8)


def picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels(number)).save(file, "PNG")
    return file.getvalue()


def depth(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 9), 1000 + number, np.uint16)).save(file, "PNG")
    return file.getvalue()


def sound(number: int) -> bytes:
    file = io.BytesIO()
    wave = np.random.default_rng(number).uniform(-0.5, 0.5, 100 + number).astype("float32")
    soundfile.write(file, wave, RATE, format="WAV")
    return file.getvalue()


def rows() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {
            "image": {"bytes": picture(number), "path": None},
            "depth": {"bytes": depth(number), "path": None},
            "speech": {"bytes": sound(number), "path": None},
            "label": number % 2 if number else -1,
            "caption": f"text {number}",
            "imu": rng.normal(size=(20, 3)).astype("float32").tolist(),
            "vector": None if number == 3 else [1.0, 2.0, float(number)],
            "width": number,
            "url": "https://example.org",
        }
        for number in range(COUNT)
    ]


@pytest.fixture(scope="module")
def dataset() -> Any:
    kinds = datasets.Features(
        {
            "image": datasets.Image(),
            "depth": datasets.Image(),
            "speech": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
            "label": datasets.ClassLabel(names=["zebra", "ant"]),
            "caption": datasets.Value("string"),
            "imu": datasets.Array2D((20, 3), "float32"),
            "vector": datasets.Sequence(datasets.Value("float32")),
            "width": datasets.Value("int32"),
            "url": datasets.Value("string"),
        }
    )
    made = datasets.Dataset.from_list(rows(), features=kinds)
    return made.cast_column("speech", datasets.Audio(decode=False))


def archive(path: Path) -> Path:
    with tarfile.open(path, "w") as tar:
        for number in range(COUNT):
            note = json.dumps({"n": number}).encode()
            parts = {"png": picture(number), "cls": str(number % 3).encode(), "txt": f"word {number}".encode()}
            for ending, data in {**parts, "json": note}.items():
                info = tarfile.TarInfo(f"s{number:03d}.{ending}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return path


def assert_the_rows_are_there(store: Store) -> None:
    assert len(store) == COUNT
    assert store.manifest.classes == ("zebra", "ant")
    assert store.labels.tolist() == [-1, *(number % 2 for number in range(1, COUNT))]
    kinds = {each.name: each for each in store.manifest.modalities}
    assert {name: kind.kind for name, kind in kinds.items()} == {
        "image": "image",
        "depth": "depth",
        "speech": "audio",
        "text": "text",
        "imu": "series",
        "vector": "table",
    }
    assert kinds["speech"].rate == RATE
    assert kinds["imu"].rate == 50
    for number, image in enumerate(store.read(store.rows(), "image")):
        assert np.array_equal(image, pixels(number))
    assert np.allclose(store.read([5], "depth")[0], 1.005)
    assert [len(each) for each in store.read(store.rows(), "speech")] == [100 + number for number in range(COUNT)]
    assert bytes(store.read([7], "text")[0]).rstrip(b"\0") == b"text 7"
    assert np.allclose(store.read([9], "imu")[0], np.array(rows()[9]["imu"]))
    assert np.flatnonzero(~store.present("vector")).tolist() == [3]


def test_parquet_becomes_a_store(dataset: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset.to_parquet(str(tmp_path / "data.parquet"))
    words = [f"hf:{tmp_path / 'data.parquet'}", str(tmp_path / "store"), "--series_rate", "50", "--workers", "1"]
    with pytest.raises(SystemExit) as ended:
        main(["preprocess", *words, "--view_statistics", "false"])
    assert not ended.value.code
    assert "skipped 2 columns: width, url; add them with --modalities." in capsys.readouterr().out
    store = Store.open(tmp_path / "store")
    assert_the_rows_are_there(store)
    assert set(store.split_names) == {"train", "val", "test"}


def test_a_folder_of_save_to_disk_keeps_its_splits(dataset: Any, tmp_path: Path) -> None:
    parts = {"train": dataset.select(range(16)), "validation": dataset.select(range(16, COUNT))}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "disk"))
    preprocess(HuggingFace(dataset=str(tmp_path / "disk"), series_rate=50), None, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    assert_the_rows_are_there(store)
    assert store.split_names == ("train", "val")
    assert store.rows("train").tolist() == list(range(16))


def test_a_webdataset_archive_becomes_a_store(tmp_path: Path) -> None:
    archive(tmp_path / "data.tar")
    preprocess(HuggingFace(dataset=str(tmp_path / "data.tar")), None, tmp_path / "store")
    store = Store.open(tmp_path / "store")
    assert store.ids == [f"s{number:03d}" for number in range(COUNT)]
    assert store.manifest.classes == ("0", "1", "2")
    assert [each.name for each in store.manifest.modalities] == ["image", "text"]
    assert np.array_equal(store.read([4], "image")[0], pixels(4))


def test_data_names_a_dataset_and_a_changed_file_makes_a_new_store(dataset: Any, tmp_path: Path) -> None:
    file = tmp_path / "data.parquet"
    chosen = dataset.select_columns(["image", "label"])
    chosen.to_parquet(str(file))
    said: list[str] = []
    first = open_data(f"hf:{file}", tmp_path / "cache", say=said.append)
    assert len(first) == COUNT
    assert open_data(f"hf:{file}", tmp_path / "cache").path == first.path
    chosen.select(range(20)).to_parquet(str(file))
    assert len(open_data(f"hf:{file}", tmp_path / "cache", say=said.append)) == 20


def test_columns_and_kinds_are_chosen_by_name(dataset: Any) -> None:
    source = HuggingFace(
        modalities={"photo": "image", "size:table": "width"}, label_column="caption", id_column="width"
    )
    plan = source.plan_dataset(dataset)
    assert {each.name: each.kind for each in plan.modalities} == {"photo": "image", "size": "table"}
    assert plan.rows[3].id == "3"
    assert plan.rows[3].label == "text 3"
    assert plan.read(3)["size"].tolist() == [3]


def test_fit_takes_a_dataset_in_memory(dataset: Any, tmp_path: Path) -> None:
    parts = {"train": dataset.select(range(16)), "test": dataset.select(range(16, COUNT))}
    given = datasets.DatasetDict(parts).select_columns(["image", "depth", "label"])
    torch.manual_seed(0)
    crop = mv.Crop(size=8)
    views = {"photo": mv.views.rgb(crop), "grey": mv.make_view("grey", mv.Crop(name="other", size=8))}
    encoders = {"photo": mv.make_encoder("convnet", 3, width=0.25), "grey": mv.make_encoder("convnet", 1, width=0.25)}
    setup = mv.Setup(views, encoders, mv.ContrastGraph.full(views, mv.SimCLR()))
    train = mv.Train(steps=2, batch=8, knn_every=0, threads=1)
    trained = mv.fit(setup, data=given, out=tmp_path / "run", train=train, evaluate=False)
    assert trained.steps == 2
    preprocess(_Given(given), None, tmp_path / "store")
    written, held = Store.open(tmp_path / "store"), trained.store
    assert held.ids == written.ids
    for name in ("image", "depth"):
        pairs = zip(held.read(held.rows(), name), written.read(written.rows(), name), strict=True)
        assert all(np.array_equal(one, other) for one, other in pairs)


class _Given(HuggingFace):
    """The source hf for a dataset in memory."""

    def __init__(self, given: Any) -> None:
        super().__init__()
        object.__setattr__(self, "given", given)

    def plan(self, root: Path | None) -> Any:
        return self.plan_dataset(self.given)  # type: ignore[attr-defined]


def test_a_dataset_with_a_transform_gives_what_the_transform_makes(dataset: Any) -> None:
    plain = dataset.select_columns(["imu"]).with_transform(lambda batch: {"x": [[1.0, 2.0]] * len(batch["imu"])})
    assert open_memory(plain, say=lambda _: None).read([0, 1], "x").tolist() == [[1, 2], [1, 2]]


@pytest.mark.parametrize("feature", ["lists", "array"])
def test_arrays_of_uint8_are_pictures(feature: str) -> None:
    rng = np.random.default_rng(0)
    rows = {"image": list(rng.integers(0, 256, (6, 8, 8, 3), np.uint8)), "counts": [[n, 2 * n] for n in range(6)]}
    features = datasets.Features(
        {"image": datasets.Array3D((8, 8, 3), "uint8"), "counts": datasets.Sequence(datasets.Value("int32"))}
    )
    given = datasets.Dataset.from_dict(rows, features=features if feature == "array" else None)
    held = open_memory(given, say=lambda _: None)
    assert held.modality("image").kind == "image"
    np.testing.assert_array_equal(held.read([3], "image")[0], rows["image"][3])
    assert held.read([3], "counts").tolist() == [[3, 6]]


def test_a_damaged_picture_is_rejected_in_a_store_and_left_out_in_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [{"bytes": b"no picture" if number == 2 else picture(number), "path": None} for number in range(40)]
    broken = datasets.Dataset.from_list(
        [{"image": cell} for cell in cells], features=datasets.Features({"image": datasets.Image()})
    )
    report = preprocess(_Given(broken), None, tmp_path / "store")
    assert report.rejected == 1
    held = open_memory(broken, say=lambda _: None)
    assert [len(image) > 1 for image in held.read([1, 2, 3], "image")] == [True, False, True]
    assert "left out" in capsys.readouterr().err


MISTAKES = {
    "missing": ("no/such/dataset", "cannot be loaded by `datasets`: .* Give a .parquet or .tar file"),
    "none": ("", "type hf:PATH or hf:NAME"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_cannot_be_loaded_is_one_sentence(name: str) -> None:
    given, message = MISTAKES[name]
    with pytest.raises(mv.MultiviewError, match=message):
        make_plan(HuggingFace(dataset=given), None)


def test_other_files_and_damaged_files_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.docx").write_bytes(b"text")
    with pytest.raises(mv.MultiviewError, match=r"no builder reads a file that ends in '.docx'"):
        load_dataset(str(tmp_path / "notes.docx"))
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(mv.MultiviewError, match="cannot be loaded by `datasets`"):
        load_dataset(str(tmp_path / "bad.parquet"))


def test_columns_that_are_not_there_are_named_with_the_nearest(dataset: Any) -> None:
    with pytest.raises(mv.MultiviewError, match="Did you mean 'caption'"):
        HuggingFace(label_column="captoin").plan_dataset(dataset)
    with pytest.raises(mv.MultiviewError, match="Did you mean 'image'"):
        HuggingFace(modalities=("imag",)).plan_dataset(dataset)
    with pytest.raises(mv.MultiviewError, match="no column of the dataset looks like a modality; it has: width, url"):
        HuggingFace().plan_dataset(dataset.select_columns(["width", "url"]))


def test_without_datasets_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(mv.MultiviewError, match=r"pip install 'multiview-cmc\[hf\]'"):
        load_dataset("photos.parquet")
