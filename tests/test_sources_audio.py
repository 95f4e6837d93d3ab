"""Class folders of sounds: rates, channels, lengths, and every kind of damage."""

from __future__ import annotations

import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from multiview.data.files import audiofiles
from multiview.data.files.audiofiles import SoundReader
from multiview.data.source import BadSample
from multiview.data.sources.audio import Audio
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError


def tone(samples: int = 800, rate: int = 8000, pitch: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * pitch * np.arange(samples) / rate)


def write(path: Path, wave: np.ndarray, rate: int = 8000, **options: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, **options)
    return path


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    root = tmp_path / "gesprochene Buchstaben ✓"
    for letter in ("a", "ß"):
        for number in range(3):
            write(root / letter / f"no {number}.wav", tone(400 + 100 * number))
    return root


def test_sounds_keep_every_sample_and_their_lengths(letters: Path, tmp_path: Path) -> None:
    stored = (tone(500) * 32768).round().astype("int16")
    soundfile.write(letters / "a" / "no 1.wav", stored, 8000)
    (letters / "leer").mkdir()
    report = preprocess(Audio(), letters, tmp_path / "out")
    store = Store.open(report.out)
    assert (report.written, report.rejected) == (6, 0)
    assert any("1 class folder without sounds left out: 'leer'" in note for note in report.notes)
    modality = store.modality("audio")
    assert (modality.kind, modality.dtype, modality.shape, modality.rate) == ("audio", "int16", (-1,), 8000)
    assert store.manifest.classes == ("a", "ß")
    sounds = store.read(range(6), "audio")
    assert [len(sound) for sound in sounds] == [400, 500, 600, 400, 500, 600]
    assert np.array_equal(sounds[1], stored)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3", "aiff", "au"])
def test_every_sound_format_is_read(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"x.{ending}", tone(8000), 16000)
    assert audiofiles.header(path, "x").rate == 16000
    wave, rate = audiofiles.read_wave(path, "x")
    assert (rate, wave.shape[1]) == (16000, 1)
    assert abs(np.abs(wave).max() - 0.5) < 0.1


def test_sounds_can_get_one_length(letters: Path) -> None:
    plan = Audio(seconds=0.0625).plan(letters)
    assert plan.modalities[0].shape == (500,)
    short, long = plan.read(0)["audio"], plan.read(2)["audio"]
    assert short.shape == long.shape == (500,)
    assert not short[400:].any()
    assert short[399] != 0


def test_sounds_are_resampled_to_one_rate(letters: Path) -> None:
    write(letters / "a" / "other.wav", tone(4410, 44100), 44100)
    plan = Audio().plan(letters)
    assert plan.modalities[0].rate == 8000
    assert "sounds at 44100 Hz are resampled to 8000 Hz; choose with --rate." in plan.notes
    got = plan.read([row.id for row in plan.rows].index("a/other"))["audio"]
    assert got.shape == (800,)
    np.testing.assert_allclose(got[100:700] / 32768, tone(800)[100:700], atol=0.005)
    slow = Audio(rate=4000).plan(letters)
    assert (slow.modalities[0].rate, slow.read(0)["audio"].shape) == (4000, (200,))


def test_channels_are_mixed_down_or_repeated(letters: Path, tmp_path: Path) -> None:
    both = np.stack([tone(300), np.zeros(300)], axis=1)
    write(letters / "a" / "stereo.wav", both)
    plan = Audio().plan(letters)
    number = [row.id for row in plan.rows].index("a/stereo")
    assert plan.modalities[0].shape == (-1,)
    np.testing.assert_allclose(plan.read(number)["audio"] / 32768, tone(300) / 2, atol=1e-4)
    stereo = Audio(channels=2).plan(letters)
    assert stereo.modalities[0].shape == (-1, 2)
    np.testing.assert_allclose(stereo.read(number)["audio"] / 32768, both, atol=1e-4)
    mono = stereo.read(0)["audio"]
    assert np.array_equal(mono[:, 0], mono[:, 1])
    many = write(tmp_path / "many.wav", np.zeros((9, 6)))
    with pytest.raises(BadSample, match="many: has 6 channels, the others 2; mix all down with --channels 1"):
        SoundReader(8000, 2, -1)(many, "many")


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("wav", r"truncated: 10027 of the 16044 bytes that its header promises"),
        ("aiff", r"truncated: \d+ of the \d+ bytes"),
        ("au", r"truncated: \d+ of the \d+ bytes"),
        ("mp3", r"truncated: \d+ of 8000 samples"),
        ("flac", "."),
        ("ogg", "truncated: its end is missing"),
    ],
)
def test_truncated_sounds_are_rejected(letters: Path, tmp_path: Path, ending: str, reason: str) -> None:
    path = write(letters / "a" / f"broken.{ending}", np.random.default_rng(0).uniform(-0.5, 0.5, 8000))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 5 // 8])
    with pytest.raises(BadSample, match=rf"^broken: {reason}"):
        audiofiles.read_wave(path, "broken")
    report = preprocess(Audio(), letters, tmp_path / "out", max_bad=1)
    assert (report.written, report.rejected) == (6, 1)
    assert f"a/broken.{ending}: " in (tmp_path / "out" / "rejects.jsonl").read_text(encoding="utf-8")


