"""One run writes a run folder at a time, and small files are replaced as a whole."""

from __future__ import annotations

import multiprocessing
from contextlib import ExitStack
from pathlib import Path

import pytest
from small_runs import run, signal_in_step

import multiview as mv
from multiview.files import replace_text
from multiview.folderlock import LockedError, locked
from multiview.recipe import Recipe
from multiview.train.runfolder import open_folder


@pytest.mark.parametrize("word", ["--resume", "--overwrite"])
def test_a_run_that_is_being_written_is_left_alone(
    word: str, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run("cmc_lab", scenes, out, "--steps", "1") == 0
    assert not list(out.glob(".lock*"))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with locked(out):
        assert run("cmc_lab", scenes, out, word) == 2
    assert "is being written by process" in (error := capsys.readouterr().err)
    assert "another --out" in error
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert run("cmc_lab", scenes, out, word) == 0


def test_the_folder_is_locked_while_a_run_trains_and_free_after_a_stop(scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with ExitStack() as held:
        open_folder(Recipe(out=str(out)), "x", held)
        with pytest.raises(LockedError), ExitStack() as other:
            open_folder(Recipe(out=str(out)), "x", other)
    with signal_in_step(2):
        assert run("cmc_lab", scenes, out) == 130
    assert run("cmc_lab", scenes, out, "--resume") == 0


def test_runs_that_start_together_get_numbered_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with ExitStack() as held:
        assert [open_folder(Recipe(), "x", held).name for _ in range(3)] == ["x-001", "x-002", "x-003"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(mv.MultiviewError, match=r"cannot be made; give another --out"), ExitStack() as held:
        open_folder(Recipe(out=str(tmp_path / "file" / "run")), "x", held)


def write(path: Path, letter: str) -> None:
    for _ in range(50):
        replace_text(path, letter * 1000)


def test_two_processes_may_replace_one_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    writers = [multiprocessing.get_context("fork").Process(target=write, args=(path, x)) for x in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert path.read_text() in {letter * 1000 for letter in "abc"}
    assert [file.name for file in tmp_path.iterdir()] == ["config.yaml"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "foreign").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "foreign")
    (tmp_path / "link.partial").symlink_to(tmp_path / "foreign")
    replace_text(tmp_path / "link", "new")
    assert (tmp_path / "foreign").read_text() == "mine"
    assert (tmp_path / "link").read_text() == "new"
    assert not (tmp_path / "link").is_symlink()


def test_a_failed_replacement_leaves_no_partial_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        replace_text(tmp_path / "folder", "text")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]
