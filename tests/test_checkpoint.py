"""Only whole checkpoints are used, and no file of a checkpoint is ever run as code."""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from multiview.data.store.statistics import Statistics
from multiview.encoder import encoder_from
from multiview.encoders.mlp import mlp
from multiview.errors import MultiviewError
from multiview.graph import ContrastGraph
from multiview.model import MultiviewModel
from multiview.objectives import SimCLR
from multiview.train import checkpoint
from multiview.train.checkpoint import load, newest, save
from multiview.view import Crop, view_from
from multiview.views import depth


def tensors(value: float, count: int = 3) -> dict[str, dict[str, torch.Tensor]]:
    return {"model": {"weight": torch.full((count,), value)}, "memory": {}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Checkpoints of steps 1 and 2."""
    for step in (1, 2):
        save(tmp_path / "checkpoints", step, tensors(step), {"groups": [{"lr": 0.1}]}, keep=2)
    return tmp_path / "checkpoints"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_saved_is_loaded(folder: Path) -> None:
    found = newest(folder)
    assert found.path.name == "step-00000002"
    assert found.state == {"schema": 1, "step": 2, "groups": [{"lr": 0.1}]}
    assert torch.equal(found.tensors["model"]["weight"], torch.full((3,), 2.0))
    assert found.tensors["memory"] == {}
    assert found.refused == []


def test_only_the_newest_are_kept(folder: Path) -> None:
    save(folder, 3, tensors(3), {}, keep=2)
    assert names(folder) == ["step-00000002", "step-00000003"]


def test_only_a_whole_checkpoint_is_a_later_one(folder: Path) -> None:
    """Otherwise a model would be made again each time from the one before a damaged one."""
    assert [checkpoint.has_later(folder, step) for step in (0, 1, 2)] == [True, True, False]
    (folder / "step-00000002/model.safetensors").write_bytes(b"")
    assert [checkpoint.has_later(folder, step) for step in (0, 1, 2)] == [True, False, False]


@pytest.mark.parametrize("keep", [1, 2])
def test_a_refused_checkpoint_does_not_replace_whole_ones(keep: int, tmp_path: Path) -> None:
    for step in (10, 40):
        save(tmp_path, step, tensors(step), {}, keep=2)
    flip(tmp_path / "step-00000040")
    save(tmp_path, 20, tensors(20), {}, keep=keep)
    assert newest(tmp_path).state["step"] == 20
    assert names(tmp_path) == ["step-00000010", "step-00000020", "step-00000040"][2 - keep :]


def test_views_are_kept_beside_the_state_and_read_without_torch(folder: Path) -> None:
    assert checkpoint.views(folder) == {}, "a checkpoint without them stays readable"
    views = {"depth": depth(Crop()).with_statistics({"depth": Statistics(1, (2.0,), (3.0,), (0.0,), (9.0,))})}
    graph = ContrastGraph.full(("depth", "key"), SimCLR())
    model = MultiviewModel({"depth": mlp(1, width=0.5), "key": "depth"}, graph)
    save(folder, 3, tensors(3), {"groups": []}, keep=3, views=checkpoint.view_records(views, model))
    found = checkpoint.views(folder)
    assert found["views"]["depth"]["mean"] == [2.0]
    assert view_from(found["views"]["depth"]) == views["depth"]
    assert found["encoders"]["key"] == "depth"
    again = encoder_from(found["encoders"]["depth"])
    assert again.load_state_dict(model.encoder("depth").state_dict())
    assert newest(folder).state == {"schema": 1, "step": 3, "groups": []}
    program = "import sys; from multiview.train import checkpoint; from pathlib import Path\n"
    program += f"print(checkpoint.views(Path({str(folder)!r}))['encoders']['key'], 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["depth", "False"], done.stderr


def test_altered_views_are_refused(folder: Path) -> None:
    save(folder, 3, tensors(3), {}, keep=3, views={"views": {}})
    (folder / "step-00000003" / "views.json").write_text('{"views": 1}')
    assert checkpoint.views(folder) == {}, "the checkpoint before"
    assert "views.json is altered" in newest(folder).refused[0]


def cut(path: Path) -> None:
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def flip(path: Path) -> None:
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")


def other_state(path: Path) -> None:
    (path / "state.json").write_text("{}")


def remove(path: Path) -> None:
    (path / "memory.safetensors").unlink()


def add(path: Path) -> None:
    shutil.copy(path / "model.safetensors", path / "extra.safetensors")


def no_manifest(path: Path) -> None:
    (path / "manifest.json").unlink()


def half_a_manifest(path: Path) -> None:
    text = (path / "manifest.json").read_text()
    (path / "manifest.json").write_text(text[: len(text) // 2])


def empty_manifest(path: Path) -> None:
    (path / "manifest.json").write_text("{}")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (cut, "model.safetensors is altered"),
        (flip, "model.safetensors is altered"),
        (other_state, "state.json is altered"),
        (remove, "memory.safetensors is missing"),
        (add, "extra.safetensors does not belong to it"),
        (no_manifest, "manifest.json cannot be read"),
        (half_a_manifest, "manifest.json cannot be read"),
        (empty_manifest, "manifest.json does not list state.json"),
    ],
)
def test_a_harmed_checkpoint_is_refused_and_the_one_before_is_used(harm, message: str, folder: Path) -> None:
    harm(folder / "step-00000002")
    with pytest.raises(MultiviewError, match=message):
        load(folder / "step-00000002")
    found = newest(folder)
    assert found.state["step"] == 1
    assert [message in sentence and "Using the one before" in sentence for sentence in found.refused] == [True]


def test_the_error_names_every_checkpoint_when_none_is_whole(folder: Path) -> None:
    for path in folder.iterdir():
        flip(path)
    with pytest.raises(MultiviewError, match=r"no whole checkpoint .* start again with --overwrite.*00002.*00001"):
        newest(folder)


class Malice:
    """Unpickling it makes a folder."""

    def __reduce__(self) -> tuple:
        return os.mkdir, (os.environ["MALICE"],)


@pytest.mark.parametrize(
    "name", ["optimizer.bin", "model.safetensors", "state.json", "random_states_0.pkl", "model.pt"]
)
@pytest.mark.parametrize("listed", [False, True])
def test_a_pickle_in_a_checkpoint_is_never_run(
    name: str, listed: bool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MALICE", str(tmp_path / "done"))
    path = folder / "step-00000002"
    (path / name).write_bytes(pickle.dumps(Malice()))
    if listed:  # by somebody who also mends the manifest
        hashes = json.loads((path / "manifest.json").read_text())
        (path / "manifest.json").write_text(json.dumps(hashes | {name: checkpoint.sha256(path / name)}))
    found = newest(folder)
    assert not (tmp_path / "done").exists()
    if not listed:
        assert found.state["step"] == 1


def test_a_newer_schema_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SCHEMA", 2)
    save(folder, 3, tensors(3), {}, keep=3)
    monkeypatch.setattr(checkpoint, "SCHEMA", 1)
    with pytest.raises(MultiviewError, match="has schema 2, this version reads up to 1: update multiview-cmc"):
        load(folder / "step-00000003")


def test_a_full_disk_gives_one_message_and_leaves_the_older_checkpoints(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(MultiviewError, match=r"step 3 could not be written: .* make room, and go on with --resume"):
            save(folder, 3, tensors(3, count=1_000_000), {}, keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(folder) == ["step-00000001", "step-00000002"]
    assert before == {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


def test_what_a_killed_run_left_is_removed_and_never_read(folder: Path) -> None:
    shutil.copytree(folder / "step-00000002", folder / ".step-00000003.4711")
    assert newest(folder).state["step"] == 2
    save(folder, 4, tensors(4), {}, keep=2)
    assert names(folder) == ["step-00000002", "step-00000004"]


def test_saving_a_step_again_keeps_what_is_whole_and_replaces_what_is_not(folder: Path) -> None:
    written = (folder / "step-00000002/model.safetensors").stat().st_mtime_ns
    save(folder, 2, tensors(2), {"groups": [{"lr": 0.1}]}, keep=2)
    assert (folder / "step-00000002/model.safetensors").stat().st_mtime_ns == written
    flip(folder / "step-00000002")
    save(folder, 2, tensors(2), {}, keep=2)
    assert newest(folder).state["step"] == 2
    assert names(folder) == ["step-00000001", "step-00000002"]
