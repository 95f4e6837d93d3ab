"""One writer per folder: who holds a lock, whose lock is stale, and what a second run says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from multiview import folderlock
from multiview.data.load.open_data import open_data
from multiview.folderlock import LockedError, locked


def test_the_second_run_waits_for_the_first_and_says_so_once(tmp_path: Path) -> None:
    out, said, held = tmp_path / "scenes-6.making", [], threading.Event()
    out.mkdir()
    waited = threading.Event()

    def first() -> None:
        with locked(out):
            held.set()
            waited.wait(60)

    def say(text: str) -> None:
        said.append(text)
        waited.set()

    other = threading.Thread(target=first)
    other.start()
    held.wait(60)
    assert len(open_data("scenes:6", tmp_path, say)) == 6
    other.join()
    assert "is being written by process" in said[0]
    assert said[0].endswith("Waiting for that process; press Ctrl-C to stop waiting.")
    assert [line.split(":")[0] for line in said[1:]] == ["prepared scenes"]


HOLDER = "import sys; from pathlib import Path; from multiview.folderlock import locked\n"
HOLDER += "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"


def hold(folder: Path, *before: str) -> subprocess.Popen[str]:
    """A process that holds the lock of the folder until it is killed."""
    words = [*before, sys.executable, "-c", HOLDER, str(folder)]
    run = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    assert run.stdout.readline() == "held\n"
    return run


def end(run: subprocess.Popen[str]) -> None:
    run.kill()
    run.communicate()


def facts() -> list[str]:
    """The words of a lock of this process."""
    return folderlock._Owner.of_this_process().line("-").split()


def stale_lines() -> dict[str, str]:
    """Locks whose process is gone, though a process with its number runs."""
    pid, host, boot, start, _ = facts()
    other = str(int(start) - 100)
    return {
        "another start of the process": f"{pid} {host} {boot} {other} -",
        "another start of the machine": f"{pid} {host} 11111111-2222 {start} -",
        "another start of the machine, the kernel's lock": f"{pid} {host} 11111111-2222 {start} held",
        "the kernel's lock is free": f"{pid} {host} {boot} {start} held",
        "another container of this machine": f"{pid} 0123456789ab {boot} {start} held",
        "process 1": f"1 {host} {boot} 123456789 -",
        "an older version, a process with our number": f"{pid} {host}",
        "an older version, a number that no process has": f"999999999 {host}",
        "a number beyond every number": f"{10**30} {host}",
        "empty after a power cut": "",
        "zeros after a power cut": "\0" * 40,
        "half a line": f"{pid} {host} {boot}",
    }


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("case", stale_lines())
def test_a_lock_whose_process_is_gone_is_taken_over(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folderlock, "HALF_WRITTEN_SECONDS", 0.1)
    (tmp_path / ".lock").write_text(stale_lines()[case] + "\n")
    with locked(tmp_path):
        assert (tmp_path / ".lock").read_text().split()[:2] == facts()[:2]
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("kernel", ["held", "-"])
def test_a_process_that_has_ended_but_is_not_waited_for_is_gone(tmp_path: Path, kernel: str) -> None:
    run = hold(tmp_path)
    lock = tmp_path / ".lock"
    text = lock.read_text()
    assert text.endswith("held\n")
    lock.write_text(text.replace("held", kernel))
    message = rf"process {run.pid} on .* choose another folder\. If .* delete .*/\.lock\."
    with pytest.raises(LockedError, match=message), locked(tmp_path, "another folder"):
        pass
    run.kill()
    time.sleep(0.3)  # a zombie until `communicate`
    with locked(tmp_path):
        assert int(lock.read_text().split()[0]) == os.getpid()
    end(run)


@pytest.mark.parametrize("seconds", [-1e9, -60, 60, 1e9])
def test_the_age_of_a_lock_does_not_matter(tmp_path: Path, seconds: float) -> None:
    run = hold(tmp_path)
    then = time.time() + seconds
    os.utime(tmp_path / ".lock", (max(then, 0), max(then, 0)))
    with pytest.raises(LockedError, match="is being written"), locked(tmp_path):
        pass
    end(run)


def test_containers_of_one_machine_are_told_apart(tmp_path: Path) -> None:
    """Every process is number 1 in its container; the kernel's lock tells them apart."""
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("this user cannot make a numbering of processes")
    run = hold(tmp_path, *unshare)
    assert (tmp_path / ".lock").read_text().split()[0] == "1"
    again = subprocess.run([*unshare, sys.executable, "-c", HOLDER, str(tmp_path)], capture_output=True, text=True)
    assert "is being written by process 1" in again.stderr
    with pytest.raises(LockedError, match="is being written by process 1"), locked(tmp_path):
        pass
    end(run)
    deadline = time.monotonic() + 20
    while folderlock._is_held(tmp_path / ".lock") and time.monotonic() < deadline:
        time.sleep(0.05)
    again = subprocess.run(
        [*unshare, sys.executable, "-c", HOLDER, str(tmp_path)], capture_output=True, text=True, input=""
    )
    assert again.stdout == "held\n", again.stderr


def test_a_lock_that_another_process_has_taken_meanwhile_stays(tmp_path: Path) -> None:
    with locked(tmp_path):
        (tmp_path / ".lock").unlink()
        (tmp_path / ".lock").write_text("1 elsewhere\n")
    assert (tmp_path / ".lock").read_text() == "1 elsewhere\n"


def test_a_folder_without_hard_links_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(os, "link", refuse)
    with locked(tmp_path):
        with pytest.raises(LockedError), locked(tmp_path):
            pass
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
