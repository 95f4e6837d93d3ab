"""Studies: which variants a graph has, what is compared, and that a study goes on."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from rich.console import Console

import multiview as mv
from multiview import settings
from multiview.commands.study import Study, shown, split_words, study
from multiview.errors import MultiviewError
from multiview.graphs.values import Graph, GraphEdge, GraphView
from multiview.options import parse
from multiview.settings import t_interval
from multiview.study import verdict, worker
from multiview.study.build import _file_text, build
from multiview.study.leave_out import (
    Changed,
    alone,
    base_of,
    changes,
    explicit,
    with_option,
    with_tuning,
    without_edge,
    without_view,
)
from multiview.study.outcome import Outcome
from multiview.study.plan import BASE, EDGE, VIEW, Plan, Variant, read_plan, write_plan
from multiview.study.table import show, write_files
from multiview.study.verdict import HELPS, HURTS, UNCLEAR, Difference, Judged, summary, verdicts
from multiview.train.tuned import with_weights

VIEWS = {"L": GraphView(), "ab": GraphView(), "depth": GraphView()}
SIMCLR = mv.SimCLR(temperature=0.2, dim=16)


def graph(topology: str = "full") -> Graph:
    return explicit(Graph.of(VIEWS, topology, SIMCLR))


def base(topology: str = "full") -> Changed:
    return base_of(graph(topology), mv.Train(steps=4))


def names(made: list[Changed]) -> list[str]:
    return [each.name for each in made]


def test_every_view_edge_and_topology_is_a_variant_once() -> None:
    made, said = changes(base(), ("views", "edges", "topology", "alone"), None, [])
    assert names(made) == [
        *("without-L", "without-ab", "without-depth"),
        *("without-edge-L-ab", "without-edge-L-depth", "without-edge-ab-depth"),
        *("alone-L", "alone-ab", "alone-depth"),
    ]
    assert said == [
        "full is the same setting as base",
        "core-L is the same setting as without-edge-ab-depth",
        "chain is the same setting as without-edge-L-depth",
    ]


def test_a_view_that_would_be_left_alone_is_a_sentence() -> None:
    made, said = changes(base("chain"), ("views", "edges"), None, [])
    assert names(made) == ["without-L", "without-depth"]
    assert "without-ab is left out: without ab, no edge would train L, depth" in said
    chain = graph("chain")
    assert without_edge(chain, chain.edges[0]) == "without the edge L-ab, no edge would train L"


def test_the_heir_of_a_shared_encoder_owns_it() -> None:
    own = GraphView(encoder="convnet", encoder_options={"width": 0.5})
    views = {"a": own, "b": GraphView(share="a"), "c": GraphView(share="b")}
    left = without_view(explicit(Graph.of(views, "full", SIMCLR)), "a")
    assert isinstance(left, Graph)
    assert (left.views["b"].encoder, left.views["b"].encoder_options) == ("convnet", {"width": 0.5})
    assert left.views["c"].share == "b"


def test_weights_stay_with_their_encoder_when_its_view_is_left_out() -> None:
    views = {"L": GraphView(encoder="convnet"), "ab": GraphView(share="L"), "depth": GraphView(encoder="convnet")}
    setup = with_weights(Graph.of(views, "full", SIMCLR).setup(), "L=first.pth,depth=second.pth")
    settled = with_tuning(explicit(Graph.of(views, "full", SIMCLR)), setup.tuning)
    for left, files in (("L", {"ab": "first.pth", "depth": "second.pth"}), ("depth", {"L": "first.pth", "ab": None})):
        found = without_view(settled, left)
        assert isinstance(found, Graph)
        assert {name: view.tuning.weights for name, view in found.views.items()} == files


def test_targets_are_refused_and_data_options_are_kept(tmp_path: Path) -> None:
    with pytest.raises(MultiviewError, match="--target body_lean would change nothing"):
        build(mv.Recipe(target="body_lean"), tmp_path, seeds=1, parts=())
    mixed = mv.Recipe(data="a+b", mix="3:1", cache_size="5GB")
    plain = yaml.safe_load(_file_text(base(), mixed))
    assert (plain["data"], plain["mix"], plain["cache_size"]) == ("a+b", "3:1", "5GB")


def test_a_view_leaves_an_edge_of_many_views() -> None:
    views = {name: GraphView() for name in "abcd"}
    left = without_view(explicit(Graph.of(views, "joint", mv.Symile())), "a")
    assert isinstance(left, Graph)
    assert [edge.views for edge in left.edges] == [("b", "c", "d")]


@pytest.mark.parametrize(("objective", "left"), [(mv.CoMM(), True), (mv.GRAM(), True), (mv.Symile(), False)])
def test_a_view_leaves_an_edge_of_three_where_the_objective_takes_two(objective: mv.Objective, left: bool) -> None:
    found = without_view(explicit(Graph.of(VIEWS, "joint", objective)), "L")
    assert ([edge.views for edge in found.edges] == [("ab", "depth")]) if isinstance(found, Graph) else not left
    if isinstance(found, Graph):
        found.setup()


def test_one_view_alone_meets_itself_in_small_crops_of_the_same_width() -> None:
    own = alone(replace(graph(), crop=mv.Crop(scale=(0.7, 1.0))), "depth")
    assert own.edges == (GraphEdge(("depth", "depth"), mv.SimCLR(temperature=0.2, dim=16), crop="own"),)
    assert own.crop.scale == (0.3, 1.0)


def test_options_of_objectives_crops_and_training_are_swept() -> None:
    made = [with_option(base(), *pair) for pair in (("temperature", "0.5"), ("crop", "own"), ("batch", "16"))]
    assert {edge.objective.temperature for edge in made[0].graph.edges} == {0.5}
    assert {edge.crop for edge in made[1].graph.edges} == {"own"}
    assert made[2].train.batch == 16
    assert names(made) == ["temperature=0.5", "crop=own", "batch=16"]
    with pytest.raises(MultiviewError, match="Did you mean 'temperature'"):
        with_option(base(), "temprature", "0.5")
    with pytest.raises(MultiviewError, match="is not an option to sweep"):
        with_option(base(), "loss", "1")
    with pytest.raises(MultiviewError, match="give own or shared"):
        with_option(base(), "crop", "mine")


def test_words_are_those_of_the_study_or_of_the_recipe() -> None:
    words = [
        "--data",
        "x",
        "--seeds=3",
        "--plan",
        "--gradients",
        "false",
        "--steps",
        "5",
        "--parts",
        "views",
        "edges",
        "-o",
        "here",
    ]
    own, rest = split_words(words)
    assert own == ["--seeds=3", "--plan", "--gradients=false", "--parts", "views", "edges", "--out", "here"]
    assert rest == ["--data", "x", "--steps", "5"]
    assert Study(sweep=("K=64,128",)).sweeps == [("K", "64"), ("K", "128")]
    with pytest.raises(MultiviewError, match="Did you mean 'views'"):
        Study(parts=("view",))
    with pytest.raises(MultiviewError, match="names no values"):
        _ = Study(sweep=("K",)).sweeps


@pytest.mark.parametrize("words", [["--sweep", "temperature=0.1,0.5"], ["--sweep=temperature=0.1,0.5"]])
def test_values_of_a_sweep_are_typed_as_the_help_says(words: list[str]) -> None:
    assert parse(Study, words, prog="multiview study auto").sweeps == [("temperature", "0.1"), ("temperature", "0.5")]


def test_several_options_are_swept_in_one_list() -> None:
    swept = Study(sweep=("K=64", "128", "batch=8")).sweeps
    assert swept == [("K", "64"), ("K", "128"), ("batch", "8")]
    assert Study().sweeps == []
    with pytest.raises(MultiviewError, match="names no values"):
        _ = Study(sweep=("0.5",)).sweeps


ALL = Variant(name=BASE, kind=BASE, subject="all", recipe="graph", words=("base.yaml",))
DEPTH = Variant(name="without-depth", kind=VIEW, subject="depth", recipe="graph", words=("d.yaml",))
PAIR = Variant(name="without-edge-L-ab", kind=EDGE, subject="L-ab", recipe="graph", words=("e.yaml",))


def run(seed: int, probe: float, **values: float) -> Outcome:
    gradients = {"L": {"L-ab | L-depth": -0.25}} if "depth" in values else {}
    own = {"probe": probe, **{f"probe/{view}": value for view, value in values.items()}, "R@1/L -> ab": probe / 2}
    return Outcome(seed=seed, values=own, controls={}, seconds=60, cpu_seconds=50, gradients=gradients)


FOUND = {
    ALL: [run(0, 0.80, L=0.6, depth=0.7), run(1, 0.82, L=0.61, depth=0.7), run(2, 0.81, L=0.6, depth=0.7)],
    DEPTH: [run(0, 0.75, L=0.6), run(1, 0.78, L=0.6), run(2, 0.75, L=0.6)],
    PAIR: [run(0, 0.83, L=0.6, depth=0.7), run(1, 0.80, L=0.6, depth=0.7)],
}


def test_the_verdict_is_about_paired_seeds_and_says_what_helps() -> None:
    depth, pair = verdicts(FOUND)
    assert (depth.state, pair.state) == (HELPS, UNCLEAR)
    assert depth.sentence == (
        "without depth the probe of all views falls by 5.0 [2.5, 7.5] points: depth helps. By themselves, the probe of "
        "the others changes by -0.3 [-1.8, 1.1] points, no clear effect"
    )
    assert "no clear effect over 2 seeds" in pair.sentence
    assert [each.measure for each in depth.differences] == [
        *("probe of all views", "probe of the other views (mean)", "R@1 between the other views (mean)"),
    ]
    assert pair.differences[-1].measure == "R@1 of L-ab"
    assert summary([depth, pair]) == ["views: help: depth", "edges: no clear effect: L-ab"]


def test_a_view_can_hurt_and_one_seed_has_no_interval() -> None:
    worse = {ALL: FOUND[DEPTH], DEPTH: FOUND[ALL]}
    assert verdicts(worse)[0].state == HURTS
    (only,) = verdicts({ALL: FOUND[ALL][:1], DEPTH: FOUND[DEPTH][:1]})
    assert "falls by 5.0 points (one seed: no interval)" in only.sentence
    assert verdicts({ALL: FOUND[ALL][:1], DEPTH: FOUND[DEPTH][1:]}) == []


def test_without_labels_retrieval_decides() -> None:
    found = {
        variant: [replace(run, values={name: x for name, x in run.values.items() if "R@1" in name}) for run in runs]
        for variant, runs in FOUND.items()
    }
    assert verdicts(found)[0].differences[0].measure == "R@1 between the other views (mean)"


def test_table_csv_and_json_hold_the_same_numbers(tmp_path: Path) -> None:
    plan = Plan(variants=tuple(FOUND), seeds=(0, 1, 2), dim=16)
    write_plan(tmp_path / "study", plan)
    assert read_plan(tmp_path / "study") == plan
    written = write_files(tmp_path / "study", plan, Judged.of(FOUND))
    rows = list(csv.DictReader(io.StringIO(written[0].read_text())))
    assert rows[0]["base_minus_value"] == "0.05"
    plain = json.loads(written[1].read_text())
    assert plain["verdicts"][0]["differences"][0]["points"] == pytest.approx(0.05)
    console = Console(width=140, record=True, file=io.StringIO())
    show(Judged.of(FOUND), console)
    text = console.export_text()
    assert "+5.0 [2.5, 7.5]" in text
    assert "least for L-ab and L-depth (-0.25)" in text
    assert "test samples: chance" not in text


def test_the_table_without_labels_has_no_probe_and_says_what_chance_finds() -> None:
    def found(seed: int, share: float) -> Outcome:
        return Outcome(
            seed=seed,
            values={"R@1/L -> depth": share},
            controls={"random/R@1/L -> depth": 0.04},
            seconds=60,
            cpu_seconds=50,
            queries=50,
            chance=0.02,
        )

    console = Console(width=140, record=True, file=io.StringIO())
    show(Judged.of({ALL: [found(0, 0.4), found(1, 0.5)], PAIR: [found(0, 0.4), found(1, 0.5)]}), console)
    text = console.export_text()
    assert "probe" not in text.splitlines()[0] + text.splitlines()[1]
    assert "R@1 among 50 test samples: chance 2 %, base with random weights 4.0 %." in text
    assert "no clear effect" in text
    assert "unclear" not in text


def test_seconds_of_a_stopped_run_are_added_to_those_of_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Plan(variants=(ALL,), seeds=(0,)).jobs(tmp_path)[0]
    job.folder.mkdir(parents=True)
    seconds, ends, resume = iter([0.0, 5.0, 100.0, 103.0, 200.0, 207.0]), iter([15, 0, 0]), iter([False, True, False])
    monkeypatch.setattr(worker, "_recipe", lambda _: mv.Recipe(out="x", resume=next(resume)))
    monkeypatch.setattr(worker, "_trained_and_measured", lambda *_: next(ends))
    monkeypatch.setattr(worker.time, "monotonic", lambda: next(seconds))
    assert worker.run_job(job, Plan(variants=(ALL,), seeds=(0,))) == 15
    assert not job.done
    assert worker.run_job(job, Plan(variants=(ALL,), seeds=(0,))) == 0
    assert job.seconds == 8.0
    assert worker.run_job(job, Plan(variants=(ALL,), seeds=(0,))) == 0, "begun again, not resumed"
    assert job.seconds == 7.0


def test_the_results_are_judged_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[int] = []
    monkeypatch.setattr(verdict, "verdicts", lambda found: calls.append(1) or verdicts(found))
    monkeypatch.setattr("multiview.study.outcome.outcomes", lambda *_: FOUND)
    monkeypatch.setattr("multiview.study.page.write_study_page", lambda *_: None)
    shown(tmp_path, Plan(variants=tuple(FOUND), seeds=(0, 1, 2)))
    assert calls == [1]


def test_another_setting_is_refused_in_the_folder_of_finished_runs(tmp_path: Path) -> None:
    plan, out = Plan(variants=(ALL, DEPTH), seeds=(0,)), tmp_path / "study"
    write_plan(out, plan)
    other = Plan(variants=(ALL, replace(DEPTH, words=("other.yaml",))), seeds=(0, 1))
    write_plan(out, other)  # nothing is finished yet
    job = other.jobs(out)[1]
    job.folder.mkdir(parents=True)
    (job.folder / "study.json").write_text('{"seconds": 1, "cpu_seconds": 1}')
    with pytest.raises(MultiviewError, match="finished runs of another setting"):
        write_plan(out, plan)
    with pytest.raises(MultiviewError, match="is no study"):
        read_plan(tmp_path)


GRAPH = """
crop: {size: 16}
views:
  L: {encoder: {name: convnet, width: 0.125}}
  ab: {encoder: {name: convnet, width: 0.125}}
  depth: {encoder: {name: convnet, width: 0.125}}
