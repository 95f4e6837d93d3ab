"""What --plan prints, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_runs import run

import multiview as mv
from multiview.objectives.base import Situation
from multiview.train.plan import share_text


@pytest.mark.parametrize(("samples", "share"), [(1_281_167, "1.3 %"), (50_000, "28 %"), (4_000, "98 %")])
def test_share_of_samples_among_their_own_negatives_in_the_original(samples: int, share: str) -> None:
    """K = 16384 of ImageNet, of 50,000 and of 4,000 samples: 1 - (1 - 1/N)^K."""
    situation = Situation(samples=samples, per_rank=128)
    assert share_text(mv.CMC.original().meets_itself(situation)) == share
    assert share_text(mv.CMC(negatives=16384).meets_itself(situation)) == "0 %"
    assert share_text(mv.SimCLR().meets_itself(situation)) == "-"


def test_a_queue_holds_samples_of_the_previous_epoch() -> None:
    """A sample returns after N (1 + u - v) steps: counted for queues of 0.5 to 2 times the data."""
    count = 300
    for part in (0.5, 1.0, 1.5, 2.0):
        met = sum(count - before + now <= part * count for before in range(count) for now in range(count)) / count**2
        queue = mv.MoCo(queue=round(part * count), exclude=False)
        assert queue.meets_itself(Situation(samples=count, per_rank=8)) == pytest.approx(met, abs=0.01)
    assert mv.MoCo(queue=600).meets_itself(Situation(samples=300, per_rank=8)) == 0


@pytest.mark.parametrize(
    ("recipe", "words", "output"),
    [
        ("cmc_lab", ["--negatives", "20", "--exclude", "false"], "edge L-ab: for 30 % of the samples, the negatives"),
        ("cmc_lab", [], "0 %"),
        ("cmc_lab", ["--seed_defaults", "--negatives", "20"], "Without seed_defaults, use exclude=True to leave"),
        ("moco", ["--exclude", "false"], "the paper's original code. Use exclude=True to leave the sample itself out."),
        (
            "moco",
            ["--queue", "100"],
            "holds 100 keys but there are only 56 samples: the queue holds some samples several times",
        ),
        ("simclr", ["--micro_batch", "4"], "batch norm will see 4 samples at a time (micro_batch), not 16"),
    ],
)
def test_the_plan_has_notes(
    recipe: str, words: list[str], output: str, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(recipe, scenes, tmp_path / "run", "--plan", *words) == 0
    assert output in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("recipe", "words", "output"),
    [
        ("cmc_lab", ["--negatives", "56"], "give negatives 55 or fewer"),
        ("cmc_lab", ["--negatives", "57", "--exclude", "false"], "give negatives 56 or fewer"),
        ("simclr", ["--batch", "1"], "--batch 2 or more"),
        ("cmc_lab", ["--accumulate", "7"], "the optimiser would never move"),
    ],
)
def test_the_plan_refuses_impossible_options(
    recipe: str, words: list[str], output: str, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(recipe, scenes, tmp_path / "run", "--plan", *words) == 2
    assert output in capsys.readouterr().err


def test_the_plan_says_where_a_run_would_be_resumed(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run("cmc_lab", scenes, out, "--steps", "2") == 0
    assert run("cmc_lab", scenes, out, "--plan", "--resume") == 0
    assert "from step 2 of" in capsys.readouterr().out
    assert run("cmc_lab", scenes, out, "--plan", "--resume", "--batch", "8") == 2
    assert "trained with a batch of 16 and is resumed with 8" in capsys.readouterr().err
    shutil.rmtree(out / "checkpoints")
    assert run("cmc_lab", scenes, out, "--plan", "--resume") == 0
    assert "no checkpoint yet" in capsys.readouterr().out


def test_the_plan_computes_sizes_for_other_numbers_of_processes_and_samples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two banks of 1e8 rows of 512 bytes over 64 processes; 63 of 64 samples come from others."""
    words = ["--plan", "--bank", "split", "--processes", "64", "--samples", "1e8", "--bandwidth", "2"]
    words += ["--batch", "4096", "--cache", str(tmp_path)]
    assert run("cmc_lab", Path("scenes:200"), tmp_path / "run", *words) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "With 64 processes and 100,000,000 samples, a process holds" in text
    assert text.count("800 MB 1,562,500 rows of 512 bytes") == 2
    assert "L-ab 8.451 MB 4,032 samples of others, 2096 bytes" in text
    assert "at 2 GB/s for all processes together" in text


@pytest.mark.parametrize(
    ("words", "output"),
    [
        (["--processes", "4"], "processes, samples and bandwidth are options of --plan; give --plan too"),
        (["--plan", "--processes", "0"], "give a whole number, 1 or more"),
        (["--plan", "--processes", "3"], "a batch of 16 cannot be shared by 3 processes"),
        (["--plan", "--bandwidth", "0"], "give GB/s, above 0"),
    ],
)
def test_sizes_that_cannot_be_computed_are_refused(
    words: list[str], output: str, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("cmc_lab", scenes, tmp_path / "run", *words) == 2
    assert output in capsys.readouterr().err
