"""What users, machines and disks do to a run, as one list of cases.

Each case is a test here, or names the tests of another file that hold it (`HELD_ELSEWHERE`).
"""

from __future__ import annotations

import ast
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from goldens import command
from pictures import noise, save
from small_runs import FAST, ROOT, losses, run
from trials import trial

import multiview as mv
from multiview import plugins
from multiview.catalogue import lines
from multiview.counter_rng import Draws
from multiview.data.sources.arrays import Arrays
from multiview.data.sources.folder import Folder
from multiview.data.store.manifest import SCHEMA
from multiview.data.write import diskspace
from multiview.data.write.preprocess import preprocess
from multiview.errors import MultiviewError
from multiview.folderlock import locked
from multiview.jsonlines import LineFile
from multiview.train import checkpoint, loop
from multiview.train.prepare import assemble
from multiview.train.processes import start
from multiview.train.step import contrast_step

TESTS = Path(__file__).parent

HELD_ELSEWHERE = {
    "a batch larger than the data": ("test_training::test_a_batch_larger_than_the_data_is_reduced_and_said_so",),
    "SIGTERM, SIGHUP or SIGUSR1 with workers": (
        "test_signals::test_a_signal_to_the_whole_group_saves_a_checkpoint",
        "test_signals::test_a_worker_ignores_signals_of_strangers_and_obeys_its_parent",
    ),
    "a signal with two processes": (
        "test_signals::test_only_the_vote_decides_whether_a_run_ends",
        "test_processes::test_two_processes_stop_together_and_one_process_resumes",
    ),
    "a rank that dies": ("test_lost_ranks::test_both_processes_say_the_same_and_none_waits_for_ever",),
    "a rank that hangs": ("test_lost_ranks::test_both_processes_say_the_same_and_none_waits_for_ever",),
    "another number of processes on resume": (
        "test_processes::test_two_processes_stop_together_and_one_process_resumes",
    ),
    "a read-only output": (
        "test_early_mistakes::test_a_folder_without_rights_is_refused",
        "test_early_mistakes::test_a_cheap_mistake_is_found_before_the_data",
    ),
    "the disk is full while a checkpoint is saved": (
        "test_checkpoint::test_a_full_disk_gives_one_message_and_leaves_the_older_checkpoints",
    ),
    "a killed process": (
        "test_resume_kills::test_runs_that_are_killed_end_as_if_they_had_not_been",
        "test_one_writer::test_killed_at_any_moment_a_rerun_ends_with_the_same_bytes",
    ),
}


@pytest.mark.parametrize("case", HELD_ELSEWHERE)
def test_a_case_is_held_by_tests_of_its_subject(case: str) -> None:
    for place in HELD_ELSEWHERE[case]:
        file, name = place.split("::")
        tree = ast.parse((TESTS / f"{file}.py").read_text("utf8"))
        names = [each.name for each in tree.body if isinstance(each, ast.FunctionDef)]
        assert any(Path(each).match(name) for each in names), place


