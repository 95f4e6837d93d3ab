"""Processes, Ray and merged jobs write the same bytes; exact copies; disk space; splits."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from multiview.cli import main, run
from multiview.data.modality import ANY, Modality
from multiview.data.source import BadSample, Plan, Row
from multiview.data.sources.scenes import Scenes
from multiview.data.store.reading import Store
from multiview.data.write import diskspace
from multiview.data.write.derived import Resplit
from multiview.data.write.finish import Report
from multiview.data.write.jobs import write_together
from multiview.data.write.merge import merge
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError

KINDS = (
    Modality(name="image", kind="image", dtype="uint8", shape=(6, 6, 3), unit="sRGB"),
    Modality(name="sound", kind="audio", dtype="int16", shape=(ANY,), unit="", rate=100),
)


@dataclass(frozen=True)
class Toy:
    """Noise with absent samples; every 25th equals the 20th before it. `fatal` ends its process."""

    count: int = 60
    bad: int = 17
    fatal: int = -1

    needs_input: ClassVar[bool] = False

    def plan(self, root: Path | None) -> Plan:
        rows = [
            Row(f"s{n}", label="ab"[n % 2], split=("train", "test")[n % 3 > 1], factors={"group": n // 6})
            for n in range(self.count)
        ]
        return Plan(rows, KINDS, self.read)

    def read(self, number: int) -> Mapping[str, np.ndarray]:
        if number == self.fatal:
            os._exit(9)
        if number % self.bad == 1:
            raise BadSample(f"toy-{number}: broken")
        content = number - 20 if number and number % 25 == 0 else number
        rng = np.random.default_rng(content)
        image = rng.integers(0, 256, (6, 6, 3), dtype="uint8")
        sound = rng.integers(-99, 99, 20 + content, dtype="int16")
        return {"image": image, "sound": sound} if content % 7 else {"image": image}


def make(out: Path, source: object = None, **options: object) -> Report:
    return preprocess(source or Toy(), None, out, name="toy", **{"shard_rows": 8, "max_bad": 0.2, **options})  # type: ignore[arg-type]


class Broken(Toy):
    """Ends with an error at sample 30."""

    def read(self, number: int) -> Mapping[str, np.ndarray]:
        if number == 30:
            raise RuntimeError("lost")
        return super().read(number)


def together(out: Path, shard: str | None, source: object = None) -> Report:
    options = {"name": "toy", "shard_rows": 8, "max_bad": 0.2}
    return write_together(source or Toy(), None, out, shard=shard, **options)  # type: ignore[arg-type]


def hashes(out: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}


@pytest.fixture(scope="module")
def undivided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "store"
    make(out)
    return out


@pytest.mark.parametrize("workers", [2, 3])
def test_processes_write_the_same_bytes(tmp_path: Path, undivided: Path, workers: int) -> None:
    seen: list[tuple[int, int, int]] = []
    report = make(tmp_path / "out", workers=workers, progress=lambda *each: seen.append(each))
    assert hashes(tmp_path / "out") == hashes(undivided)
    assert (report.written, report.rejected, report.shards) == (56, 4, 8)
    assert seen[-1] == (60, 60, 4)
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)


def test_processes_reuse_shards_of_an_earlier_run(tmp_path: Path, undivided: Path) -> None:
    shutil.copytree(undivided, tmp_path / "out")
    (tmp_path / "out" / "shard-00003.h5").unlink()
    report = make(tmp_path / "out", workers=2)
    assert report.reused == 7
    assert hashes(tmp_path / "out") == hashes(undivided)


def test_too_many_bad_samples_of_several_processes(tmp_path: Path) -> None:
    with pytest.raises(MultiviewError, match=r"of 60 samples cannot be read, more than --max_bad 2 allows"):
        make(tmp_path / "out", workers=2, max_bad=2)
    assert not list((tmp_path / "out").glob("*.partial"))
    assert make(tmp_path / "out", workers=2, max_bad=4).rejected == 4


def test_a_worker_that_dies_says_where(tmp_path: Path, undivided: Path) -> None:
    with pytest.raises(
        MultiviewError, match=r"a worker stopped at shard 3 \(exit code 9\).* Run the same command again"
    ):
        make(tmp_path / "out", Toy(fatal=30), workers=2)
    assert not list((tmp_path / "out").glob("*.partial"))
    whole = {path.name for path in (tmp_path / "out").glob("shard-*")}
    assert "shard-00003.h5" not in whole


def test_a_script_without_a_main_guard_ends_with_an_error(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path\nfrom multiview.data.write.preprocess import preprocess\n"
        "from multiview.data.sources.scenes import Scenes\n"
        f"preprocess(Scenes(count=600, size=8), None, Path({str(tmp_path / 'out')!r}), shard_rows=200, workers=2)\n"
    )
    job = subprocess.run([sys.executable], input=code, capture_output=True, text=True, timeout=120, check=False)
    assert job.returncode == 1
    assert "a worker stopped at shard" in job.stderr.splitlines()[-1]


def test_a_source_that_cannot_be_pickled_is_refused(tmp_path: Path) -> None:
    source = SimpleNamespace(needs_input=False, plan=lambda _: Plan([Row("a"), Row("b")], KINDS[:1], lambda _: {}))
    with pytest.raises(MultiviewError, match=r"the source cannot be sent to worker processes: .* Use --workers 1"):
        make(tmp_path / "out", source, shard_rows=1, workers=2)


ORPHANED = """
import sys; sys.path.insert(0, {tests!r})
from pathlib import Path
import test_writing as t
if __name__ == "__main__":
    print("begins", flush=True)
    t.preprocess(t.Scenes(count=400, size=64), None, Path({out!r}), name="scenes", shard_rows=40, workers=2)
