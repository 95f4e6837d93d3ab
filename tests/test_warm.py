"""A program of tests/warm.py has the words, folder, streams and exit code of a fresh one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("code", "exit_code", "said"),
    [
        ("print('done')", 0, ""),
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('a sentence')", 1, "a sentence\n"),
        ("raise ValueError('wrong')", 1, "ValueError: wrong\n"),
        ("import os; os.kill(os.getpid(), 9)", 255, ""),
    ],
)
def test_exit_codes(warm: list[str], code: str, exit_code: int, said: str) -> None:
    done = subprocess.run([*warm, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == exit_code
    assert done.stderr.endswith(said)


def test_a_program_is_that_of_its_caller(warm: list[str], tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("NAME = 'beside'\n")
    (tmp_path / "program.py").write_text(
        "import os, sys, threading, beside\n"
        "threading.Timer(0.2, lambda: print('late')).start()\n"
        "print(__name__, sys.argv, os.getcwd(), os.environ['OWN'], beside.NAME, sys.stdin.read())\n"
    )
    words = [*warm, "program.py", "word"]
    done = subprocess.run(
        words, cwd=tmp_path, env=os.environ | {"OWN": "x"}, input="given", capture_output=True, text=True, check=True
    )
    assert done.stdout == f"__main__ ['program.py', 'word'] {tmp_path} x beside given\nlate\n"
    assert "OWN" not in os.environ


def test_another_worker_of_the_tests_gets_it_too(warm: list[str]) -> None:
    """It does not wait for the first one, whose process keeps the file of the lock."""
    folder = str(Path(warm[-1]).parent)
    code = f"import warm; from pathlib import Path; print(warm.started(Path({folder!r}), 1)[-1])"
    words = [sys.executable, "-c", code]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == warm[-1]


def test_the_program_of_a_killed_caller_is_killed_too(warm: list[str]) -> None:
    """Else it would keep the pipe of a block of documentation open that took too long."""
    code = "import time; print('begun', flush=True); time.sleep(60)"
    caller = subprocess.Popen([*warm, "-c", code], stdout=subprocess.PIPE, text=True)
    assert caller.stdout is not None
    assert caller.stdout.readline() == "begun\n"
    caller.kill()
    begin = time.monotonic()
    assert caller.stdout.read() == ""  # ends when nobody holds the pipe
    assert time.monotonic() - begin < 30
    caller.wait()
    caller.stdout.close()