@pytest.fixture(scope="module")
def finished(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps with checkpoints at steps 3 and 6."""
    out = tmp_path_factory.mktemp("finished") / "run"
    assert run("simclr", scenes, out, "--save_every", "1") == 0
    return out


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of that run, to harm."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a recipe says that ends with exit code 2 and one sentence."""
    capsys.readouterr()
    assert command("train", words[0], *FAST, *words[1:]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("harm", ["half a file", "zeros", "nothing"])
def test_power_is_cut_in_mid_write(harm: str, copy: Path, scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = copy / "checkpoints" / "step-00000006" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes({"half a file": whole[: len(whole) // 2], "zeros": bytes(len(whole)), "nothing": b""}[harm])
    with (copy / "metrics.jsonl").open("ab") as file:
        file.write(bytes(40))
    assert run("simclr", scenes, copy, "--resume", "--steps", "8") == 0
    said = capsys.readouterr().out
    assert "step-00000006" in said
    assert "at step 3 of 8" in said
    assert [line["step"] for line in losses(copy)] == list(range(1, 9))


def full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_the_disk_is_full_while_metrics_are_logged(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LineFile, "_append", full)
    assert run("simclr", scenes, tmp_path / "run", "--steps", "3") == 0
    assert "The run goes on; lines are missing" in capsys.readouterr().err
    assert checkpoint.newest(tmp_path / "run" / "checkpoints").state["step"] == 3


def test_the_disk_is_full_before_data_is_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diskspace.shutil, "disk_usage", lambda _: SimpleNamespace(free=90))
    save(tmp_path / "in" / "a" / "1.png", noise(0, 16, 16))
    with pytest.raises(MultiviewError, match=r"and the disk of .* has 90"):
        preprocess(Folder(), tmp_path / "in", tmp_path / "out")


def test_two_writers(copy: Path, scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(copy):
        said = refused(capsys, "simclr", "--data", str(scenes), "--out", str(copy), "--overwrite")
    assert "is being written by process" in said


@pytest.mark.parametrize("jump", [-1e9, 1e9])
def test_a_clock_that_jumps(jump: float, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, draw = time.time, random.Random(0)
    monkeypatch.setattr(time, "time", lambda: now() + draw.choice([0.0, jump]))
    assert run("simclr", scenes, tmp_path / "run", "--steps", "3") == 0
    assert run("simclr", scenes, tmp_path / "run", "--resume", "--steps", "6") == 0
    assert [line["step"] for line in losses(tmp_path / "run")] == list(range(1, 7))
    assert all(line["samples_per_second"] > 0 for line in losses(tmp_path / "run"))


@pytest.mark.parametrize("target", ["..", ".", "loop", "../a"])
def test_a_loop_of_symbolic_links(target: str, tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / "in" / "a" / f"{number}.png", noise(number, 8, 8))
    (tmp_path / "in" / "a" / "loop").symlink_to(target)
    assert preprocess(Folder(), tmp_path / "in", tmp_path / "out").written == 3


def test_a_store_that_was_moved(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(scenes, first)
    assert run("simclr", first, tmp_path / "run", "--steps", "3") == 0
    first.rename(second)
    with pytest.raises(MultiviewError, match=r"first does not exist; give the path of a store"):
        mv.load(tmp_path / "run")
    assert mv.load(tmp_path / "run", data=second).embed("test").features
    said = refused(capsys, "simclr", "--data", str(first), "--out", str(tmp_path / "run"), "--resume")
    assert str(first) in said
    assert run("simclr", second, tmp_path / "run", "--resume", "--steps", "6") == 0


def test_a_store_of_a_newer_version(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Path(shutil.copytree(scenes, tmp_path / "store"))
    facts = json.loads((store / "manifest.json").read_text())
    (store / "manifest.json").write_text(json.dumps({**facts, "schema": SCHEMA + 1, "new": {}}))
    assert "update multiview-cmc" in refused(capsys, "simclr", "--data", str(store), "--out", str(tmp_path / "run"))


def test_a_shard_that_is_missing(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Path(shutil.copytree(scenes, tmp_path / "store"))
    next(store.glob("*.h5")).unlink()
    assert "it is missing" in refused(capsys, "simclr", "--data", str(store), "--out", str(tmp_path / "run"))


@pytest.mark.parametrize("statement", ["1 / 0", "import sys; sys.exit(0)", "raise KeyboardInterrupt", "import nothing"])
def test_a_plugin_that_raises_or_exits(statement: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rude_plugin.py").write_text(statement)
    monkeypatch.syspath_prepend(str(tmp_path))
    rude = plugins.Plugin("rude", "views", "rude_plugin:View", "rude-package")
    monkeypatch.setattr(plugins, "_registered", lambda _: (rude,))
    error = KeyboardInterrupt if "Keyboard" in statement else MultiviewError
    with pytest.raises(error):
        plugins.load("views", "rude")
    if error is MultiviewError:
        assert any("BROKEN" in line for line in lines(["views"]))


@pytest.mark.parametrize("where", ["stdout", "stderr"])
def test_a_plugin_that_prints(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / f"loud_{where}.py").write_text(f"import sys\nprint('hello', file=sys.{where})\ndef View(): 'A view.'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    loud = plugins.Plugin("loud", "views", f"loud_{where}:View", "loud-package")
    monkeypatch.setattr(plugins, "_registered", lambda _: (loud,))
    assert not any("BROKEN" in line for line in lines(["views"]))
    assert plugins.load("views", "loud").__name__ == "View"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_in_one_sample(value: float, tmp_path: Path) -> None:
    table = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
    table[7, 2] = value
    np.savez(tmp_path / "x.npz", one=table, two=table)
    preprocess(Arrays(), tmp_path / "x.npz", tmp_path / "out", max_bad=2)
    rejects = (tmp_path / "out" / "rejects.jsonl").read_text()
    assert "7" in rejects
    assert len(mv.Store.open(tmp_path / "out")) == 29


def arrays(path: Path, rows: int, classes: int) -> Path:
    """A store of two tables."""
    draw = np.random.default_rng(0)
    tables = {name: draw.normal(size=(rows, 6)).astype("float32") for name in ("one", "two")}
    split = np.where(np.arange(rows) % 5 == 4, "test", "train")
    np.savez(path / "x.npz", **tables, y=np.arange(rows) % classes, split=split)
    preprocess(Arrays(), path / "x.npz", path / "store")
    return path / "store"


def fit(store: Path, out: Path, **options: bool) -> mv.Trained:
    """SimCLR between the two tables."""
    views = {name: mv.make_view("table", mv.Crop(), columns=6, modality=name) for name in ("one", "two")}
    encoders = {name: mv.make_encoder("mlp", 6) for name in views}
    setup = mv.Setup(views, encoders, mv.ContrastGraph.full(views, mv.SimCLR(dim=8)))
    train = mv.Train(steps=2, batch=16, knn_every=1, threads=1)
    return mv.fit(setup, data=str(store), out=str(out), train=train, **options)


def test_one_sample_only(tmp_path: Path) -> None:
    with pytest.raises(MultiviewError, match=r"store holds one sample, which nothing can be contrasted with"):
        fit(arrays(tmp_path, 1, 1), tmp_path / "run")


def test_one_class_only(tmp_path: Path) -> None:
    trained = fit(arrays(tmp_path, 60, 1), tmp_path / "run", evaluate=True)
    assert trained.steps == 2


def test_all_views_are_absent_in_a_batch() -> None:
    made = trial(mv.SimCLR(dim=5), missing=True)
    parts = assemble(
        start(made.train, "x"), made.views, made.model.train(), made.memories, made.train, lambda i: [str(i)]
    )
    batch = made.batches[0]
    for rows in batch.present.values():
        rows.fill_(False)
    output = contrast_step(parts, batch, 1, Draws(0, 0, batch.index.numpy()), examine=True)
    assert output.loss == 0
    assert not any(output.has_loss.values())
    assert all(p.isfinite().all() for p in made.model.parameters())


@pytest.mark.parametrize("labels", [3, 29, 31])
def test_labels_of_another_length(labels: int, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", one=np.zeros((30, 4), "float32"), y=np.zeros(labels, int))
    with pytest.raises(MultiviewError, match=f"'y' in .* has {labels} labels for 30 samples"):
        Arrays().plan(tmp_path / "x.npz")
    assert {row.label for row in Arrays(modalities=("one",)).plan(tmp_path / "x.npz").rows} == {None}
    with pytest.raises(MultiviewError, match=rf"y.*{labels}"):
        Arrays(label_column="y").plan(tmp_path / "x.npz")


GONE = {
    "CUDA error: device-side assert triggered\nmore": "the device failed or is gone",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED": "the device failed or is gone",
    "MPS backend out of memory": "the device failed or is gone",
    "HIP error: the device was lost": "the device failed or is gone",
    "memory": "no memory left",
}


@pytest.mark.parametrize("message", GONE)
def test_a_device_that_disappears(
    message: str, copy: Path, scenes: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = torch.OutOfMemoryError(message) if message == "memory" else RuntimeError(message)

    def gone(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(loop, "contrast_step", gone)
    said = refused(capsys, "simclr", "--data", str(scenes), "--out", str(copy), "--resume", "--steps", "8")
    assert GONE[message] in said
    assert "--resume" in said


def test_another_error_of_the_program_stays_a_traceback(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(loop, "contrast_step", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        run("simclr", scenes, tmp_path / "run")


def test_a_changed_configuration_on_resume(copy: Path, scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("simclr", scenes, copy, "--resume", "--steps", "7", "--lr", "0.01") == 0
    assert "resumed with a changed option: train.optimizer.lr" in capsys.readouterr().out
    words = ["simclr", "--data", str(scenes), "--out", str(copy), "--resume", "--encoder", "resnet18"]
    assert "does not fit this run" in refused(capsys, *words)


@pytest.mark.parametrize("recipe", ["cmc_lab", "moco", "simsiam"])
def test_a_checkpoint_of_another_graph(
    recipe: str, copy: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / "config.yaml").write_text("seed: 0\n")
    words = [recipe, "--data", str(scenes), "--out", str(copy), "--resume"]
    if recipe == "simsiam":
        assert "was trained with the optimiser adamw and is resumed with sgd" in refused(capsys, *words)
        words += ["--train.optimizer.name", "adamw"]
    assert "does not fit this run" in refused(capsys, *words)


@pytest.mark.parametrize("kind", ["the folder", "its checkpoints"])
def test_overwriting_follows_no_link_out_of_the_run(
    kind: str, copy: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A linked --out is a place on another disk: its run is replaced and the link stays."""
    kept = tmp_path / "elsewhere" / "kept.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    if kind == "its checkpoints":
        shutil.move(copy / "checkpoints", tmp_path / "elsewhere" / "checkpoints")
        (copy / "checkpoints").symlink_to(tmp_path / "elsewhere" / "checkpoints")
        out = copy
    else:
        (copy / "link").symlink_to(kept.parent)
        out = tmp_path / "out"
        out.symlink_to(copy)
    assert run("simclr", scenes, out, "--overwrite", "--steps", "1") == 0
    assert kept.read_text() == "mine"
    assert out.is_symlink() == (kind == "the folder")
    assert not (out / "checkpoints").is_symlink()
    assert checkpoint.newest(out / "checkpoints").state["step"] == 1
    if kind == "its checkpoints":
        assert len(list((tmp_path / "elsewhere" / "checkpoints").iterdir())) == 2


@pytest.mark.parametrize("target", ["elsewhere", "nowhere", "out"])
def test_a_link_to_no_run_is_not_overwritten(
    target: str, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.txt").write_text("mine")
    (tmp_path / "out").symlink_to(tmp_path / target)
    said = refused(capsys, "simclr", "--data", str(scenes), "--out", str(tmp_path / "out"), "--overwrite")
    assert "give another --out" in said
    assert (tmp_path / "elsewhere" / "mine.txt").read_text() == "mine"


EVERY_STEP = "from multiview.train import telemetry; telemetry.PLAIN_SECONDS = 0; "
CLOSED: dict[str, Callable[[Path, Path], list[str]]] = {
    "train": lambda data, out: [
        "-c",
        f"{EVERY_STEP}from multiview.cli import main; "
        f"main(['train', 'simclr', '--data', {str(data)!r}, '--out', {str(out)!r}, *{[*FAST, '--steps', '4000']!r}])",
    ],
    "a recipe": lambda data, out: [
        "-c",
        f"{EVERY_STEP}import multiview as mv; from multiview.recipes.simclr import SimClrRecipe; "
        f"mv.main(SimClrRecipe, ['--data', {str(data)!r}, '--out', {str(out)!r}, *{[*FAST, '--steps', '4000']!r}])",
    ],
    "plan": lambda data, out: [
        str(ROOT / "recipes/simclr.py"),
        "--plan",
        "--data",
        str(data),
        "--out",
        str(out),
        *FAST,
    ],
    "list": lambda *_: ["-m", "multiview.cli", "list"],
}


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "program",
    [pytest.param("train", marks=SLOW), pytest.param("a recipe", marks=SLOW), pytest.param("plan", marks=SLOW), "list"],
)
def test_a_closed_pipe_ends_a_command_quietly(program: str, scenes: Path, tmp_path: Path) -> None:
    """As `COMMAND | head -n 1`; a run saves a checkpoint and ends with 128 + SIGPIPE."""
    out = tmp_path / "run"
    words = [sys.executable, *CLOSED[program](scenes, out)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
        code = process.wait(timeout=60)
    assert errors == ""
    if program in ("plan", "list"):
        assert code == 0
    else:
        assert code == 141
        assert checkpoint.newest(out / "checkpoints").state["step"] == losses(out)[-1]["step"] < 4000
