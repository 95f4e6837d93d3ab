"""The health of edges and views: numbers with closed forms, and the words that they lead to."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from small_runs import losses, run
from torch.nn.functional import normalize
from trials import SAMPLES, trial

import multiview as mv
from multiview.check.parity import Trial
from multiview.config import Optimizer
from multiview.counter_rng import Draws
from multiview.measure.rows import Measure
from multiview.measure.run_facts import with_advice
from multiview.objectives.base import Objective
from multiview.train.diagnosis import SETTLED, Doctor, diagnosed, settled_after
from multiview.train.health import alignment, effective_rank, of_scores, relative_std, uniformity
from multiview.train.prepare import assemble
from multiview.train.processes import start
from multiview.train.step import contrast_step


def sphere(rows: int, dim: int) -> torch.Tensor:
    return normalize(torch.randn(rows, dim, generator=torch.Generator().manual_seed(0)), dim=1)


def test_views_that_agree_are_aligned_and_strangers_are_two_apart() -> None:
    z = sphere(2000, 64)
    assert alignment(z, z).item() == 0
    assert alignment(z, z.roll(1, 0)).item() == pytest.approx(2, abs=0.02)
    assert alignment(z, -z).item() == pytest.approx(4)


def test_uniformity_is_zero_in_collapse_and_minus_four_when_spread() -> None:
    """E e^(-2 |x - y|^2) = e^-4 E e^(4 <x, y>), about e^(-4 + 8 / d) in high dimension."""
    assert uniformity(torch.ones(20, 8) / math.sqrt(8)).item() == pytest.approx(0, abs=1e-4)
    assert uniformity(sphere(256, 512)).item() == pytest.approx(-4 + 8 / 512, abs=0.02)


@pytest.mark.parametrize(("rows", "dim"), [(12, 5), (5, 12)])
def test_effective_rank_counts_directions(rows: int, dim: int) -> None:
    eye = torch.eye(max(rows, dim))[:rows, :dim]
    assert effective_rank(eye).item() == pytest.approx(5)
    assert effective_rank(torch.ones(rows, dim)).item() == pytest.approx(1)
    singular = torch.linalg.svdvals(sphere(rows, dim).double())
    share = singular / singular.sum()
    assert effective_rank(sphere(rows, dim)).item() == pytest.approx(
        float((-share * share.log()).sum().exp()), rel=1e-4
    )


def test_std_is_one_on_the_sphere_and_zero_in_collapse() -> None:
    assert relative_std(sphere(4000, 32)).item() == pytest.approx(1, abs=0.01)
    assert relative_std(torch.ones(9, 4) / 2).item() == 0


def test_scores_say_rank_share_and_nats() -> None:
    scores = torch.tensor([[2.0, 1.0, 3.0, -math.inf], [0.0, 0.0, 0.0, 0.0], [9.0, 9.0, 9.0, 9.0]])
    found = of_scores([scores], torch.tensor([True, True, False]))
    share = [math.exp(2) / (math.exp(1) + math.exp(2) + math.exp(3)), 0.25]
    assert found["positive"].item() == pytest.approx(sum(share) / 2)
    assert found["rank"].item() == 1.5
    assert found["ceiling"].item() == pytest.approx((math.log(3) + math.log(4)) / 2)
    assert found["bound"].item() == pytest.approx((math.log(3 * share[0]) + math.log(4 * share[1])) / 2, abs=1e-6)
    assert of_scores([scores], torch.zeros(3, dtype=torch.bool)) == {}


def examined(made: Trial, steps: int = 3) -> dict[str, float]:
    """Health at the last of some steps."""
    parts = assemble(
        start(made.train, "x"), made.views, made.model.train(), made.memories, made.train, lambda i: [str(i)]
    )
    for number, batch in enumerate(made.batches[:steps]):
        out = contrast_step(parts, batch, number + 1, Draws(0, number, batch.index.numpy()), examine=True)
    return {name: float(x) for name, x in out.health.items()}


WITH_NEGATIVES = {
    "cmc": (mv.CMC(negatives=7, dim=5), math.log(8)),
    "moco": (mv.MoCo(queue=11, dim=5, exclude=False), math.log(12)),
    "simclr": (mv.SimCLR(dim=5), math.log(15)),
    "simclr, cross": (mv.SimCLR(dim=5, negatives="cross"), math.log(8)),
    "siglip": (mv.SigLIP(dim=5), math.log(8)),
}


@pytest.mark.parametrize("name", WITH_NEGATIVES)
def test_every_objective_with_negatives_knows_its_ceiling(name: str) -> None:
    objective, ceiling = WITH_NEGATIVES[name]
    found = examined(trial(objective))
    assert found["ceiling/a-b"] == pytest.approx(ceiling, rel=1e-6)
    assert found["bound/a-b"] <= found["ceiling/a-b"]
    assert 0 < found["positive/a-b"] < 1
    assert 1 <= found["rank/a-b"] <= math.exp(ceiling) + 1e-3
    assert {key.split("/")[1] for key in found if key.startswith("std/")} == {"a", "b", "c"}


@pytest.mark.parametrize("name", ["simclr", "simclr, cross"])
def test_the_bound_is_the_ceiling_less_the_loss(name: str) -> None:
    objective, ceiling = WITH_NEGATIVES[name]
    made = trial(objective)
    parts = assemble(start(made.train, "x"), made.views, made.model, made.memories, made.train, lambda i: [str(i)])
    batch = made.batches[0]
    out = contrast_step(parts, batch, 1, Draws(0, 0, batch.index.numpy()), examine=True)
    assert out.health["bound/a-b"].item() == pytest.approx(ceiling - out.edges["a-b"].loss.item(), abs=1e-5)


@pytest.mark.parametrize(
    "objective", [mv.SimSiam(dim=5, predictor=4), mv.BYOL(dim=5, hidden=6), mv.VICReg(dim=5, hidden=6)]
)
def test_objectives_without_negatives_have_alignment_and_views(objective: Objective) -> None:
    found = examined(trial(objective))
    assert not [name for name in found if name.startswith("bound")]
    assert {"alignment/a-b", "uniformity/a", "effective_rank/b", "std/c"} <= set(found)


def test_rows_without_a_partner_are_left_out_and_no_row_is_no_number() -> None:
    assert examined(trial(mv.SimCLR(dim=5), missing=True), steps=2)["alignment/a-b"] > 0
    assert not [name for name in examined(trial(mv.SimCLR(dim=5), missing=True)) if name.endswith("a-b")]


@pytest.mark.parametrize(
    ("values", "symptom", "words"),
    [
        ({"bound/L-ab": 0.01, "ceiling/L-ab": 8.3}, "chance", "edge L-ab: almost nothing is learned yet"),
        (
            {"bound/L-ab": 2.77, "ceiling/L-ab": 2.77},
            "ceiling",
            "edge L-ab: the task is solved",
        ),
        ({"std/depth": 0.01, "effective_rank/depth": 1.0}, "collapse", "view depth: collapsed: all samples"),
        (
            {"std/depth": 0.5, "effective_rank/depth": 1.4},
            "directions",
            "view depth: the embeddings use only 1.4 directions",
        ),
        ({"z_drift/L-ab": 2.5}, "drift", "edge L-ab: Z of a batch is e^2.5 times the Z in use"),
    ],
)
def test_what_is_wrong_is_said_in_words(values: dict[str, float], symptom: str, words: str) -> None:
    (found,) = diagnosed(values)
    assert found["symptom"] == symptom
    assert found["text"].startswith(words)


@pytest.mark.parametrize(
    ("objective", "remedy"),
    [
        (mv.CMC(z="first-batch"), "Use z=ema or variant=softmax, which has no Z."),
        (mv.CMC(z=1e5), "Use z=ema or variant=softmax, which has no Z."),
        (mv.CMC.original(), "Without seed_defaults, use z=ema or variant=softmax, which has no Z."),
        (mv.CMC(), "Lower z_momentum (now 0.99), or use variant=softmax, which has no Z."),
        (mv.CMC(z_momentum=0.0), "Use variant=softmax, which has no Z."),
        (mv.SimCLR(), ""),
    ],
)
def test_what_is_advised_would_change_something(objective: Objective, remedy: str) -> None:
    (found,) = diagnosed({"z_drift/L-ab": 2.5}, {"L-ab": objective})
    assert found["text"].partition("wrongly.")[2].strip() == remedy


SGD, ADAMW = Optimizer(name="sgd", lr=0.03), Optimizer(name="adamw", lr=0.001)


@pytest.mark.parametrize(
    ("objective", "optimizer", "advice"),
    [
        (
            mv.CMC(),
            ADAMW,
            "Lower the learning rate (now 0.001), or use `variant: softmax` for the edge L-ab. Check the ",
        ),
        (mv.CMC(variant="softmax"), ADAMW, "Lower the learning rate (now 0.001). Check the temperature."),
        (mv.SimCLR(), SGD, "Lower the learning rate (now 0.03), or use AdamW in place of SGD (--train.optimizer.name "),
        (
            mv.SimSiam(dim=32, predictor=8),
            ADAMW,
            "Lower the learning rate (now 0.001). Check the predictor of SimSiam.",
        ),
        (mv.BYOL(), ADAMW, "Check the predictor of BYOL and the key encoder of BYOL."),
        (mv.MoCo(queue=8), ADAMW, "Check the key encoder of MoCo and the temperature."),
        (mv.VICReg(), ADAMW, "Lower the learning rate (now 0.001)."),
        (mv.SimCLR(), None, "Lower the learning rate, or use AdamW (--train.optimizer.name adamw "),
    ],
)
def test_the_advice_on_a_collapse_fits_the_run(objective: Objective, optimizer: Optimizer | None, advice: str) -> None:
    for of in ("L", "L:queue"):
        (found,) = diagnosed(
            {f"std/{of}": 0.01}, {"L-ab": objective, "a-b": mv.SimSiam(dim=32, predictor=8)}, optimizer
        )
        assert advice in found["text"]
        assert ("predictor" in found["text"]) == (type(objective).__name__ in ("SimSiam", "BYOL"))
        assert ("AdamW" in found["text"]) == (optimizer is not ADAMW)


def test_the_advice_speaks_python_to_a_run_from_python() -> None:
    (found,) = diagnosed({"std/L": 0.01}, {"L-ab": mv.SimCLR()}, SGD, python=True)
    assert 'train=mv.Train(optimizer=mv.Optimizer(name="adamw", lr=1e-3))' in found["text"]
    assert "--train" not in found["text"]


def test_an_evaluation_advises_by_the_config_of_the_run(tmp_path: Path) -> None:
    row = Measure(
        measure="uniformity", views=("L",), group="L", weights="trained", value=-0.01, width=8, samples={"test": 9}
    )
    graph = SimpleNamespace(named_edges=lambda: {"L-ab": SimpleNamespace(objective=mv.CMC())})
    trained = SimpleNamespace(setup=SimpleNamespace(graph=graph), folder=tmp_path)
    assert "use AdamW (--train" in with_advice([row], trained)[0].facts["advice"]
    (tmp_path / "config.yaml").write_text("train: {optimizer: {name: adamw, lr: 0.002}}")
    (found,) = with_advice([row], trained)
    assert found.facts["advice"].startswith("Lower the learning rate (now 0.002), or use `variant: softmax`")
    assert with_advice([replace(row, value=-1.0)], trained)[0].facts == {}


def test_health_is_no_symptom() -> None:
    good = {"bound/L-ab": 2.0, "ceiling/L-ab": 8.3, "z_drift/L-ab": 0.1, "loss/L-ab": 6.0, "lr": 0.1}
    assert list(diagnosed(good | {"std/L": 0.8, "effective_rank/L": 30.0})) == []


def test_a_line_is_said_once_even_by_a_resumed_run(tmp_path: Path) -> None:
    ill = {"std/depth": 0.01, "effective_rank/depth": 1.0}
    doctor = Doctor(tmp_path / "health.jsonl")
    assert doctor.look(SETTLED - 1, ill) == []
    assert len(doctor.look(SETTLED, ill)) == 1
    assert doctor.look(SETTLED + 10, ill) == []
    assert [settled_after(steps) for steps in (5, 40, 60, 1000)] == [20, 20, 30, 50]
    early = Doctor(tmp_path / "early.jsonl", settled=settled_after(40))
    assert [len(early.look(step, ill)) for step in (10, 20)] == [0, 1]
    assert Doctor(tmp_path / "health.jsonl", resumed_at=SETTLED + 5).look(SETTLED + 20, ill) == []
    assert len(Doctor(tmp_path / "health.jsonl", resumed_at=SETTLED - 5).look(SETTLED, ill)) == 1
    (line,) = [json.loads(line) for line in (tmp_path / "health.jsonl").read_text().splitlines()]
    assert (line["step"], line["symptom"], line["of"]) == (SETTLED, "collapse", "depth")


def test_a_line_that_a_kill_cut_short_does_not_stop_the_resumed_run(tmp_path: Path) -> None:
    file = tmp_path / "health.jsonl"
    Doctor(file).look(SETTLED, {"std/depth": 0.01, "effective_rank/depth": 1.0})
    whole = file.read_text()
    file.write_text(whole + whole[:20])
    Doctor(file, resumed_at=SETTLED)
    assert file.read_text() == whole


def test_a_run_logs_the_health_of_every_edge_and_view(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multiview.train.diagnosis.SETTLED", 2)
    assert run("mixed", scenes, tmp_path / "run") == 0
    last = losses(tmp_path / "run")[-1]
    for name in (
        "bound/L-ab",
        "rank/L-depth",
        "alignment/depth-normal",
        "std/normal",
        "uniformity/L",
        "effective_rank/ab",
    ):
        assert math.isfinite(last[name])
    assert "edge L-ab: almost nothing is learned yet" in capsys.readouterr().out


def test_a_z_that_does_not_fit_is_measured() -> None:
    """Z fixed at N e: the batch's is about N times the mean of e^s."""
    made = trial(mv.CMC(negatives=7, dim=5, z=SAMPLES * math.e))
    parts = assemble(start(made.train, "x"), made.views, made.model, made.memories, made.train, lambda i: [str(i)])
    batch = made.batches[0]
    out = contrast_step(parts, batch, 1, Draws(0, 0, batch.index.numpy()))
    drift = out.edges["a-b"].log["z_drift"].item()
    follows = trial(mv.CMC(negatives=7, dim=5))
    parts = assemble(
        start(follows.train, "x"), follows.views, follows.model, follows.memories, follows.train, lambda i: [str(i)]
    )
    first = contrast_step(parts, batch, 1, Draws(0, 0, batch.index.numpy())).edges["a-b"]
    log_z = follows.memories.states["a-b"].log_z.mean().item()
    assert first.log["z_drift"].item() == pytest.approx(0, abs=1e-6)
    assert drift == pytest.approx(log_z - math.log(SAMPLES * math.e), abs=1e-4)