"""


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code = tmp_path / "job.py"
    code.write_text(ORPHANED.format(tests=str(Path(__file__).parent), out=str(out)))
    job = subprocess.Popen([sys.executable, str(code)], stdout=subprocess.PIPE, text=True, start_new_session=True)
    for _ in range(2000):
        if list(out.glob("shard-*")):
            break
        time.sleep(0.02)
    job.kill()
    job.wait(30)
    assert job.stdout is not None
    job.stdout.close()
    for _ in range(500):
        if not _session(job.pid):
            break
        time.sleep(0.02)
    assert not _session(job.pid)


def _session(leader: int) -> list[int]:
    """The running processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_merged_parts_equal_the_undivided_run(tmp_path: Path, undivided: Path, order: tuple[int, ...]) -> None:
    for number in (1, 2, 3):
        make(tmp_path / f"part{number}", shard=f"{number}/3")
    counts = [len(Store.open(tmp_path / f"part{number}")) for number in (1, 2, 3)]
    assert sum(counts) == 56
    assert min(counts) > 10
    report = merge(tmp_path / "out", [tmp_path / f"part{number}" for number in order])
    assert hashes(tmp_path / "out") == hashes(undivided)
    assert (report.written, report.rejected) == (56, 4)
    assert merge(tmp_path / "out", [tmp_path / f"part{number}" for number in order]).already


def test_jobs_with_one_folder_make_the_store_of_one_run(tmp_path: Path, undivided: Path) -> None:
    """The last job joins the parts; a lost job is given again; then the store is whole."""
    out = tmp_path / "out"
    for number in (3, 1):
        report = together(out, f"{number}/3")
        assert report.part
    assert f"part 1/3 of {out} is there; it becomes a store when the jobs of 2/3 are done too." in report.lines()
    with pytest.raises(MultiviewError, match="is no store"):
        Store.open(out)
    with pytest.raises(MultiviewError, match="the source failed at sample 's30'"):
        together(out, "2/3", Broken())
    begun = (out / ".parts/2-of-3/shard-00002.h5").stat()
    report = together(out, "2/3")
    assert (report.part, report.written, report.rejected) == (False, 56, 4)
    assert (out / "shard-00002.h5").stat().st_mtime_ns == begun.st_mtime_ns
    assert hashes(out) == hashes(undivided)
    assert not (out / ".parts").exists()
    assert together(out, "1/3").already
    with pytest.raises(MultiviewError, match="give each job its --shard"):
        together(out, None)