def test_files_that_are_no_sounds_are_named(tmp_path: Path) -> None:
    write(tmp_path / "none.wav", np.zeros(0))
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("hello, world")
    write(tmp_path / "nan.wav", np.array([0, np.nan, 0]), subtype="FLOAT")
    cases = {
        "none": "holds no sound: its length is 0",
        "empty": "is an empty file",
        "text": ".+",
        "nan": "holds values that are not finite",
        "gone": "missing file",
    }
    for name, reason in cases.items():
        with pytest.raises(BadSample, match=rf"^{name}\.wav: {reason}"):
            audiofiles.read_wave(tmp_path / f"{name}.wav", f"{name}.wav")
    with pytest.raises(MultiviewError, match=r"there is no sound below .* looked for \.aif, .* found no file at all"):
        Audio().plan(Path(tmp_path / "folder").mkdir() or tmp_path / "folder")
    (tmp_path / "folder" / "x.wav").write_text("no")
    with pytest.raises(MultiviewError, match=r"none of the 1 sounds below .* can be read; the first: x\.wav: "):
        Audio().plan(tmp_path / "folder")


@pytest.mark.parametrize("length", [0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFDB])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT", "PCM_24"])
def test_a_wav_from_a_pipe_is_read(tmp_path: Path, length: int, subtype: str) -> None:
    path = write(tmp_path / "x.wav", tone(100), subtype=subtype)
    whole, rate = audiofiles.read_wave(path, "x")
    assert len(whole) == 100
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = struct.pack("<I", length)
    data[4:8] = struct.pack("<I", min(length + 36, 0xFFFFFFFF))
    path.write_bytes(data)
    found, found_rate = audiofiles.read_wave(path, "x")
    assert audiofiles.header(path, "x").frames == 100
    np.testing.assert_array_equal(found, whole)
    assert found_rate == rate
    path.write_bytes(data[:-1])
    with pytest.raises(BadSample, match="truncated: it ends within a sample"):
        audiofiles.read_wave(path, "x")


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_sounds_above_full_scale_are_noted(letters: Path, subtype: str) -> None:
    write(letters / "a" / "loud.wav", tone(500) * 5, subtype=subtype)
    said = [note for note in Audio().plan(letters).notes if "times full scale" in note]
    assert len(said) == 1
    assert said[0].startswith("a/loud.wav: the sound reaches 2.5 times full scale")


def test_sounds_within_full_scale_are_not_noted(letters: Path) -> None:
    write(letters / "a" / "float.wav", tone(500), subtype="FLOAT")
    assert not any("full scale" in note for note in Audio().plan(letters).notes)


def test_mistakes_with_sounds() -> None:
    for options in ({"rate": 0}, {"channels": -1}, {"seconds": 0.0}):
        with pytest.raises(MultiviewError, match=f"{next(iter(options))} is .*; give more than 0"):
            Audio(**options)  # type: ignore[arg-type]
    with pytest.raises(MultiviewError, match="links is 'x'; give follow or skip"):
        Audio(links="x")  # type: ignore[arg-type]


def test_spoken_letters(shared: Path, tmp_path: Path) -> None:
    with tarfile.open(shared / "data" / "letters_multi.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    report = preprocess(Audio(), tmp_path / "letters_multi", tmp_path / "out")
    store = Store.open(report.out)
    assert (report.written, report.rejected) == (249, 0)
    assert len(store.manifest.classes) == 26
    assert store.modality("audio").rate == 8000
    assert abs(len(store.read([store.ids.index("a/de")], "audio")[0]) / 8000 - 0.95) < 0.01
