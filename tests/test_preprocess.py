"""Writing a store: kills, reruns, rejects, two writers, and folders that belong to somebody else."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import h5py
import numpy as np
import pytest
from PIL import Image

from multiview.data.lock import locked
from multiview.data.manifest import Manifest
from multiview.data.modality import Modality
from multiview.data.preprocess import Report, preprocess
from multiview.data.source import BadSample, Plan, Row
from multiview.data.sources.folder import Folder
from multiview.data.store import Store
from multiview.errors import MultiviewError

IMAGE = Modality(name="image", kind="image", dtype="uint8", shape=(8, 8, 3), unit="sRGB")


@dataclass(frozen=True)
class Toy:
    """Numbered noise; every `bad`-th sample cannot be read. `slow` seconds a sample are no option of the data."""

    count: int = 60
    bad: int = 0
    seed: int = 0

    needs_input: ClassVar[bool] = False
    slow: ClassVar[float] = 0.0

    def plan(self, root: Path | None) -> Plan:
        rows = [Row(f"{number}", label="ab"[number % 2], split="train") for number in range(self.count)]
        return Plan(rows, (IMAGE,), self.read, notes=("toys are numbered.",))

    def read(self, number: int) -> Mapping[str, np.ndarray]:
        time.sleep(self.slow)
        if self.bad and number % self.bad == 0:
            raise BadSample(f"toy-{number}.png: broken")
        return {"image": np.random.default_rng((self.seed, number)).integers(0, 256, (8, 8, 3), dtype="uint8")}


def make(out: Path, source: object = None, **options: object) -> Report:
    return preprocess(source or Toy(), None, out, **{"shard_rows": 10, **options})  # type: ignore[arg-type]


def hashes(out: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}


def test_a_store_of_shards_and_a_manifest(tmp_path: Path) -> None:
    report = make(tmp_path / "deep" / "out")
    assert (report.written, report.rejected, report.shards, report.reused, report.already) == (60, 0, 6, 0, False)
    names = sorted(path.name for path in (tmp_path / "deep" / "out").iterdir())
    assert names == ["manifest.json", *(f"shard-{number:05d}.h5" for number in range(6))]
    manifest = Manifest.from_json((tmp_path / "deep" / "out" / "manifest.json").read_text())
    for shard in manifest.shards:
        assert hashlib.sha256((tmp_path / "deep" / "out" / shard.name).read_bytes()).hexdigest() == shard.sha256
    assert manifest.provenance.source == "toy"
    assert manifest.provenance.options == {"count": 60, "bad": 0, "seed": 0}
    assert report.lines()[-1].endswith("60 samples in 6 shards.")


def test_one_sample_is_counted_as_one(tmp_path: Path) -> None:
    assert make(tmp_path / "out", Toy(count=1)).lines()[-1] == f"{tmp_path / 'out'}: 1 sample in 1 shard."
    assert make(tmp_path / "out", Toy(count=1)).lines()[-1].endswith("is whole already: 1 sample, nothing to do.")
    with pytest.raises(MultiviewError, match="1 of 1 sample cannot be read"):
        make(tmp_path / "none", Toy(count=1, bad=1))


def test_every_dataset_has_a_checksum_and_samples_a_chunk_each(tmp_path: Path) -> None:
    make(tmp_path / "out")
    found: dict[str, h5py.Dataset] = {}
    with h5py.File(tmp_path / "out" / "shard-00000.h5") as file:
        file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
        assert {"image", "label", "split", "id", "present/image"} <= set(found)
        assert all(dataset.fletcher32 for dataset in found.values())
        assert found["image"].chunks == (1, 8, 8, 3)
        assert found["image"].compression is None
        assert found["label"].dtype == "int64"
        assert found["split"].dtype == "uint8"
        assert h5py.check_string_dtype(found["id"].dtype).encoding == "utf-8"


def test_same_input_same_bytes(tmp_path: Path) -> None:
    make(tmp_path / "a", Toy(bad=7), max_bad=0.5)
    time.sleep(1.1)  # HDF5 keeps times in seconds
    make(tmp_path / "b", Toy(bad=7), max_bad=0.5)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


KILLED = """
import sys; sys.path.insert(0, {tests!r})
from pathlib import Path
import test_preprocess as t
t.Toy.slow = 0.002
print("begins", flush=True)
t.make(Path({out!r}), t.Toy(count=200, bad=9), shard_rows=20, max_bad=0.5)
"""


def start(out: Path) -> subprocess.Popen[str]:
    code = KILLED.format(tests=str(Path(__file__).parent), out=str(out))
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert run.stdout.readline() == "begins\n"
    return run


def wait_for(holds: Callable[[], bool]) -> None:
    for _ in range(3000):
        if holds():
            return
        time.sleep(0.005)
    raise AssertionError("it never came")


def end(run: subprocess.Popen[str]) -> None:
    run.kill()  # SIGKILL: no handler, no clean-up
    run.wait(30)
    assert run.stdout is not None
    run.stdout.close()


def test_killed_at_any_moment_a_rerun_ends_with_the_same_bytes(tmp_path: Path) -> None:
    source = Toy(count=200, bad=9)
    make(tmp_path / "undisturbed", source, shard_rows=20, max_bad=0.5)
    expected = hashes(tmp_path / "undisturbed")
    moments = random.Random(0)
    out = tmp_path / "out"
    shards_seen = []
    for _ in range(4):
        run = start(out)
        wait_for(lambda: len(list(out.glob("shard-*.h5"))) > (shards_seen or [0])[-1])  # a new shard, then some more
        time.sleep(moments.uniform(0, 0.06))
        end(run)
        published = {path.name for path in out.glob("shard-*.h5")} if out.exists() else set()
        assert all(hashes(out)[name] == expected[name] for name in published), "a bad shard had its final name"
        assert not (out / "manifest.json").exists()
        shards_seen.append(len(published))
    assert shards_seen == sorted(set(shards_seen)), "a rerun lost a whole shard"
    report = make(out, source, shard_rows=20, max_bad=0.5)
    assert report.reused == shards_seen[-1]
    assert hashes(out) == expected


def test_the_second_writer_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = start(out)
    wait_for((out / ".lock").exists)
    with pytest.raises(MultiviewError, match=rf"is being written by process {first.pid} on"):
        make(out, Toy(count=200, bad=9), shard_rows=20, max_bad=0.5)
    with pytest.raises(MultiviewError, match="is being written"):
        make(out, Toy(count=200, bad=9), shard_rows=20, max_bad=0.5, overwrite=True)
    assert first.wait(60) == 0
    assert first.stdout is not None
    first.stdout.close()
    assert len(Store.open(out)) == 200 - 23


def test_the_lock_of_a_dead_process_does_not_bind(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    out = tmp_path / "out"
    out.mkdir()
    (out / ".lock").write_text(f"{gone.pid} {os.uname().nodename}\n")
    (out / f".lock.{os.uname().nodename}.{gone.pid}").touch()  # it was killed while it asked
    assert make(out).written == 60
    assert not list(out.glob(".lock*"))


def test_the_lock_of_another_machine_binds(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("1 some-other-machine\n")
    with pytest.raises(MultiviewError, match=r"process 1 on some-other-machine.*If that process is gone, delete"):
        make(tmp_path)


CONTENDER = """
import sys, time
from pathlib import Path
from multiview.data.lock import locked
from multiview.errors import MultiviewError
out = Path(sys.argv[1])
while not (out / "go").exists():
    time.sleep(0.001)