def test_merging_incomplete_or_foreign_parts_is_refused(tmp_path: Path) -> None:
    for number in (1, 2):
        make(tmp_path / f"part{number}", shard=f"{number}/3")
    make(tmp_path / "other", Toy(count=59), shard="3/3")
    one, two, other = (tmp_path / name for name in ("part1", "part2", "other"))
    with pytest.raises(MultiviewError, match=r"part 3/3 is not there; give all 3 parts"):
        merge(tmp_path / "out", [one, two])
    with pytest.raises(MultiviewError, match=r"are both part 1/3; give each part once"):
        merge(tmp_path / "out", [one, one, two])
    with pytest.raises(MultiviewError, match=r"are parts of different stores; merge the parts of one command"):
        merge(tmp_path / "out", [one, two, other])
    with pytest.raises(MultiviewError, match=r"it holds|holds another store: its part is 1/3, not 2/3"):
        make(one, shard="2/3")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shard": "0/4"}, r"shard is '0/4'; give NUMBER/COUNT, from 1/8 to 8/8"),
        ({"shard": "5/4"}, r"shard is '5/4'"),
        ({"shard": "x"}, r"shard is 'x'"),
        ({"shard": "1/9"}, r"60 samples make 8 shard files of 8, fewer than 9 jobs"),
        ({"shard": "1/2", "duplicates": "drop"}, r"one part of a store cannot be compared with the other parts"),
        ({"workers": -1}, r"workers is -1"),
        ({"engine": "spark"}, r"'spark' is not an? engine; available: local, ray"),
        ({"duplicates": "keeep"}, r"Did you mean 'keep'"),
    ],
)
def test_invalid_settings_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(MultiviewError, match=message):
        make(tmp_path / "out", **options)


def test_exact_copies_are_listed(undivided: Path, tmp_path: Path) -> None:
    report = make(tmp_path / "out")
    assert any(note.startswith("2 samples are exact copies of others, listed in") for note in report.notes)
    lines = [json.loads(line) for line in (undivided / "duplicates.jsonl").read_text().splitlines()]
    assert lines == [{"id": "s25", "copy_of": "s5"}, {"id": "s50", "copy_of": "s30"}]


def test_exact_copies_are_left_out(tmp_path: Path, undivided: Path) -> None:
    report = make(tmp_path / "out", duplicates="drop", max_bad=4)
    assert (report.written, report.rejected) == (54, 6)
    assert "2 samples are exact copies of others: left out." in report.notes
    assert not (tmp_path / "out" / "duplicates.jsonl").exists()
    rejects = [json.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()]
    assert {"id": "s25", "reason": "s25: exact copy of s5", "copy_of": "s5"} in rejects
    assert [name for name in Store.open(undivided).ids if name not in ("s25", "s50")] == Store.open(
        tmp_path / "out"
    ).ids
    before = hashes(tmp_path / "out")
    (tmp_path / "out" / "shard-00003.h5").unlink()  # it holds one of them
    make(tmp_path / "out", duplicates="drop", max_bad=4)
    assert hashes(tmp_path / "out") == before


def test_exact_copies_can_be_refused(tmp_path: Path) -> None:
    with pytest.raises(MultiviewError, match=r"2 samples are exact copies of others, the first 's25' of 's5'"):
        make(tmp_path / "out", duplicates="error")
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_a_disk_that_is_too_small_is_refused_with_both_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diskspace.shutil, "disk_usage", lambda _: SimpleNamespace(free=9000))
    with pytest.raises(MultiviewError, match=r"the store needs about 1[01].* kB and the disk of .* has 9 kB free"):
        make(tmp_path / "out")
    assert not list((tmp_path / "out").glob("shard-*"))
    monkeypatch.setattr(diskspace.shutil, "disk_usage", lambda _: SimpleNamespace(free=14_000))
    make(tmp_path / "out")


