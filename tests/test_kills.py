"""Forty kills at random moments, with and without workers: every shard with its name is whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

KILLER = """
import hashlib, os, random, shutil, signal, sys, time
from pathlib import Path

import h5py

from multiview.data.write.preprocess import preprocess
from multiview.data.sources.scenes import Scenes


def write(out, workers=1):
    preprocess(Scenes(count=120, size=24), None, out, shard_rows=10, workers=workers)


def hashes(out):  # of the files that have their final names
    names = [path for path in out.glob("*") if path.suffix != ".partial" and not path.name.startswith(".")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in names}


def started(out, workers):
    job = os.fork()  # a writer that has imported everything already
    if not job:
        os.setsid()
        write(out, workers)
        os._exit(0)
    return job


def end(job, alone):
    # The parent alone now and then: its workers must end by themselves, and harm nobody until then.
    try:
        (os.kill if alone else os.killpg)(job, signal.SIGKILL)
    except ProcessLookupError:  # not yet a group of its own
        os.kill(job, signal.SIGKILL)


if __name__ == "__main__":
    root, workers, wanted = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    began = time.monotonic()
    write(root / "undisturbed", workers)
    usual = time.monotonic() - began
    expected, out, moments = hashes(root / "undisturbed"), root / "out", random.Random(workers)
    kills = finished = looked = 0
    while kills < wanted:
        job = started(out, workers)
        time.sleep(moments.uniform(0, 0.5 * usual))
        end(job, alone=kills % 3 == 0)
        killed = os.WIFSIGNALED(os.waitpid(job, 0)[1])
        kills, finished = kills + killed, finished + (not killed)
        there = hashes(out) if out.exists() else {}
        looked += len(there)
        assert there.items() <= expected.items(), "a file with its final name is not what it should be"
        if there == expected:
            shutil.rmtree(out)
    write(out, workers)
    assert hashes(out) == expected
    assert not list(out.glob("*.partial"))
    print(f"{workers} workers: {kills} kills, {finished + 1} runs to the end, {looked} files under final names, 0 bad")
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_forty_kills_and_not_one_bad_shard(tmp_path: Path, workers: int) -> None:
    (tmp_path / "killer.py").write_text(KILLER)
    words = [sys.executable, str(tmp_path / "killer.py"), str(tmp_path), str(workers), "40"]
    run = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
    assert run.returncode == 0, run.stderr
    assert ": 40 kills, " in run.stdout
    print(run.stdout)
