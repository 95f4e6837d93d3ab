"""Processes, Ray and jobs with one folder write the same bytes; exact copies; disk space."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import toy_with_holes
from toy_with_holes import KINDS, Toy, hashes, make

from multiview.data.modality import Modality
from multiview.data.source import Plan, Row
from multiview.data.sources.scenes import Scenes
from multiview.data.store.reading import Store
from multiview.data.write import diskspace, executors, jobs
from multiview.data.write.finish import Report
from multiview.data.write.jobs import write_together
from multiview.data.write.preprocess import preprocess
from multiview.data.write.settings import Part
from multiview.errors import MultiviewError

undivided = toy_with_holes.undivided


class Broken(Toy):
    """Ends with an error at sample 30."""

    def read(self, number: int) -> Mapping[str, np.ndarray]:
        if number == 30:
            raise RuntimeError("lost")
        return super().read(number)


def together(out: Path, shard: str | None, source: object = None) -> Report:
    options = {"name": "toy", "shard_rows": 8, "max_bad": 0.2}
    return write_together(source or Toy(), None, out, shard=shard, **options)  # type: ignore[arg-type]


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


def test_two_last_jobs_join_the_parts_once(tmp_path: Path, undivided: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second last job waits until the first has joined and removed the parts; the store stays."""
    out, remove, late = tmp_path / "out", shutil.rmtree, ThreadPoolExecutor(1)
    first, joined = together(out, "1/2"), []

    def remove_slowly(path: Path, **options: bool) -> None:
        joined.append(late.submit(jobs._joined, out, Part(1, 2), first, True))
        time.sleep(0.2)
        assert not joined[0].done()
        remove(path, **options)

    monkeypatch.setattr(jobs.shutil, "rmtree", remove_slowly)
    assert together(out, "2/2").written == 56
    assert joined[0].result(30).notes == (f"{out} is whole: another job has joined the parts.",)
    assert len(joined) == 1
    assert hashes(out) == hashes(undivided)
    late.shutdown()


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


ACROSS = "(2 of them in another split than the sample that they equal)"


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        (("train",) * 4, "2 samples are exact copies of others, listed in"),
        (("train", "test", "train", "val"), "2 samples are exact copies of others (1 of them in another split than"),
        (("train", None, "train", "train"), "2 samples are exact copies of others, listed in"),
        (("test", "train", "train"), "1 sample is an exact copy of another (in another split), listed in"),
    ],
)
def test_copies_in_another_split_are_counted(splits: tuple[str | None, ...], said: str, tmp_path: Path) -> None:
    """Rows 0 and 2 are equal, and so are 1 and 3; each is in a shard of its own."""
    kinds = (Modality(name="x", kind="table", dtype="float32", shape=(2,), unit=""),)

    class Pairs:
        needs_input: ClassVar[bool] = False

        def plan(self, root: Path | None) -> Plan:
            return Plan([Row(f"r{n}", split=split) for n, split in enumerate(splits)], kinds, self.read)

        def read(self, number: int) -> dict[str, np.ndarray]:
            return {"x": np.full(2, number % 2, "float32")}

    notes = preprocess(Pairs(), None, tmp_path / "out", shard_rows=1).notes
    assert any(note.startswith(said) for note in notes), notes


def test_exact_copies_are_listed(undivided: Path, tmp_path: Path) -> None:
    report = make(tmp_path / "out")
    assert any(note.startswith(f"2 samples are exact copies of others {ACROSS}, listed in") for note in report.notes)
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
    with pytest.raises(MultiviewError, match=re.escape(f"others {ACROSS}, the first 's25' of 's5'")):
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


@pytest.mark.parametrize(
    ("name", "message"),
    [("RayTaskError", "^lost$"), ("OutOfMemoryError", "memory ran out"), ("NodeDiedError", "the Ray cluster was lost")],
)
def test_faults_of_ray_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    base = type("RayError", (Exception,), {})
    kinds = {each: type(each, (base,), {}) for each in ("RayTaskError", "OutOfMemoryError", "NodeDiedError")}

    def fail(_: object) -> None:
        raise kinds[name]("lost")

    task = SimpleNamespace(remote=lambda *_: None)
    ray = SimpleNamespace(
        exceptions=SimpleNamespace(RayError=base, **kinds),
        is_initialized=lambda: True,
        put=lambda job: job,
        remote=lambda _: task,
        wait=lambda waiting: (waiting[:1], waiting[1:]),
        get=fail,
    )
    monkeypatch.setattr(executors, "_import_ray", lambda: ray)
    with pytest.raises(kinds[name] if name == "RayTaskError" else MultiviewError, match=message):
        make(tmp_path / "out", engine="ray")


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
