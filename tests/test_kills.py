"""Forty kills at random moments, of one writer and of a writer with workers: nothing bad ever gets its final name."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from multiview.data.preprocess import preprocess
from multiview.data.sources.scenes import Scenes

KILLS = 40
JOB = """
import sys
from pathlib import Path
from multiview.data.preprocess import preprocess
from multiview.data.sources.scenes import Scenes
if __name__ == "__main__":
    print("begins", flush=True)
    preprocess(Scenes(count=120, size=32), None, Path(sys.argv[1]), shard_rows=10, workers=int(sys.argv[2]))
"""


def hashes(out: Path) -> dict[str, str]:
    """Of the files that have their final names."""
    names = [path for path in out.glob("*") if path.suffix != ".partial" and not path.name.startswith(".")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in names}


def start(out: Path, workers: int) -> subprocess.Popen[str]:
    words = [sys.executable, str(out.parent / "job.py"), str(out), str(workers)]
    job = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert job.stdout is not None
    assert job.stdout.readline() == "begins\n"
    return job


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_forty_kills_and_not_one_bad_shard(tmp_path: Path, workers: int) -> None:
    (tmp_path / "job.py").write_text(JOB)
    began = time.monotonic()
    preprocess(Scenes(count=120, size=32), None, tmp_path / "undisturbed", shard_rows=10)
    usual = time.monotonic() - began
    expected = hashes(tmp_path / "undisturbed")
    moments, out = random.Random(workers), tmp_path / "out"
    kills = finished = looked = 0
    while kills < KILLS:
        job = start(out, workers)
        try:
            job.wait(moments.uniform(0, 0.7 * usual))
        except subprocess.TimeoutExpired:
            # The parent alone now and then: its workers must end by themselves, and harm nobody until then.
            (os.killpg if kills % 3 else os.kill)(job.pid, signal.SIGKILL)
            job.wait(30)
            kills += 1
        else:
            assert job.returncode == 0
            finished += 1
        assert job.stdout is not None
        job.stdout.close()
        there = hashes(out) if out.exists() else {}
        looked += len(there)
        assert there.items() <= expected.items(), "a file with its final name is not what it should be"
        if there == expected:
            shutil.rmtree(out)
    job = start(out, workers)
    assert job.wait(300) == 0
    assert job.stdout is not None
    job.stdout.close()
    assert hashes(out) == expected
    assert not list(out.glob("*.partial"))
    print(f"{workers} workers: {kills} kills, {finished + 1} runs to the end, {looked} files under final names, 0 bad")
