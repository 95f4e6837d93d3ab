"""A loaded run is the run that was trained: its recipe, its numbers, its newest checkpoint."""

from __future__ import annotations

import json
import shutil
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from small_runs import run, signal_in_step

import multiview as mv
from multiview.data.sources.scenes import Scenes
from multiview.data.write.preprocess import preprocess
from multiview.files import sha256
from multiview.recipe_origin import origin_of, recipe_of
from multiview.train.checkpoint import newest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def trained_run(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("loaded") / "run"
    assert run("cmc_rgbd", scenes, out, "--save_every", "1", "--keep", "3") == 0
    return out


@pytest.fixture
def copied_run(trained_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_run, tmp_path / "run"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other data with other statistics."""
    out = tmp_path_factory.mktemp("other") / "store"
    preprocess(Scenes(count=40, size=32, seed=9), None, out)
    text = json.loads((out / "manifest.json").read_text())
    assert text["statistics"]
    return out


def statistics(trained: mv.Trained) -> dict[str, tuple]:
    return {name: (view.mean, view.std) for name, view in trained.setup.views.items()}


def without_views(folder: Path) -> None:
    """Turns the checkpoints into those of an older version."""
    for path in (folder / "checkpoints").iterdir():
        (path / "views.json").unlink()
        hashes = json.loads((path / "manifest.json").read_text())
        del hashes["views.json"]
        (path / "manifest.json").write_text(json.dumps(hashes))


@pytest.mark.parametrize("older", [False, True])
def test_other_data_is_normalised_by_the_numbers_of_the_training(
    older: bool, copied_run: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if older:
        without_views(copied_run)
    own, foreign = mv.load(copied_run), mv.load(copied_run, data=str(other))
    assert statistics(own) == statistics(foreign)
    assert own.notes == foreign.notes == ()
    assert capsys.readouterr().err == ""
    a, b = own.embed("test", foreign.store), foreign.embed("test")
    for name, features in a.features.items():
        assert (features == b.features[name]).all()


def test_an_older_run_without_its_data_says_that_other_statistics_are_used(
    copied_run: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without_views(copied_run)
    facts = json.loads((copied_run / "environment.json").read_text())
    facts["data"] |= {"path": "/nowhere", "spec": "/nowhere"}
    (copied_run / "environment.json").write_text(json.dumps(facts))
    trained = mv.load(copied_run, data=str(other))
    assert "normalised by the statistics of the given data" in trained.notes[0]
    assert trained.notes[0] in capsys.readouterr().err


def harm_tensors(path: Path) -> None:
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")


def with_text(name: str, text: bytes):
    def harm(path: Path) -> None:
        (path / name).write_bytes(text)
        hashes = json.loads((path / "manifest.json").read_text())
        (path / "manifest.json").write_text(json.dumps(hashes | {name: sha256(path / name)}))

    return harm


def changed_state(**values: object):
    def harm(path: Path) -> None:
        state = json.loads((path / "state.json").read_text())
        with_text("state.json", json.dumps(state | values).encode())(path)

    return harm


def a_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("no folder")


HARMS = {
    "tensors": harm_tensors,
    "list": with_text("state.json", b"[1, 2]"),
    "not UTF-8": with_text("state.json", b'{"step": 6, "schema": 1, "a": "\xff"}'),
    "deep": with_text("state.json", b"[" * 200_000),
    "step as text": changed_state(step="six"),
    "step of another": changed_state(step=5),
    "schema as list": changed_state(schema=[1]),
    "samples as text": changed_state(samples="56"),
    "groups as text": changed_state(groups="none"),
    "groups of numbers": changed_state(groups=[1]),
    "views": with_text("views.json", b'{"views": 3}'),
    "no safetensors": with_text("model.safetensors", b"\xff" * 64),
    "a file": a_file,
}


@pytest.mark.parametrize("harm", list(HARMS))
def test_a_damaged_newest_checkpoint_is_said_wherever_it_is_passed_over(
    harm: str, copied_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    HARMS[harm](copied_run / "checkpoints/step-00000006")
    trained = mv.load(copied_run)
    assert trained.steps == 3
    assert "step-00000006" in trained.notes[0]
    assert "Using the one before" in trained.notes[0]
    assert "is at step 3 of 6" in trained.notes[1]
    error = capsys.readouterr().err
    assert all(f"note: {note}" in error for note in trained.notes)
    assert len(error.splitlines()) == 2


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.yaml", b"data: \xff\xfe"),
        ("config.yaml", b"- a\n- b\n"),
        ("config.yaml", b"data: [1, {2"),
        ("config.yaml", b"[" * 100_000),
        ("environment.json", b"\xff"),
        ("environment.json", b"[]"),
        ("environment.json", b'{"recipe": 3, "data": {}}'),
        ("environment.json", b'{"recipe": {"name": "cmc_rgbd"}, "data": {"path": 4, "spec": "scenes"}}'),
        ("environment.json", b'{"recipe": {"name": "cmc_rgbd"}}'),
        ("environment.json", b"[" * 100_000),
    ],
)
def test_a_malformed_file_of_a_run_is_one_sentence(file: str, content: bytes, copied_run: Path) -> None:
    (copied_run / file).write_bytes(content)
    with pytest.raises(mv.MultiviewError, match=file.replace(".", r"\.")) as caught:
        mv.load(copied_run)
    assert len(str(caught.value).splitlines()) == 1


def test_resume_with_a_malformed_config_is_one_sentence(
    copied_run: Path, scenes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copied_run / "config.yaml").write_bytes(b"data: \xff")
    assert run("cmc_rgbd", scenes, copied_run, "--resume") == 2
    assert "config.yaml cannot be read: it is not UTF-8 text" in capsys.readouterr().err


def imported(file: Path):
    import importlib.util

    spec = importlib.util.spec_from_file_location("recipe_under_test", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules["recipe_under_test"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cmc_lab", "simclr", "cmc_rgbd"])
def test_an_edited_copy_of_an_installed_recipe_is_recorded_as_a_file(name: str, tmp_path: Path) -> None:
    copy = tmp_path / f"{name}.py"
    shutil.copy(ROOT / "recipes" / f"{name}.py", copy)
    kind = {"cmc_lab": "CmcLab", "simclr": "SimClrRecipe", "cmc_rgbd": "CmcRgbd"}[name]
    assert origin_of(getattr(imported(copy), kind)) == {"name": name}, "an equal copy"
    assert origin_of(getattr(imported(ROOT / "recipes" / f"{name}.py"), kind)) == {"name": name}
    copy.write_text(copy.read_text() + "\n# edited\n")
    assert origin_of(getattr(imported(copy), kind)) == {"file": str(copy), "class": kind}


def test_an_edited_recipe_is_the_one_that_is_rebuilt(copied_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "cmc_rgbd.py"
    copy.write_text((ROOT / "recipes/cmc_rgbd.py").read_text() + "\nEDITED = True\n")
    origin = origin_of(imported(copy).CmcRgbd)
    facts = json.loads((copied_run / "environment.json").read_text()) | {"recipe": origin}
    (copied_run / "environment.json").write_text(json.dumps(facts))
    assert sys.modules[type(recipe_of(copied_run, trust_code=True)).__module__].EDITED


def test_classes_without_a_file_of_their_own_have_no_origin() -> None:
    class Local(mv.Recipe):
        """At the top of no file."""

    assert origin_of(Local) is None
    assert origin_of(type("Notebook", (mv.Recipe,), {"__module__": "__console__"})) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "cannot be loaded from .*AttributeError"), ("Mine = 3", "is no Recipe"), ("1 / 0", "ZeroDivisionError")],
)
def test_a_changed_recipe_file_is_one_sentence(content: str, message: str, copied_run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(content)
    facts = json.loads((copied_run / "environment.json").read_text())
    facts["recipe"] = {"file": str(tmp_path / "mine.py"), "class": "Mine"}
    (copied_run / "environment.json").write_text(json.dumps(facts))
    with pytest.raises(mv.MultiviewError, match=message):
        recipe_of(copied_run, trust_code=True)


def test_a_stopped_fit_raises_and_carries_the_half_trained_run(scenes: Path, tmp_path: Path) -> None:
    views = {name: mv.views.rgb(mv.Crop(name=name, size=16)) for name in ("one", "two")}
    encoders = {"one": mv.make_encoder("convnet", 3, width=0.25), "two": "one"}
    setup = mv.Setup(views, encoders, mv.ContrastGraph.full(views, mv.SimCLR()))
    train = mv.Train(steps=3, batch=8, knn_every=0, threads=1)
    with (
        pytest.raises(mv.Stopped, match=r"SIGINT stopped the run at step 1; .* resume=True") as caught,
        signal_in_step(1),
    ):
        mv.fit(setup, data=str(scenes), out=str(tmp_path / "run"), train=train, evaluate=False)
    assert caught.value.trained.steps == 1
    assert caught.value.trained.stopped_by == 2
    assert newest(tmp_path / "run/checkpoints").state["step"] == 1
    whole = mv.fit(setup, data=str(scenes), out=str(tmp_path / "run"), train=train, evaluate=False, resume=True)
    assert (whole.steps, whole.stopped_by) == (3, 0)
    assert torch.is_tensor(next(whole.model.parameters()))


@pytest.mark.parametrize("data", ["moved/store", "folder:moved/photos", "moved.csv"])
def test_data_that_was_moved_are_asked_for(data: str, tmp_path: Path) -> None:
    from multiview.data.load.open_data import open_data
    from multiview.load_run import _own_store

    with pytest.raises(mv.MultiviewError, match=r"was trained on is not there: .* mv\.load\('run', data='PLACE'\)"):
        _own_store(data, Path("run"), partial(open_data, cache=tmp_path))
