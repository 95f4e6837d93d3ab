"""Unreadable samples are left out and listed; too many of them are an error."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toys import Toy, hashes, make

from multiview.data.sources.folder import Folder
from multiview.data.store.reading import Store
from multiview.data.write.finish import Report
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError


def test_rejects_are_listed_and_leave_the_other_rows_alone(tmp_path: Path) -> None:
    report = make(tmp_path / "out", Toy(bad=25), max_bad=3)
    assert (report.written, report.rejected) == (57, 3)
    assert "3 rejected, see" in report.lines()[-1]
    lines = [json.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()]
    assert lines == [{"id": str(number), "reason": f"toy-{number}.png: broken"} for number in (0, 25, 50)]
    store = Store.open(tmp_path / "out")
    assert [shard.rows for shard in store.manifest.shards] == [9, 10, 9, 10, 10, 9]
    assert store.ids == [str(number) for number in range(60) if number % 25]


@pytest.mark.parametrize("max_bad", [2, 0.04, 0, 0.0])
def test_too_many_rejects(tmp_path: Path, max_bad: float) -> None:
    out = tmp_path / "out"
    with pytest.raises(MultiviewError, match=r"of 60 samples cannot be read, more than --max_bad") as error:
        make(out, Toy(bad=25), max_bad=max_bad)
    assert "toy-0.png: broken" in str(error.value)
    assert "`multiview preprocess SOURCE INPUT OUT --max_bad NUMBER_OR_SHARE`" in str(error.value)
    assert not (out / "manifest.json").exists()
    assert not list(out.glob("*.partial"))
    assert "toy-0.png" in (out / "rejects.jsonl").read_text()
    more = make(out, Toy(bad=25), max_bad=0.05)  # exactly the share there is
    assert more.rejected == 3
    make(tmp_path / "undisturbed", Toy(bad=25), max_bad=0.05)
    assert hashes(out) == hashes(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    ("shard_rows", "count", "listed"),
    [(100, "3 of 60 samples", "All are"), (10, "at least ", "Those found so far are")],
)
def test_all_bad_samples_are_named_at_once(shard_rows: int, count: str, listed: str, tmp_path: Path) -> None:
    with pytest.raises(MultiviewError) as error:
        preprocess(Toy(bad=25), None, tmp_path / "out", shard_rows=shard_rows, max_bad=0)
    assert str(error.value).startswith(count)
    assert f"{listed} listed in" in str(error.value)
    if shard_rows == 100:
        text = (tmp_path / "out" / "rejects.jsonl").read_text()
        assert all(f"toy-{number}.png" in text for number in (0, 25, 50))


def test_after_too_many_rejects_mended_files_are_read_by_the_same_command(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    pictures = [folder / "ab"[number % 2] / f"{number:02d}.png" for number in range(24)]
    for number, path in enumerate(pictures):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), number, "uint8")).save(path)
    shutil.copytree(folder, tmp_path / "whole")
    bad = [pictures[0], pictures[2], pictures[23]]
    for path in bad:
        path.write_bytes(b"no picture")

    def again(out: Path = out) -> Report:
        return preprocess(Folder(), folder, out, shard_rows=4, max_bad=2)

    with pytest.raises(
        MultiviewError, match=r"run the same command again: it continues .* remove files .* --overwrite"
    ):
        again()
    assert (out / "shard-00000.h5").exists(), "a shard that is whole, without the first two"
    for path in bad:
        shutil.copy(tmp_path / "whole" / path.relative_to(folder), path)
    report = again()
    assert (report.written, report.rejected) == (24, 0)
    assert any(
        "shard-00000.h5: written again, because samples that it lacks can be read" in note for note in report.notes
    )
    again(tmp_path / "undisturbed")
    assert hashes(out) == hashes(tmp_path / "undisturbed")


def test_after_too_many_rejects_files_that_are_gone_need_overwrite(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / "in" / "a").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), number, "uint8")).save(tmp_path / "in" / "a" / f"{number}.png")
    (tmp_path / "in" / "a" / "5.png").write_bytes(b"no picture")
    with pytest.raises(MultiviewError, match="more than --max_bad 0 allows"):
        preprocess(Folder(), tmp_path / "in", tmp_path / "out", max_bad=0)
    (tmp_path / "in" / "a" / "5.png").unlink()
    with pytest.raises(MultiviewError, match=r"an input that has changed since.*--overwrite"):
        preprocess(Folder(), tmp_path / "in", tmp_path / "out", max_bad=0)
    assert preprocess(Folder(), tmp_path / "in", tmp_path / "out", max_bad=0, overwrite=True).written == 5


def test_no_sample_at_all(tmp_path: Path) -> None:
    with pytest.raises(MultiviewError, match="60 of 60 samples cannot be read"):
        make(tmp_path / "out", Toy(bad=1), max_bad=1000)
    with pytest.raises(MultiviewError, match="found no sample"):
        make(tmp_path / "none", Toy(count=0))