try:
    with locked(out):
        time.sleep(0.5)
        print("had it")
except MultiviewError:
    print("refused")
"""


def test_one_of_many_takes_a_stale_lock_over(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / ".lock").write_text(f"{gone.pid} {os.uname().nodename}\n")
    runs = [
        subprocess.Popen([sys.executable, "-c", CONTENDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(5)
    ]
    time.sleep(0.5)
    (tmp_path / "go").touch()
    said = sorted(run.communicate(timeout=60)[0].strip() for run in runs)
    assert said == ["had it", *["refused"] * 4]
    assert not list(tmp_path.glob(".lock*"))


def test_locked_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="oops"), locked(tmp_path):
        raise ValueError("oops")
    with locked(tmp_path):
        assert (tmp_path / ".lock").read_text().startswith(f"{os.getpid()} ")


def test_whole_already(tmp_path: Path) -> None:
    make(tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    report = make(tmp_path / "out")
    assert report.already
    assert "whole already" in report.lines()[0]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize(
    ("source", "options", "difference"),
    [
        (Toy(seed=1), {}, "it was made with seed=0, not 1"),
        (Toy(), {"shard_rows": 11}, "its shard_rows is 10, not 11"),
        (Toy(), {"name": "doll"}, "its source is toy, not doll"),
    ],
)
def test_another_store_is_kept_unless_told(
    tmp_path: Path, source: Toy, options: dict[str, object], difference: str
) -> None:
    out = tmp_path / "out"
    make(out)
    before = hashes(out)
    with pytest.raises(MultiviewError, match=rf"{difference}\. Replace it with --overwrite, or choose another OUT"):
        make(out, source, **options)
    assert hashes(out) == before
    (out / "notes.txt").write_text("mine")
    make(out, source, **options, overwrite=True)
    make(tmp_path / "fresh", source, **options)
    assert (out / "notes.txt").read_text() == "mine"
    assert {**hashes(tmp_path / "fresh"), "notes.txt": hashes(out)["notes.txt"]} == hashes(out)


def test_strangers_files_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(MultiviewError, match=r"is not empty and is no store \(it holds thesis.tex\)"):
            make(tmp_path, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(MultiviewError, match="is a file"):
        make(tmp_path / "thesis.tex")


def test_shards_without_a_manifest_are_not_trusted(tmp_path: Path) -> None:
    make(tmp_path / "out")
    (tmp_path / "out" / "manifest.json").unlink()
    with pytest.raises(MultiviewError, match="holds shards without a manifest"):
        make(tmp_path / "out")
    assert make(tmp_path / "out", overwrite=True).reused == 0


def test_an_unfinished_store_of_another_command_is_kept(tmp_path: Path) -> None:
    with pytest.raises(MultiviewError):
        make(tmp_path / "out", Toy(bad=13), max_bad=3)
    kept = sorted((tmp_path / "out").glob("shard-*.h5"))
    assert kept
    with pytest.raises(MultiviewError, match="unfinished store of another command"):
        make(tmp_path / "out", Toy(seed=5))
    with pytest.raises(MultiviewError, match="is an unfinished store"):
        Store.open(tmp_path / "out")
    assert sorted((tmp_path / "out").glob("shard-*.h5")) == kept


def test_a_suffered_shard_is_written_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    before = hashes(out)
    shard = out / "shard-00002.h5"
    shard.write_bytes(shard.read_bytes()[:-10])
    report = make(out)
    assert (report.reused, report.already) == (5, False)
    assert any("shard-00002.h5" in note for note in report.notes)
    assert hashes(out) == before


def test_a_shard_of_another_store_is_not_taken(tmp_path: Path) -> None:
    make(tmp_path / "mine")
    make(tmp_path / "other", Toy(seed=1))
    before = hashes(tmp_path / "mine")
    (tmp_path / "mine" / "shard-00001.h5").unlink()
    (tmp_path / "other" / "shard-00001.h5").rename(tmp_path / "mine" / "shard-00001.h5")
    (tmp_path / "mine" / "shard-00005.h5").unlink()  # so that all are looked at
    report = make(tmp_path / "mine")
    assert report.reused == 4
    assert any("shard-00001.h5: it belongs to another store" in note for note in report.notes)
    assert hashes(tmp_path / "mine") == before


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
    with pytest.raises(MultiviewError, match=r"of 60 samples cannot be read, more than --max-bad") as error:
        make(out, Toy(bad=25), max_bad=max_bad)
    assert "toy-0.png: broken" in str(error.value)
    assert "`multiview preprocess SOURCE INPUT OUT --max-bad NUMBER_OR_SHARE`" in str(error.value)
    assert not (out / "manifest.json").exists()
    assert not list(out.glob("*.partial"))
    assert "toy-0.png" in (out / "rejects.jsonl").read_text()
    more = make(out, Toy(bad=25), max_bad=0.05)  # exactly the share there is
    assert more.rejected == 3
    make(tmp_path / "undisturbed", Toy(bad=25), max_bad=0.05)
    assert hashes(out) == hashes(tmp_path / "undisturbed")


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

    with pytest.raises(MultiviewError, match=r"run the same command again, it goes on .* remove files .* --overwrite"):
        again()
    assert (out / "shard-00000.h5").exists(), "a shard that is whole, without the first two"
    for path in bad:
        shutil.copy(tmp_path / "whole" / path.relative_to(folder), path)
    report = again()
    assert (report.written, report.rejected) == (24, 0)
    assert any(
        "shard-00000.h5: written again, since samples that it lacks can be read" in note for note in report.notes
    )
    again(tmp_path / "undisturbed")
    assert hashes(out) == hashes(tmp_path / "undisturbed")


def test_after_too_many_rejects_files_that_are_gone_need_overwrite(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / "in" / "a").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), number, "uint8")).save(tmp_path / "in" / "a" / f"{number}.png")
    (tmp_path / "in" / "a" / "5.png").write_bytes(b"no picture")
    with pytest.raises(MultiviewError, match="more than --max-bad 0 allows"):
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


@pytest.mark.parametrize("options", [{"shard_rows": 0}, {"max_bad": -1}, {"max_bad": float("nan")}])
def test_options_that_cannot_be(tmp_path: Path, options: dict[str, float]) -> None:
    with pytest.raises(MultiviewError, match=next(iter(options))):
        make(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@dataclass(frozen=True)
class Odd:
    """A source that breaks its word in one way."""

    how: str
    needs_input: ClassVar[bool] = False

    def plan(self, root: Path | None) -> Plan:
        rows = [Row("x"), Row("x" if self.how == "twice" else "y", label="b")]
        kind = Modality(
            name="label" if self.how == "name" else "table", kind="table", dtype="float32", shape=(3,), unit=""
        )
        return Plan(rows, (kind,), self.read, classes=("a",) if self.how == "class" else None)

    def read(self, number: int) -> Mapping[str, np.ndarray]:
        table = np.ones(3, "float32")
        if self.how == "crash":
            return {"table": table / {}["missing"]}
        if self.how == "nan":
            table[number] = np.nan
        return {"table": table.astype("float64") if self.how == "dtype" else table}


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("twice", "the id 'x' is given to samples 0 and 1"),
        ("name", "a modality cannot be called 'label'"),
        ("class", "labels samples 'b', which is not among its classes"),
        ("dtype", r"gave table of 'x' as float64\(3,\) but declared float32\(3,\)"),
        ("crash", "the source failed at sample 'x': KeyError: 'missing'"),
        ("nan", "2 of 2 samples cannot be read.*"),
    ],
)
def test_a_source_that_breaks_its_word(tmp_path: Path, how: str, message: str) -> None:
    with pytest.raises(MultiviewError, match=message):
        preprocess(Odd(how), None, tmp_path / "out", max_bad=5)


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int, int]] = []
    make(tmp_path / "out", Toy(bad=25), max_bad=0.1, progress=lambda *each: seen.append(each))
    assert seen[-1] == (60, 60, 3)
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen)
    assert {total for _, total, _ in seen} == {60}


FULL = """
import resource, sys; sys.path.insert(0, {tests!r})
from pathlib import Path
import test_preprocess as t
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
try:
    t.make(Path({out!r}))
except t.MultiviewError as error:
    print(error)
"""


def test_a_full_disk_is_an_error_and_nothing_is_lost(tmp_path: Path) -> None:
    code = FULL.format(tests=str(Path(__file__).parent), out=str(tmp_path / "out"))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert "could not be written" in run.stdout
    assert "run the same command again" in run.stdout
    assert not list((tmp_path / "out").glob("*.h5*"))
    assert make(tmp_path / "out").written == 60


def test_importing_is_quick() -> None:
    code = (
        "import sys, multiview.data.preprocess, multiview.data.store, multiview.data.resolve;"
        "assert not {'torch', 'torchvision', 'scipy', 'sklearn', 'h5py', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
