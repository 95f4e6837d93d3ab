"""Logs survive power cuts and full disks, and never end a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import losses, run, signal_in_step

from multiview.errors import MultiviewError
from multiview.jsonlines import LineFile, read_lines

TAILS = {
    "cut": b'{"step": 3, "lo',
    "zeros": b"\0" * 40,
    "zeros with an end": b"\0" * 40 + b"\n",
    "zeros before a line": b'\0\0\0{"step": 2, "loss": 1.0}\n',
    "half zeros": b'{"step": 3, "lo\0\0\0\0\n',
}


@pytest.mark.parametrize("tail", list(TAILS))
def test_the_last_whole_line_counts(tail: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1, "loss": NaN}\n{"step": 2, "loss": 1.0}\n' + TAILS[tail])
    assert {record["step"] for record in read_lines(path, "")} == {1, 2}
    assert {record["step"] for record in LineFile(path).keep_until(2)} == {1, 2}
    assert b"\0" not in path.read_bytes()
    assert path.read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("line", [b"[1]", b"\xff\xfe", b"{", b"3", b"[" * 100_000])
def test_a_damaged_line_is_named_when_read_and_dropped_when_resumed(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 2}\n{"step": "x"}\n{"step": 3}\n')
    with pytest.raises(MultiviewError, match=r"is damaged .line 2"):
        read_lines(path, "remove it.")
    assert LineFile(path).keep_until(2) == [{"step": 1}, {"step": 2}]


@pytest.mark.parametrize("tail", list(TAILS))
@pytest.mark.parametrize("file", ["metrics.jsonl", "health.jsonl"])
def test_a_damaged_log_does_not_block_resume(file: str, tail: str, scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with signal_in_step(1):
        assert run("cmc_lab", scenes, out, "--steps", "2") == 130
    with (out / file).open("ab") as log:
        log.write(TAILS[tail])
    assert run("cmc_lab", scenes, out, "--resume", "--steps", "2") == 0
    assert [line["step"] for line in losses(out)] == [1, 2]


def test_a_full_disk_loses_lines_and_says_so_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = LineFile(tmp_path / "folder" / "log.jsonl")
    log.append([{"step": 1}])
    log.append([{"step": 2}])
    (tmp_path / "folder").mkdir()
    log.append([{"step": 3}])
    assert capsys.readouterr().err.count("The run goes on; lines are missing") == 1
    assert read_lines(log.path, "") == [{"step": 3}]


PROGRAM = """
import resource, signal, sys
from pathlib import Path
from multiview.jsonlines import LineFile, read_lines
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = LineFile(Path(sys.argv[1]))
log.append([{"step": 1}])
resource.setrlimit(resource.RLIMIT_FSIZE, (20, resource.RLIM_INFINITY))
log.append([{"step": 2, "loss": 1.25}])
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.append([{"step": 3}])
"""


def test_a_line_that_did_not_fit_leaves_no_half(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "The run goes on" in done.stderr
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 3]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("the writer is gone")])
def test_a_broken_board_does_not_end_the_run(
    error: Exception, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Board:
        """A board on a full disk."""

        @property
        def file_writer(self) -> object:
            raise error

    monkeypatch.setattr("multiview.train.telemetry._board", lambda *_: Board())
    assert run("cmc_lab", scenes, tmp_path / "run", "--steps", "2") == 0
    assert capsys.readouterr().err.count("the files of TensorBoard cannot be written") == 1
    assert os.listdir(tmp_path / "run/checkpoints") == ["step-00000002"]  # noqa: PTH208
