"""A store has one writer, which may be killed at any moment or meet a full disk."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from toys import Toy, hashes, make

from multiview.data.store.reading import Store
from multiview.errors import MultiviewError
from multiview.folderlock import locked

KILLED = """
import sys; sys.path.insert(0, {tests!r})
from pathlib import Path
import toys as t
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


def test_the_lock_of_a_dead_process_is_ignored(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    out = tmp_path / "out"
    out.mkdir()
    (out / ".lock").write_text(f"{gone.pid} {os.uname().nodename}\n")
    (out / f".lock.{os.uname().nodename}.{gone.pid}").touch()  # it was killed while it asked
    assert make(out).written == 60
    assert not list(out.glob(".lock*"))


def test_the_lock_of_another_machine_is_respected(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("1 some-other-machine\n")
    with pytest.raises(MultiviewError, match=r"process 1 on some-other-machine.*If that process is gone, delete"):
        make(tmp_path)


CONTENDER = """
import sys, time
from pathlib import Path
from multiview.folderlock import locked
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


def test_only_one_process_takes_over_a_stale_lock(tmp_path: Path) -> None:
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


FULL = """
import resource, sys; sys.path.insert(0, {tests!r})
from pathlib import Path
from multiview.errors import MultiviewError
import toys as t
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))
try:
    t.make(Path({out!r}))
except MultiviewError as error:
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