topology: core:L
objective: {name: simclr, temperature: 0.2, dim: 8, hidden: 8}
train: {steps: 2, batch: 8}
"""


@pytest.mark.slow
def test_a_study_ends_in_a_table_and_a_page_and_goes_on(
    tmp_path: Path, scenes: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "graph.yaml", tmp_path / "study"
    file.write_text(GRAPH)
    words = ["--data", str(scenes), "--out", str(out), "--parts", "views", "--processes", "1"]
    assert study(str(file), [*words, "--seeds", "1", "--plan"]) == 0
    assert "3 variants x 1 seed = 3 runs, of which 3 are left" in capfd.readouterr().out
    assert not out.exists()
    assert study(str(file), [*words, "--seeds", "1"]) == 0
    shown = capfd.readouterr().out
    assert "without-L is left out" in shown
    assert "without depth the probe of all views" in shown
    first = (out / "runs/base.seed-0/study.json").stat().st_mtime_ns
    assert json.loads((out / "runs/base.seed-0/gradients.json").read_text())["L"].keys() == {"L-ab | L-depth"}
    assert study(str(file), [*words, "--seeds", "2"]) == 0
    assert "3 runs to train of 6" in capfd.readouterr().out
    assert (out / "runs/base.seed-0/study.json").stat().st_mtime_ns == first
    assert len(json.loads((out / "study.json").read_text())["runs"]["base"]) == 2
    assert "Without one view" in (out / "report.html").read_text("utf8")


def test_a_study_is_the_same_by_a_relative_and_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "depth.yaml").touch()
    out = tmp_path / "study"
    relative, absolute = (
        Plan(variants=(ALL, replace(DEPTH, words=(str(file),))), seeds=(0,))
        for file in (Path("depth.yaml"), tmp_path / "depth.yaml")
    )
    write_plan(out, relative)
    job = relative.jobs(out)[1]
    job.folder.mkdir(parents=True)
    (job.folder / "study.json").write_text('{"seconds": 1, "cpu_seconds": 1}')
    write_plan(out, absolute)
    assert read_plan(out).variants == absolute.variants


def test_two_equal_differences_give_no_verdict() -> None:
    two, three = (
        Difference(measure="probe", base=0.5, other=0.4, margin=t_interval([0.1] * n), seeds=n) for n in (2, 3)
    )
    assert not two.clear
    assert three.clear
    assert two.in_words == "changes by -10.0 [-10.0, -10.0] points"
    assert paired_of(two.seeds).endswith("(0, 1): no verdict below 3 seeds")
    assert paired_of(three.seeds).endswith("(0, 1, 2): beyond noise")


def paired_of(seeds: int) -> str:
    return settings._tested([0.1] * seeds, "accuracy", ", ".join(map(str, range(seeds))))
