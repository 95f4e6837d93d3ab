"""Class folders of clips: frames at a rate, sound tracks, and every kind of damage."""

from __future__ import annotations

import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from clips import write_clip

from multiview.data.files import videofiles
from multiview.data.source import BadSample
from multiview.data.sources.video import Video
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError

pytest.importorskip("av")


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    root = tmp_path / "Clips, größer"
    write_clip(root / "up hill" / "1.mp4")
    write_clip(root / "up hill" / "2.mkv", frames=12)
    write_clip(root / "down" / "3.mp4", sound=None)
    return root


def test_frames_and_sound_tracks(clips: Path, tmp_path: Path) -> None:
    report = preprocess(Video(), clips, tmp_path / "out")
    store = Store.open(report.out)
    assert (report.written, report.rejected) == (3, 0)
    video, audio = store.manifest.modalities
    assert (video.kind, video.shape, video.rate) == ("video", (-1, 32, 32, 3), 10)
    assert (audio.kind, audio.shape, audio.rate) == ("audio", (-1,), 8000)
    assert store.ids == ["down/3", "up hill/1", "up hill/2"]
    assert store.manifest.classes == ("down", "up hill")
    assert store.present("audio").tolist() == [False, True, True]
    assert [len(frames) for frames in store.read([0, 1, 2], "video")] == [20, 20, 12]
    frames = store.read([1], "video")[0]
    np.testing.assert_allclose(frames.mean((1, 2, 3)), 10 * np.arange(20) + 20, atol=4)
    sound = store.read([1], "audio")[0] / 32768
    assert abs(len(sound) / 8000 - 2) < 0.3  # AAC pads
    assert abs(np.abs(np.fft.rfft(sound[2000:10000])).argmax() - 440) < 3


def test_frames_are_those_on_the_screen_at_that_time(clips: Path) -> None:
    slow = Video(fps=4, size=16).plan(clips)
    assert slow.modalities[0].shape == (-1, 16, 16, 3)
    got = slow.read(1)["video"].mean((1, 2, 3))
    shown = [int(0.25 * number * 10 + 1e-6) for number in range(8)]  # frame k is on the screen from k/10 s on
    np.testing.assert_allclose(got, [10 * number + 20 for number in shown], atol=4)
    fast = Video(fps=20).plan(clips).read(2)["video"].mean((1, 2, 3))
    np.testing.assert_allclose(fast, np.repeat(10 * np.arange(12) + 20, 2), atol=4)


def test_clips_can_get_one_length(clips: Path) -> None:
    plan = Video(seconds=1.5, rate=4000).plan(clips)
    assert [each.shape for each in plan.modalities] == [(15, 32, 32, 3), (6000,)]
    long, short = plan.read(1), plan.read(2)
    assert long["video"].shape == short["video"].shape == (15, 32, 32, 3)
    assert np.array_equal(short["video"][14], short["video"][11])
    assert long["audio"].shape == (6000,)
    assert set(Video(sound=False).plan(clips).read(1)) == {"video"}


@pytest.mark.parametrize(
    ("ending", "fast"), [("mp4", False), ("mp4", True), ("mkv", False), ("mov", False), ("avi", False)]
)
def test_truncated_clips_are_rejected(clips: Path, tmp_path: Path, ending: str, fast: bool) -> None:
    path = write_clip(clips / "down" / f"4.{ending}", frames=60, fast=fast)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    (clips / "down" / "5.mp4").write_text("hello")
    report = preprocess(Video(), clips, tmp_path / "out", max_bad=2)
    assert (report.written, report.rejected) == (3, 2)
    rejects = (tmp_path / "out" / "rejects.jsonl").read_text(encoding="utf-8")
    assert f"down/4.{ending}: " in rejects
    assert "down/5.mp4: " in rejects


def test_mistakes_with_clips(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadSample, match=r"^x: missing file$"):
        videofiles.header(tmp_path / "gone.mp4", "x")
    with pytest.raises(MultiviewError, match="fps is 0; give frames per second"):
        Video(fps=0)
    with pytest.raises(MultiviewError, match=r"there is no clip below"):
        Video().plan(Path(tmp_path / "empty").mkdir() or tmp_path / "empty")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(
        MultiviewError, match=r"video needs PyAV; install it with `pip install 'multiview-cmc\[video\]'`"
    ):
        Video().plan(clips)