def test_existing_shards_need_no_space(tmp_path: Path, undivided: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(undivided, tmp_path / "out")
    (tmp_path / "out" / "manifest.json").unlink()
    (tmp_path / "out" / ".unfinished").write_text(Store.open(undivided).manifest.provenance.origin() + "\n")
    monkeypatch.setattr(diskspace.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    assert make(tmp_path / "out").reused == 8


def content(store: Store) -> dict[str, tuple[bytes, ...]]:
    columns = [store.read(store.rows(), kind.name) for kind in KINDS]
    return {name: tuple(array.tobytes() for array in arrays) for name, *arrays in zip(store.ids, *columns, strict=True)}


def test_other_stores_are_merged_one_after_the_other(tmp_path: Path, undivided: Path) -> None:
    @dataclass(frozen=True)
    class More(Toy):
        def plan(self, root: Path | None) -> Plan:
            rows = [Row(f"t{n}", label="cb"[n % 2], split="val") for n in range(5)]
            return Plan(rows, KINDS[:1], lambda n: {"image": np.full((6, 6, 3), n, "uint8")})

    preprocess(More(), None, tmp_path / "more")
    report = merge(tmp_path / "out", [undivided, tmp_path / "more"])
    store, first = Store.open(tmp_path / "out"), Store.open(undivided)
    assert report.written == len(store) == 61
    assert store.ids == first.ids + [f"t{n}" for n in range(5)]
    assert store.manifest.classes == ("a", "b", "c")
    assert dict(store.manifest.splits) == {"train": 37, "val": 5, "test": 19}
    assert [store.manifest.classes[label] for label in store.labels[-5:]] == list("cbcbc")
    assert store.present("sound")[-5:].tolist() == [False] * 5
    assert content(first).items() <= content(store).items()
    assert np.array_equal(store.factor("group")[:56], first.factor("group"))
    with pytest.raises(MultiviewError, match=r"both .*more and .*more hold a sample 't0'"):
        merge(tmp_path / "again", [tmp_path / "more", tmp_path / "more"])
    with pytest.raises(MultiviewError, match=r"is one of the stores to merge"):
        merge(undivided, [undivided, tmp_path / "more"])


def splits_of(store: Store) -> list[str | None]:
    names: list[str | None] = [None] * len(store)
    for name in store.split_names:
        for row in store.rows(name):
            names[row] = name
    return names


@pytest.mark.parametrize("by", ["id", "class", "group"])
def test_a_store_in_new_splits(tmp_path: Path, undivided: Path, by: str) -> None:
    old = Store.open(undivided)
    preprocess(Resplit(store=str(undivided), split="50/20/30", by=by), None, tmp_path / "out", name="split")
    store = Store.open(tmp_path / "out")
    assert content(store) == content(old)
    assert store.split_names == ("train", "val", "test")
    names = np.array(splits_of(store))
    if by == "class":
        for label in (0, 1):
            share = [(names[store.labels == label] == name).mean() for name in store.split_names]
            assert share == pytest.approx([0.5, 0.2, 0.3], abs=0.02)
    if by == "group":
        assert all(len(set(names[store.factor("group") == group])) == 1 for group in range(10))
    train = np.concatenate([each.reshape(-1, 3) for each in store.read(store.rows("train"), "image")])
    np.testing.assert_allclose(store.manifest.statistics["image"].mean, train.mean(axis=0))
    assert store.manifest.provenance.options["of"] == old.manifest.hash


def test_splits_by_a_table(tmp_path: Path, undivided: Path) -> None:
    table = tmp_path / "splits.csv"
    table.write_text("id,split\ns0,test\ns2,valid\nelsewhere,train\n")
    assert run(["split", str(undivided), str(tmp_path / "out"), "--by", str(table), "--workers", "1"]) == 0
    store = Store.open(tmp_path / "out")
    assert {name: split for name, split in zip(store.ids, splits_of(store), strict=True) if split} == {
        "s0": "test",
        "s2": "val",
    }
    table.write_text("id,split\nelsewhere,train\n")
    with pytest.raises(
        MultiviewError, match=r"no id of .*splits.csv is in the store; the ids of the store look like 's0'"
    ):
        Resplit(store=str(undivided), by=str(table)).plan(None)
    with pytest.raises(MultiviewError, match=r"'gruop' is not an? way to split; .*Did you mean 'group'"):
        Resplit(store=str(undivided), by="gruop").plan(None)


def test_merge_and_split_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2):
        words = ["--count", "6", "--size", "8", "--shard-rows", "2", "--workers", "1", "--shard", f"{number}/2"]
        assert run(["preprocess", "scenes", str(tmp_path / f"p{number}"), *words]) == 0
    assert run(["merge", str(tmp_path / "out"), str(tmp_path / "p1"), str(tmp_path / "p2")]) == 0
    assert f"{tmp_path / 'out'}: 6 samples in 3 shards." in capsys.readouterr().out
    for words, code in ((["merge", "--help"], 0), (["merge", str(tmp_path / "out")], 2)):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == code


RAY = """
import sys
from pathlib import Path
from multiview.data.write.preprocess import preprocess
from multiview.data.sources.scenes import Scenes
if __name__ == "__main__":
    report = preprocess(
        Scenes(count=12, size=16), None, Path(sys.argv[1]), name="scenes", shard_rows=3, workers=2, engine="ray"
    )
    print(report.written, report.shards)
"""


@pytest.mark.slow
def test_ray_writes_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    preprocess(Scenes(count=12, size=16), None, tmp_path / "local", name="scenes", shard_rows=3)
    job = subprocess.run(
        [sys.executable, "-c", RAY, str(tmp_path / "ray")], capture_output=True, text=True, timeout=300, check=False
    )
    assert job.returncode == 0, job.stderr
    assert job.stdout.split()[-2:] == ["12", "4"]
    assert hashes(tmp_path / "ray") == hashes(tmp_path / "local")
