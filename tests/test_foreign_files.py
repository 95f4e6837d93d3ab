"""Foreign files and folders: links, formats under a false name, and decompression bombs."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
import torch
from pictures import noise, save
from PIL import Image

import multiview as mv
from multiview.data.files import arrayfiles, audiofiles, images
from multiview.data.source import BadSample
from multiview.data.sources.scenes import Scenes
from multiview.data.sources.torchvision import Torchvision
from multiview.data.store import columnfile
from multiview.data.write.preprocess import preprocess
from multiview.files import create, open_to_append, replace_bytes, replace_text
from multiview.train import checkpoint
from multiview.train.telemetry import Metrics

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(ran) run\nshowpage\n%%EOF\n"
WMF = b"\xd7\xcd\xc6\x9a\x00\x00" + struct.pack("<hhhhH", 0, 0, 8, 8, 72) + b"\0" * 6 + b"\x01\x00\x09\x00" + b"\0" * 20
FPX = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600
PDF = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n%%EOF\n"


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
@pytest.mark.parametrize("content", [EPS, WMF, FPX, PDF], ids=["eps", "wmf", "fpx", "pdf"])
def test_a_format_that_starts_programs_is_no_image(
    content: bytes, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen.__init__", refuse)
    file = tmp_path / f"photo.{ending}"
    file.write_bytes(content)
    for read in (images.header, images.rgb):
        with pytest.raises(BadSample, match="no image"):
            read(file, "photo")


@pytest.mark.parametrize("dataset", ["ImageFolder", "Flowers102", "OxfordIIITPet", "FakeData"])
def test_torchvision_opens_only_listed_formats(dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class of torchvision opens pictures itself. Afterwards Pillow opens all formats again."""
    from torchvision import datasets

    file = tmp_path / "photo.jpg"
    file.write_bytes(EPS)

    class Opens(torch.utils.data.Dataset):
        def __init__(self, root: str) -> None:
            del root

        def __len__(self) -> int:
            return 3

        def __getitem__(self, place: int) -> tuple[Image.Image, int]:
            return Image.open(file).convert("RGB"), place % 2

    monkeypatch.setattr(datasets, dataset, Opens)
    monkeypatch.setattr("subprocess.Popen.__init__", lambda *_, **__: pytest.fail("a program was started"))
    with pytest.raises(mv.MultiviewError, match=r"has no sample that can be read: .*no image"):
        Torchvision(dataset=dataset).plan(tmp_path)
    with Image.open(file) as picture:
        assert picture.format == "EPS"
    save(tmp_path / "photo.jpg", noise(0, 8, 8))
    plan = Torchvision(dataset=dataset).plan(tmp_path)
    file.write_bytes(EPS)
    with pytest.raises(BadSample, match="no image"):
        plan.read(1)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "AVIF", "JPEG2000"])
def test_usual_formats_are_read(form: str) -> None:
    Image.init()
    if form not in Image.SAVE:
        pytest.skip(f"this Pillow has no {form}")
    file = io.BytesIO()
    Image.new("RGB", (8, 6), "white").save(file, form)
    assert images.rgb(file, "photo").shape == (6, 8, 3)


def save_state(out: Path) -> None:
    checkpoint.save(out / "checkpoints", 1, {}, {}, keep=1)