def test_huge_frames_are_refused(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videofiles, "LARGEST", 32 * 32 - 1)
    with pytest.raises(BadSample, match=r"^x: refused as a decompression bomb: pictures of 32x32"):
        videofiles.header(clips / "up hill" / "1.mp4", "x")


def test_rotated_clips_are_turned_upright(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "x.mp4", frames=5, sound=None, corner=True)
    upright = Video().plan(tmp_path).read(0)["video"][0]
    assert upright[:6, :6].min() > 200
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44  # the display matrix of ISO/IEC 14496-12, 8.3.2: a quarter turn clockwise
    data[place : place + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 32 << 16, 0, 1 << 30)
    path.write_bytes(data)
    turned = Video().plan(tmp_path).read(0)["video"][0]
    assert turned[:6, -6:].min() > 200
    assert turned[:6, :6].max() < 60


def test_a_clip_that_fills_the_memory_is_rejected(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(videofiles, "MOST", 10 * 32 * 32 * 3)
    with pytest.raises(BadSample, match=r"1\.mp4: has more than 0 GB of pictures; give --seconds, --fps or --size"):
        Video().plan(clips).read(1)
    assert Video(seconds=0.5).plan(clips).read(1)["video"].shape == (5, 32, 32, 3)


@pytest.mark.parametrize("late_pictures", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("sound", [None, 8000])
@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov", "avi"])
def test_a_clip_whose_pictures_start_late_is_whole(
    tmp_path: Path, ending: str, sound: int | None, late_pictures: float
) -> None:
    write_clip(tmp_path / f"x.{ending}", frames=20, sound=sound, late_pictures=late_pictures)
    sample = Video().plan(tmp_path).read(0)
    assert len(sample["video"]) >= 19
    assert "audio" not in sample or 0 < len(sample["audio"]) / 8000 < 2.5


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])  # an AVI does not hold the late start of a track
@pytest.mark.parametrize(("late_pictures", "late_sound"), [(0.0, 1.0), (1.0, 0.0), (3.0, 0.0), (2.0, 0.5), (0.0, 0.3)])
def test_sound_and_pictures_have_one_clock(
    tmp_path: Path, ending: str, late_pictures: float, late_sound: float
) -> None:
    write_clip(tmp_path / f"x.{ending}", frames=40, late_pictures=late_pictures, late_sound=late_sound)
    plan = Video().plan(tmp_path)
    sample = plan.read(0)
    assert abs(len(sample["video"]) - 40) <= 1
    sound = np.abs(sample["audio"].astype("float64"))
    loud = np.flatnonzero(sound > 3000)
    offset = late_sound - late_pictures
    assert abs(loud[0] / 8000 - max(offset, 0)) < 0.15
    assert abs(loud[-1] / 8000 - (offset + 4)) < 0.25
    said = [note for note in plan.notes if "do not begin with the pictures" in note]
    assert len(said) == 1
    seconds = re.search(r"the farthest ([\d.]+) s", said[0])
    assert seconds is not None
    assert abs(float(seconds[1]) - abs(offset)) < 0.15
    assert ("after" if offset > 0 else "before") in said[0]


def test_clips_with_one_start_have_no_note(clips: Path) -> None:
    assert not any("do not begin with the pictures" in note for note in Video().plan(clips).notes)


def test_a_gap_in_a_sound_track_is_silence() -> None:
    parts = [(1.0, np.ones((1, 100))), (1.105, np.ones((1, 100))), (2.2, np.ones((1, 50)))]
    placed = videofiles._placed_sound(iter(parts), 1000, 0.5)
    assert placed.shape == (1, 1750)
    assert placed.nonzero()[1].tolist() == [*range(500, 700), *range(1700, 1750)]
    early = videofiles._placed_sound(iter(parts), 1000, 1.15)
    assert early.nonzero()[1].tolist() == [*range(55), *range(1050, 1100)]
