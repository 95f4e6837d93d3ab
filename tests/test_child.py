"""Processes that are started never run what lies in the working folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from multiview.child import start_module

PLANTED = ("json.py", "signal.py", "random.py", "numpy.py")


@pytest.mark.parametrize("name", PLANTED)
def test_a_module_among_the_photos_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / name).write_text("open('ran', 'w').close()")
    monkeypatch.chdir(tmp_path)
    process = start_module("json.tool", "--help", stdout=subprocess.PIPE)
    process.communicate()
    assert process.returncode == 0
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_processes_of_multiprocessing_do_not_run_it_either(tmp_path: Path, method: str) -> None:
    program = tmp_path / "elsewhere" / "program.py"
    program.parent.mkdir()
    program.write_text(
        "import multiprocessing, sys\n"
        "from multiview.child import protect_children\n"
        "if __name__ == '__main__':\n"
        "    protect_children()\n"
        f"    process = multiprocessing.get_context({method!r}).Process(target=print, args=('done',))\n"
        "    process.start()\n    process.join()\n    sys.exit(process.exitcode)\n"
    )
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("signal.py", "selectors.py", "struct.py", "runpy.py"):
        (photos / name).write_text(f"open({str(photos / 'ran')!r}, 'w').close()\nraise SystemExit(3)")
    done = subprocess.run([sys.executable, str(program)], cwd=photos, capture_output=True, text=True, timeout=60)
    assert done.stdout == "done\n", done.stderr
    assert not (photos / "ran").exists()


@pytest.mark.parametrize(
    "start", [[str(Path(sys.executable).parent / "multiview")], [sys.executable, "-P", "-m", "multiview.cli"]]
)
def test_verify_in_a_folder_of_modules_runs_none(tmp_path: Path, scenes: Path, start: list[str]) -> None:
    """Without -P, `python -m` imports modules of the working folder before the program starts."""
    for name in ("h5py.py", "numpy.py", "tempfile.py", "resource.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\nraise SystemExit(3)")
    done = subprocess.run([*start, "verify", str(scenes)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()