@pytest.mark.parametrize(
    "write",
    [
        lambda out: replace_text(out / "evaluation.json", "new"),
        lambda out: replace_bytes(out / "evaluation.json", b"new"),
    ],
)
def test_a_link_is_replaced_and_its_target_stays(write, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("old")
    out = tmp_path / "run"
    out.mkdir()
    for name in ("evaluation.json", "evaluation.json.partial"):
        (out / name).symlink_to(target)
    write(out)
    assert target.read_text() == "old"
    assert not (out / "evaluation.json").is_symlink()
    assert (out / "evaluation.json").read_text() == "new"
    assert sorted(path.name for path in out.iterdir()) == ["evaluation.json", "evaluation.json.partial"]


@pytest.mark.parametrize("dangling", [True, False])
def test_no_file_is_created_or_opened_through_a_link(dangling: bool, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    if not dangling:
        target.write_text("old")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(FileExistsError):
        create(tmp_path / "link")
    with pytest.raises(mv.MultiviewError, match="is a link to"):
        open_to_append(tmp_path / "link")
    assert target.exists() is not dangling


@pytest.mark.parametrize("name", ["checkpoints", "metrics.jsonl", "tensorboard"])
def test_a_linked_part_of_a_run_folder_is_refused(name: str, tmp_path: Path) -> None:
    if name == "tensorboard":
        pytest.importorskip("tensorboard")  # without it nothing is written there
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    out = tmp_path / "run"
    out.mkdir()
    (out / name).symlink_to(elsewhere)
    with pytest.raises(mv.MultiviewError, match="is a link to"):
        save_state(out) if name == "checkpoints" else Metrics(out)
    assert not list(elsewhere.iterdir())


def test_many_processes_may_write_one_file(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: replace_text(tmp_path / "file", str(n) * 1000), range(100)))
    assert len(set((tmp_path / "file").read_text())) <= 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def npz(path: Path, shape: tuple[int, ...], body: int, zeros: int = 0) -> Path:
    """An .npz whose header says uint8 of `shape`, with `body` bytes and `zeros` MB of zeros."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("x.npy", "w") as file,
    ):
        file.write(header.getvalue() + b"\0" * body)
        for _ in range(zeros):
            file.write(bytes(1 << 20))
    return path


def test_a_bomb_of_zeros_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    with pytest.raises(mv.MultiviewError, match="decompression bomb"):
        arrayfiles.headers(npz(tmp_path / "bomb.npz", (600 << 20,), 0, zeros=600))


@pytest.mark.parametrize("shape", [(1 << 40,), (1000, 1000, 1000, 1000), (100, 2)])
def test_a_header_that_promises_more_than_there_is_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(mv.MultiviewError, match="says that it has"):
        arrayfiles.headers(npz(tmp_path / "lie.npz", shape, 100))


@pytest.mark.parametrize(
    ("shape", "chunks"), [((1 << 20, 1 << 10), (1 << 10, 1 << 10)), ((1 << 10, 1 << 20), (1 << 9, 1 << 20))]
)
def test_an_hdf5_bomb_is_refused(shape: tuple[int, int], chunks: tuple[int, int], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        data = file.create_dataset("x", shape, "u1", chunks=chunks, compression="gzip")
        data[0, 0] = 1 if chunks[1] < 1 << 20 else 0
    with pytest.raises(mv.MultiviewError, match="decompression bomb"):
        arrayfiles.headers(tmp_path / "bomb.h5")


def plant(file: h5py.File, name: str, shape: tuple[int, ...], dtype: str, chunks: tuple[int, ...]) -> None:
    """A dataset of which nothing is written, in place of the dataset of a shard."""
    del file[name]
    file.create_dataset(name, shape, dtype, chunks=chunks, fletcher32=True)


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "chunks"),
    [
        ("image", (4, 60_000, 60_000, 3), "u1", (1, 30_000, 30_000, 3)),
        ("image", (4, 30_000, 30_000, 3), "u1", (1, 30_000, 30_000, 3)),
        ("depth", (4, 20_000, 20_000), "<f4", (1, 20_000, 20_000)),
        ("label", (1 << 40,), "<i8", (1 << 10,)),
        ("present/image", (1 << 40,), "u1", (1 << 10,)),
    ],
)
def test_a_shard_that_would_become_gigabytes_is_refused_by_its_reader(
    name: str, shape: tuple[int, ...], dtype: str, chunks: tuple[int, ...], tmp_path: Path
) -> None:
    preprocess(Scenes(count=4, size=16), None, tmp_path / "store")
    shard = next((tmp_path / "store").glob("*.h5"))
    with h5py.File(shard, "r+") as file:
        plant(file, name, shape, dtype, chunks)
    text = json.loads((tmp_path / "store" / "manifest.json").read_text())
    text.pop("checksum")
    text["shards"][0]["size"] = shard.stat().st_size
    for modality in text["modalities"]:
        if modality["name"] == name:
            modality["shape"] = list(shape[1:])
    (tmp_path / "store" / "manifest.json").write_text(json.dumps(text))
    (tmp_path / "store" / columnfile.NAME).unlink()  # its labels would be used
    tracemalloc.start()
    try:
        with pytest.raises(mv.MultiviewError, match=r"is damaged|no sample has the shape"):
            store = mv.Store.open(tmp_path / "store")
            assert len(store.labels) == 4  # labels are not read with the samples
            store.read([0, 1], "depth" if name == "depth" else "image")
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rate", [1, 10, 99, 4_000_000])
def test_a_rate_that_no_sound_has_is_refused(rate: int, tmp_path: Path) -> None:
    file = tmp_path / "sound.wav"
    soundfile.write(str(file), np.zeros(100), 8000)
    content = bytearray(file.read_bytes())
    content[24:32] = struct.pack("<II", rate, 2 * rate)
    file.write_bytes(content)
    for read in (audiofiles.header, audiofiles.read_wave):
        with pytest.raises(BadSample, match="not plausible"):
            read(file, "sound")


@pytest.mark.parametrize("rate", [8000, 48000, 192000])
def test_rates_of_sounds_are_read(rate: int, tmp_path: Path) -> None:
    soundfile.write(str(tmp_path / "sound.wav"), np.zeros(100), rate)
    assert audiofiles.header(tmp_path / "sound.wav", "sound").rate == rate


@pytest.mark.parametrize(
    "playlist", ["#EXTM3U\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile {other}\n"]
)
def test_a_playlist_under_a_videos_name_is_refused(playlist: str, tmp_path: Path) -> None:
    pytest.importorskip("av")
    from multiview.data.files import videofiles

    (tmp_path / "clip.mp4").write_text(playlist.format(other=tmp_path / "other.mp4"))
    with pytest.raises(BadSample, match="clip"):
        videofiles.header(tmp_path / "clip.mp4", "clip")
