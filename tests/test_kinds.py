"""Every kind of modality from source to batch: ragged, encoded, missing, cropped."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from multiview.data.files import images
from multiview.data.files.encoded import LazyImage
from multiview.data.inspect.contact_sheet import CELL, GAP, LEFT, TOP
from multiview.data.inspect.inspection import inspect_store
from multiview.data.load.crops import CropTransform
from multiview.data.load.dataset import Samples
from multiview.data.modality import ANY, Modality
from multiview.data.source import Plan, Row
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError
from multiview.view import Channels, Crop, View

COUNT = 23
KINDS = (
    Modality(name="photo", kind="image", dtype="uint8", shape=(ANY,), unit="sRGB", encoding="png"),
    Modality(name="sound", kind="audio", dtype="int16", shape=(ANY, 2), unit="", rate=100),
    Modality(name="clip", kind="video", dtype="uint8", shape=(ANY, 6, 8, 3), unit="sRGB", rate=10),
    Modality(name="pulse", kind="series", dtype="float32", shape=(ANY, 3), unit="", rate=20),
    Modality(name="bands", kind="bands", dtype="float32", shape=(6, 8, 5), unit=""),
    Modality(name="row", kind="table", dtype="float32", shape=(4,), unit=""),
    Modality(name="cloud", kind="points", dtype="float32", shape=(7, 3), unit="m"),
    Modality(name="words", kind="text", dtype="uint8", shape=(9,), unit="UTF-8"),
)


def png(pixels: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return np.frombuffer(file.getvalue(), "uint8")


def pixels_of(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (int(rng.integers(5, 30)), int(rng.integers(5, 30)), 3), dtype="uint8")


def sample(number: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(100 + number)
    seconds = 1 + number % 4
    given = {
        "photo": png(pixels_of(number)),
        "sound": rng.integers(-999, 999, (100 * seconds, 2), dtype="int16"),
        "clip": rng.integers(0, 256, (10 * seconds, 6, 8, 3), dtype="uint8"),
        "pulse": rng.random((20 * seconds, 3), dtype="float32"),
        "bands": rng.random((6, 8, 5), dtype="float32"),
        "row": rng.random(4, dtype="float32"),
        "cloud": rng.random((7, 3), dtype="float32"),
        "words": np.frombuffer(f"n {number}".encode().ljust(9, b"\0"), "uint8"),
    }
    absent = {kind.name for place, kind in enumerate(KINDS) if number % 11 == place + 1}
    return {name: array for name, array in given.items() if name not in absent}


@dataclass(frozen=True)
class Everything:
    """All kinds at once; `read` and `kinds` may be replaced."""

    read: Callable[[int], Mapping[str, np.ndarray]] = sample
    kinds: tuple[Modality, ...] = KINDS
    needs_input: ClassVar[bool] = False

    def plan(self, root: Path | None) -> Plan:
        return Plan([Row(f"{n}", split="train") for n in range(COUNT)], self.kinds, self.read)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("kinds") / "store"
    preprocess(Everything(), None, out, name="everything", shard_rows=6)
    return out


@pytest.fixture
def store(folder: Path) -> Store:
    return Store.open(folder)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_is_read_as_written(store: Store, kind: Modality, cached: bool) -> None:
    reader = store.cached([kind.name], 10**7) if cached else store
    rows = [22, 0, 7, 7, 13, 1, 2, 3, 4, 5, 6, 8]
    got = reader.read(rows, kind.name)
    assert isinstance(got, list) == kind.ragged
    for row, array in zip(rows, got, strict=True):
        given = sample(row)
        if kind.name not in given:
            assert not array.any()
            assert array.shape == ((1, 1, 3) if kind.encoding else (0, *kind.shape[1:]) if kind.ragged else kind.shape)
        else:
            assert np.array_equal(array, pixels_of(row) if kind.encoding else given[kind.name])
    assert store.present(kind.name).tolist() == [kind.name in sample(row) for row in range(COUNT)]


def test_a_store_of_everything_is_the_same_every_time(folder: Path, tmp_path: Path) -> None:
    preprocess(Everything(), None, tmp_path / "again", name="everything", shard_rows=6)
    for path in folder.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_the_cache_counts_its_own_bytes(store: Store) -> None:
    sound = sum(len(given["sound"]) * 4 for given in map(sample, range(COUNT)) if "sound" in given)
    assert store.bytes_of("sound") == sound
    assert store.bytes_of("bands") == COUNT * 6 * 8 * 5 * 4
    store.cached(["sound"], sound - 1)
    assert not store._memory


def test_statistics_of_every_kind(store: Store) -> None:
    found = store.manifest.statistics
    assert "words" not in found
    shapes = {"photo": 3, "sound": 2, "clip": 3, "pulse": 3, "bands": 5, "row": 4, "cloud": 3}
    for name, channels in shapes.items():
        values = [
            (pixels_of(n) if name == "photo" else sample(n)[name]).reshape(-1, channels)
            for n in range(COUNT)
            if name in sample(n)
        ]
        whole = np.concatenate(values).astype("float64")
        np.testing.assert_allclose(found[name].mean, whole.mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(found[name].std, whole.std(axis=0), rtol=1e-9)
        assert (found[name].low, found[name].high) == (tuple(whole.min(axis=0)), tuple(whole.max(axis=0)))
        assert found[name].count == len(whole)


def views(crop: Crop) -> dict[str, View]:
    counts = {"photo": 3, "sound": 2, "clip": 3, "pulse": 3, "bands": 5, "row": 4, "cloud": 3, "words": 1}
    return {
        name: View(modality=name, channels=Channels(name, count, "", 0.0, 1.0), crop=crop)
        for name, count in counts.items()
    }


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("workers_cache", [0, 10**7])
def test_a_batch_of_every_kind_has_the_documented_layout(store: Store, train: bool, workers_cache: int) -> None:
    samples = Samples(store, "train", views(Crop(size=4, seconds=0.5)), train, cache=workers_cache)
    batch = samples[0, torch.arange(COUNT)]
    layout = {
        "photo": (torch.uint8, (3, 4, 4)),
        "sound": (torch.int16, (2, 50)),
        "clip": (torch.uint8, (3, 5, 4, 4)),
        "pulse": (torch.float32, (3, 10)),
        "bands": (torch.float32, (5, 4, 4)),
        "row": (torch.float32, (4,)),
        "cloud": (torch.float32, (3, 7)),
        "words": (torch.int64, (9,)),
    }
    for name, (dtype, shape) in layout.items():
        x = batch.crops["crop"][name]
        assert (x.dtype, tuple(x.shape)) == (dtype, (COUNT, *shape)), name
        assert x.is_contiguous()
        assert not x[~batch.present[name]].any(), name
    assert batch.crops["crop"]["words"][0].tolist() == [*b"n 0", 0, 0, 0, 0, 0, 0]
    assert torch.equal(batch.crops["crop"]["cloud"][0], torch.from_numpy(sample(0)["cloud"]).T)


def test_a_contact_sheet_of_every_kind(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inspect_store(folder, tmp_path / "sheet.png", samples=4)
    said = " ".join(capsys.readouterr().out.split())
    assert "photo image, png files, sRGB; 0 to 255" in said
    assert "sound audio, int16 anyx2" in said
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == LEFT + len(KINDS) * (CELL + GAP)
        pixels = np.asarray(sheet)
    for place in range(len(KINDS)):
        column = pixels[TOP : TOP + CELL, LEFT + place * (CELL + GAP) :][:, :CELL]
        assert len(np.unique(column.reshape(-1, 3), axis=0)) > 1, KINDS[place].name


def ramp(rate: int, seconds: float, kind: str) -> np.ndarray:
    """Each place holds its own time in hundredths of a second."""
    times = np.rint(np.arange(round(rate * seconds)) / rate * 100)
    shape = {"audio": (-1,), "series": (-1, 1), "video": (-1, 1, 1, 1)}[kind]
    tall = {"audio": (), "series": (2,), "video": (4, 4, 3)}[kind]
    dtype = {"audio": "int16", "series": "float32", "video": "uint8"}[kind]
    return np.broadcast_to(times.reshape(shape), (len(times), *tall)).astype(dtype)


TIMED = (
    Modality(name="audio", kind="audio", dtype="int16", shape=(ANY,), unit="", rate=100),
    Modality(name="series", kind="series", dtype="float32", shape=(ANY, 2), unit="", rate=20),
    Modality(name="video", kind="video", dtype="uint8", shape=(ANY, 4, 4, 3), unit="", rate=10),
)


def timed(crop: Crop, train: bool, *seconds: float) -> dict[str, torch.Tensor]:
    arrays = {each.name: [ramp(int(each.rate or 0), s, each.kind) for s in seconds] for each in TIMED}
    return CropTransform({crop: TIMED}, train)(arrays, np.arange(len(seconds)))[crop.name]


def test_a_window_in_time_is_the_same_for_sound_series_and_video() -> None:
    out = timed(Crop(size=4, seconds=0.8), True, *[2.0] * 50)
    starts = out["audio"][:, 0, 0]
    assert starts.unique().numel() > 30
    assert starts.min() < 20
    assert 100 < starts.max() <= 120
    assert torch.equal(out["audio"] - starts[:, None, None], torch.arange(80).expand(50, 1, 80))
    assert (out["series"][:, 0, 0] - starts).abs().max() <= 2.5
    assert (out["video"][:, 0, 0, 0, 0] - starts).abs().max() <= 5
    again = timed(Crop(size=4, seconds=0.8, name="other"), True, *[2.0] * 50)
    assert (again["audio"][:, 0, 0] != starts).sum() > 40, "another crop, another draw"


def test_the_central_window_and_samples_that_are_too_short() -> None:
    out = timed(Crop(size=4, seconds=1.0), False, 2.0, 0.6)
    assert out["audio"][0, 0].tolist() == list(range(50, 150))
    assert out["audio"][1, 0].tolist() == [*range(60), *[0] * 40]
    assert out["series"][1, 1].tolist() == [*range(0, 60, 5), *[0] * 8]
    assert out["video"][1, 0, :, 0, 0].tolist() == [0, 10, 20, 30, 40, 50, 50, 50, 50, 50]


def test_a_short_modality_keeps_the_window_within_itself() -> None:
    arrays = {each.name: [ramp(int(each.rate or 0), 3.0, each.kind)] * 40 for each in TIMED}
    arrays["series"] = [ramp(20, 1.5, "series")] * 40
    out = CropTransform({Crop(size=4, seconds=1.0): TIMED}, True)(arrays, np.arange(40))["crop"]
    assert out["audio"][:, 0, 0].max() <= 50
    assert (out["series"][:, 0, -1] > 0).all()


def test_all_frames_of_a_video_get_the_same_crop() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (1, 12, 16, 3), dtype="uint8")
    kind = Modality(name="v", kind="video", dtype="uint8", shape=(3, 12, 16, 3), unit="", rate=5)
    still = Modality(name="i", kind="image", dtype="uint8", shape=(12, 16, 3), unit="")
    arrays = {"v": np.repeat(frame, 3, axis=0)[None].repeat(9, axis=0), "i": frame.repeat(9, axis=0)}
    for train in (True, False):
        out = CropTransform({Crop(size=8): [kind, still]}, train)(arrays, np.arange(9))["crop"]
        for place in range(3):
            assert torch.equal(out["v"][:, :, place], out["i"])


def test_images_of_any_size_are_cropped_independently(store: Store) -> None:
    kind = store.modality("photo")
    photos = store.read(range(COUNT), "photo")
    for train in (True, False):
        transform = CropTransform({Crop(size=6): [kind]}, train)
        whole = transform({"photo": photos}, np.arange(COUNT))["crop"]["photo"]
        for row in range(COUNT):
            fixed = Modality(name="photo", kind="image", dtype="uint8", shape=photos[row].shape, unit="")
            alone = CropTransform({Crop(size=6): [fixed]}, train)
            assert torch.equal(alone({"photo": photos[row][None]}, np.array([row]))["crop"]["photo"][0], whole[row])


def photo_of(height: int, width: int, orientation: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A smooth JPEG: its bytes, and its pixels as they stand upright."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 40 + phase) * np.cos(y / 30 + phase) for phase in (0, 1, 2)]
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray((np.stack(waves, -1) * 100 + 128).astype("uint8")).save(file, "JPEG", quality=95, exif=exif)
    sample = np.frombuffer(file.getvalue(), "uint8")
    return sample, images.rgb(io.BytesIO(file.getvalue()), "it")


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [16, 40, 200])
def test_a_large_photo_is_decoded_no_finer_than_its_crop(size: int, orientation: int) -> None:
    kind = KINDS[0]
    sample, pixels = photo_of(400, 603, orientation)
    picture = LazyImage(kind, sample, "it")
    assert picture.shape == pixels.shape
    index, crop = np.arange(8), Crop(size=size, scale=(0.3, 1.0))
    transform = CropTransform({crop: [kind]}, True)
    reduced = transform({"photo": [LazyImage(kind, sample, "it") for _ in index]}, index)["crop"]["photo"].float()
    whole = transform({"photo": [pixels] * 8}, index)["crop"]["photo"].float()
    assert (reduced - whole).abs().mean() < 6, "off by up to half a pixel of the crop"
    top, left, height, width = window = (40, 60, 320, 300)
    part, where = picture.part(window, size)
    factor = {16: 8, 40: 4, 200: 1}[size]
    assert part.shape[:2] == tuple(-(-side // factor) for side in pixels.shape[:2])
    assert np.abs(np.array(where) * factor - (top, left, height, width)).max() <= factor
    assert min(where[2:]) >= size
    assert picture.fault is None


def test_a_photo_whose_end_is_missing_has_a_fault() -> None:
    sample, _ = photo_of(90, 80)
    picture = LazyImage(KINDS[0], sample[: len(sample) // 2], "half.jpg")
    pixels, where = picture.part((0, 0, 80, 80), 8)
    assert (pixels.shape, where) == ((1, 1, 3), (0, 0, 1, 1))
    assert "half.jpg: " in str(picture.fault)


def test_samples_of_different_lengths_need_a_window() -> None:
    with pytest.raises(
        MultiviewError,
        match=r"samples of audio differ in length .* --seconds LENGTH.* Crop\(seconds=LENGTH\) for the crop 'crop'",
    ):
        CropTransform({Crop(): TIMED}, True)
    points = Modality(name="cloud", kind="points", dtype="float32", shape=(ANY, 3), unit="m")
    with pytest.raises(
        MultiviewError, match=r"samples of cloud differ in length .* use a store in which all have one length"
    ):
        CropTransform({Crop(seconds=1.0): [points]}, True)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            Modality(name="x", kind="bands", dtype="float32", shape=(3, ANY, 2), unit=""),
            "only the first length may differ",
        ),
        (
            Modality(name="x", kind="depth", dtype="uint8", shape=(ANY,), unit="", encoding="png"),
            "only images are stored",
        ),
        (
            Modality(name="x", kind="image", dtype="uint8", shape=(9, 9, 3), unit="", encoding="png"),
            r"and shape \(ANY,\)",
        ),
    ],
)
def test_shapes_that_a_store_does_not_hold(tmp_path: Path, kind: Modality, message: str) -> None:
    with pytest.raises(MultiviewError, match=message):
        preprocess(Everything(kinds=(kind,)), None, tmp_path / "out")


def test_an_encoded_image_that_cannot_be_decoded_is_rejected(tmp_path: Path) -> None:
    def read(number: int) -> dict[str, np.ndarray]:
        photo = sample(0)["photo"]
        return {"photo": photo[: len(photo) // 2] if number == 3 else photo}

    report = preprocess(Everything(read, KINDS[:1]), None, tmp_path / "out", max_bad=1)
    assert report.rejected == 1
    assert '"id": "3"' in (tmp_path / "out" / "rejects.jsonl").read_text()


def test_an_empty_array_is_a_bad_sample(tmp_path: Path) -> None:
    def read(number: int) -> dict[str, np.ndarray]:
        return {"sound": np.zeros((0 if number == 5 else 10, 2), "int16")}

    preprocess(Everything(read, KINDS[1:2]), None, tmp_path / "out", max_bad=1)
    assert '"reason": "5: sound is empty"' in (tmp_path / "out" / "rejects.jsonl").read_text()


def test_a_flipped_bit_in_a_long_sample_names_its_row(tmp_path: Path) -> None:
    def read(number: int) -> dict[str, np.ndarray]:
        return {"sound": np.full((20_000, 2), number, "int16")}

    preprocess(Everything(read, KINDS[1:2]), None, tmp_path / "s", shard_rows=10)
    path = tmp_path / "s" / "shard-00001.h5"
    with h5py.File(path) as file:
        offset = file["sound"].id.get_chunk_info(10).byte_offset
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    store = Store.open(tmp_path / "s")
    assert (store.read([17], "sound")[0] == 17).all()
    with pytest.raises(MultiviewError, match=r"checksum of /sound does not match at its row 4 \(row 14 of the store\)"):
        store.read([13, 14], "sound")
