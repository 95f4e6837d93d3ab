"""The page of a run: what it says, that it holds everything, and that foreign names do no harm."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import report_runs
from report_runs import HOSTILE, copied, hostile_run
from small_runs import run

from multiview import cli
from multiview.errors import MultiviewError
from multiview.measure.files import REPORT_DATA, to_json
from multiview.measure.intervals import Interval
from multiview.measure.rows import Measure
from multiview.report.at_end import write_at_end
from multiview.report.further_cards import targets
from multiview.report.gather import gather
from multiview.report.page import html_of, write_page
from multiview.report.reproduce import typed
from multiview.report.upset import upsets
from multiview.report.verdict import between_views, subsets

trained = report_runs.trained


class Tags(HTMLParser):
    """The start tags of a page, with their attributes, and the texts of its script elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def page_data(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="page-data">(.*?)</script>', text, flags=re.DOTALL)
    assert found
    return json.loads(found[1])


def test_a_run_makes_its_page_and_the_page_holds_everything(trained: Path) -> None:
    text = (trained / "report.html").read_text("utf8")
    assert len(text.encode()) < 5_000_000
    tags = Tags(text).tags
    sections = [attributes["id"] for tag, attributes in tags if tag == "section"]
    order = ["verdict", "graph", "matrix", "curves", "subsets", "gallery", "map", "data", "reproduce"]
    assert sections == order
    assert not [a for tag, a in tags if tag in ("link", "iframe", "object", "embed") or "src" in a]
    assert "default-src 'none'" in text
    assert (
        ("learned" in text or "no learning" in text)
        and "R@1" in text
        and "train.batch" not in text
        and "batch: 16" in text
    )


def test_the_gallery_holds_what_the_measure_of_retrieval_ranks(trained: Path) -> None:
    data = json.loads((trained / REPORT_DATA).read_text("utf8"))
    rows = {(row.group, row.measure): row for row in gather([trained])[0].rows if row.weights == "trained"}
    for pair in data["failures"]:
        first = rows[f"{pair['query']} -> {pair['gallery']}", "retrieval_recall_1"]
        assert pair["of"] == first.tested
        assert pair["missed"] == round((1 - first.value) * first.tested)
        for case in pair["cases"]:
            assert case["rank"] > 1
            assert (case["sample"] in case["top"]) == (case["rank"] <= 5)
    assert data["views"] == ["L", "ab"]
    assert len(data["samples"]) == len(data["map"]["points"]["L"]) == first.tested
    assert all(len(query["found"]["L"]["ab"]["top"]) == 5 for query in data["queries"])
    assert all(text.startswith("data:image/jpeg;base64,") for of in data["pictures"].values() for text in of.values())
    assert {str(i) for i in data["table"]} <= data["pictures"]["ab"].keys()


def test_the_page_is_made_without_torch(trained: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from multiview.cli import run; run(['report', sys.argv[1], '-o', sys.argv[2]]);"
        "print([name for name in ('torch', 'h5py', 'sklearn') if name in sys.modules])"
    )
    words = [sys.executable, "-c", program, str(trained), str(tmp_path / "page.html")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert (tmp_path / "page.html").read_text("utf8").startswith("<!doctype html>")


def test_curves_hold_ceilings_warnings_and_resumes(trained: Path, tmp_path: Path) -> None:
    copy = copied(trained, tmp_path)
    (copy / "health.jsonl").write_text(
        json.dumps({"step": 3, "symptom": "x", "of": "L-ab", "text": "mind the gap"}) + "\n"
    )
    (copy / "resumes.jsonl").write_text('{"step": 2}\n')
    text = html_of(gather([copy]))
    figures = {figure["title"]: figure for figure in page_data(text)["figures"]}
    shared = figures["shared information of L-ab"]
    assert [line["name"] for line in shared["lines"]] == ["information shown", "ceiling ln(K+1)"]
    assert [(mark["kind"], mark["step"]) for mark in shared["marks"]] == [("resume", 2), ("warning", 3)]
    assert len(figures["loss of L-ab"]["lines"][0]["x"]) == 6
    assert "Training gave 1 warning." in text and "continued at step 2" in text and "mind the gap" in text


def test_a_continued_run_writes_down_where(tmp_path: Path) -> None:
    assert run("simsiam", Path("scenes:48"), tmp_path / "run", "--cache", str(tmp_path)) == 0
    assert not (tmp_path / "run/resumes.jsonl").exists()
    words = ["--cache", str(tmp_path), "--resume", "--steps", "8"]
    assert run("simsiam", Path("scenes:48"), tmp_path / "run", *words) == 0
    assert gather([tmp_path / "run"])[0].resumes == (6,)
    assert "continued at step 6" in (tmp_path / "run/report.html").read_text("utf8")
    assert "was not evaluated" in (tmp_path / "run/report.html").read_text("utf8")


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: repr(name[:12]))
def test_hostile_names_stay_text(trained: Path, tmp_path: Path, name: str) -> None:
    text = html_of(gather([hostile_run(trained, tmp_path, name)]))
    clean = Tags(html_of(gather([trained]))).tags
    tags = Tags(text).tags
    assert [tag for tag, _ in tags if tag in ("script", "img", "iframe")] == [
        tag for tag, _ in clean if tag == "script"
    ]
    assert not [key for _, attributes in tags for key in attributes if key.startswith("on")]
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", without_plotly(text))
    assert "49" not in re.findall(r"<h1[^>]*>(.*?)</h1>", text)
    assert page_data(text)["gallery"]["views"]


def without_plotly(text: str) -> str:
    return re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)


def test_two_runs_show_what_differs_and_intervals_over_seeds(trained: Path, tmp_path: Path) -> None:
    runs = [trained]
    for number, (seed, width) in enumerate([(1, 0.25), (0, 0.5), (1, 0.5)]):
        copy = copied(trained, tmp_path / str(number)).rename(tmp_path / f"run{number}")
        config = (copy / "config.yaml").read_text("utf8")
        (copy / "config.yaml").write_text(
            config.replace("seed: 0", f"seed: {seed}").replace("width: 0.25", f"width: {width}")
        )
        runs.append(copy)
    out = write_page(runs, tmp_path / "all.html")
    text = out.read_text("utf8")
    sections = [attributes["id"] for tag, attributes in Tags(text).tags if tag == "section"]
    assert sections == ["verdict", "options", "matrix", "curves", "reproduce"]
    assert re.search(r"<tr><th>width</th><td>0\.25</td><td>0\.5</td></tr>", text)
    assert "<tr><th>size</th>" not in text
    assert "paired over 2 seeds (0, 1): within noise" in text
    loss = next(figure for figure in page_data(text)["figures"] if figure["title"] == "loss of L-ab")
    assert [(line["name"], line["colour"]) for line in loss["lines"]] == [
        ("run", 0),
        ("run0", 0),
        ("run1", 1),
        ("run2", 1),
    ]


def test_further_measures_of_two_views_stand_in_the_matrix(trained: Path) -> None:
    from multiview.report.matrix import matrix

    row = Measure(
        measure="cka",
        views=("L", "ab"),
        group="L + ab",
        weights="trained",
        value=0.25,
        interval=Interval(0.2, 0.3, "x"),
        width=8,
        samples={"test": 9},
    )
    measured = [each for each in gather([trained])[0].rows if each.measure not in ("cka", "modality_gap")]
    cells = matrix([*measured, row], ["L", "ab"])
    assert [[cell and cell.lines[-1] for cell in line] for line in cells] == [[None, "CKA 0.25"], ["CKA 0.25", None]]


@pytest.mark.parametrize(
    ("file", "text"),
    [(REPORT_DATA, "{"), (REPORT_DATA, '{"samples": 3}'), (REPORT_DATA, "[]"), ("report/cost.json", "{")],
)
def test_a_damaged_side_file_is_a_sentence(trained: Path, tmp_path: Path, file: str, text: str) -> None:
    copy = copied(trained, tmp_path)
    (copy / file).write_text(text)
    page = html_of(gather([copy]))
    assert f"{Path(file).name}" in page and "left out" in page


def test_a_folder_that_is_no_run_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MultiviewError, match=r"is no run folder.*Type the folder that training wrote"):
        write_page([tmp_path])
    for name in "abcd":
        (tmp_path / name).mkdir()
        (tmp_path / name / "environment.json").write_text("{}")
    runs = rf"{tmp_path}/a, {tmp_path}/b, {tmp_path}/c and 1 more; type one of them, or {tmp_path}/\* for all"
    with pytest.raises(MultiviewError, match=f"It holds the runs {runs}"):
        write_page([tmp_path])
    with pytest.raises(SystemExit) as end:
        cli.main(["report"])
    assert end.value.code == 2
    assert "RUN is missing" in capsys.readouterr().err


def test_a_page_that_cannot_be_written_ends_no_run(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from multiview.load_run import load
    from multiview.report import at_end

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(at_end, "write_page", full)
    monkeypatch.setattr(at_end, "_gallery", full)
    said = write_at_end(load(trained), gallery=True)
    assert [sentence for sentence in said if "no space left on device" in sentence] == said
    assert said[-1].startswith("Note: The page of the run was not written") and len(said) == 2


def measure(name: str, group: str, weights: str, value: float, **facts: object) -> Measure:
    """A row about the views L and ab, or one of them."""
    views = ("L", "ab") if group in ("concat", "L -> ab", "L + ab") else (group,)
    interval = Interval(value - 0.1, value + 0.1, "x")
    return Measure(
        measure=name, views=views, group=group, weights=weights, value=value, interval=interval, width=8,
        unit="R2" if name == "target_r2" else "fraction", samples={"test": 9}, facts=facts,
    )  # fmt: skip


def with_rows(trained: Path, tmp_path: Path, rows: list[Measure]) -> Path:
    """A copy of the run with these rows in place of its own of the same kinds."""
    copy = copied(trained, tmp_path)
    own = [row for row in gather([trained])[0].rows if not row.measure.startswith(("target_", "kept_"))]
    (copy / "evaluation.json").write_text(to_json([*own, *rows]))
    return copy


def test_controls_without_a_network_stand_in_the_matrix_and_in_the_legend(trained: Path, tmp_path: Path) -> None:
    facts = {"head": "x", "seed": 0, "chance": 0.1, "same_crop": False}
    rows = [measure("retrieval_recall_1", "L -> ab", each, 0.25, **facts) for each in ("ridge", "cca", "fused")]
    text = html_of(gather([with_rows(trained, tmp_path, rows)]))
    for said in ("ridge 25.0 %", "CCA 25.0 %", "fused 25.0 %", 'class="k-ridge"></span>ridge regression'):
        assert said in text


def test_a_view_of_which_no_pair_was_measured_has_no_row_and_no_column() -> None:
    from multiview.report.matrix import compared

    probe = measure("linear", "L", "trained", 0.9)
    crops = replace(probe, measure="retrieval_recall_1", views=("one", "one"))
    gap = replace(probe, measure="modality_gap", views=("two", "one"))
    assert compared([probe], ["L", "ab"]) == []
    assert compared([probe, crops], ["one", "two"]) == ["one"]
    assert compared([crops, gap], ["one", "two", "three"]) == ["one", "two"]


@pytest.mark.parametrize(("ridge", "state"), [(0.4, "good"), (-0.1, "unknown")])
def test_a_card_is_green_only_where_every_control_is_beaten(
    trained: Path, tmp_path: Path, ridge: float, state: str
) -> None:
    margins = {"random": 0.5, "ridge": ridge, "cca": 0.4}
    facts = {f"over_{name}": {"points": x, "low": x - 0.1, "high": x + 0.1} for name, x in margins.items()}
    facts |= {"head": "x", "seed": 0, "chance": 0.1, "same_crop": False}
    (run,) = gather([trained])
    row = measure("retrieval_recall_1", "L -> ab", "trained", 0.9, **facts)
    card = between_views(replace(run, rows=(row,)))
    assert card.state == state
    assert "multiview report RUN" not in " ".join(card.lines) and "is page " in " ".join(card.lines)


def test_targets_and_kept_facts_have_cards_tables_and_sets_of_views(trained: Path, tmp_path: Path) -> None:
    of = {"target": "size", "labels": "all", "probe": "linear"}
    over = {"over": {"random": {"points": 0.3, "low": 0.1, "high": 0.5}}}
    values = {"concat": 0.7, "L": 0.5, "ab": 0.6}
    rows = [measure("target_r2", group, "trained", x, **of, **over) for group, x in values.items()]
    rows += [measure("target_r2", group, "random", x - 0.3, **of) for group, x in values.items()]
    rows += [measure("target_r2", "L", "trained", 0.2, **of | {"labels": "10 %"})]
    rows += [measure("target_r2", "L -> ab", "trained", 0.1, **of, trained_on="L", tested_on="ab")]
    rows += [measure("kept_colour", "L", each, 0.5, fact="mean colour") for each in ("trained", "random")]
    text = html_of(gather([with_rows(trained, tmp_path, rows)]))
    assert "Of 1 target, 1 is predicted better from the trained features than from every control" in text
    assert "R² of size, from L + ab: 0.7 (0.6 to 0.8); random weights 0.4" in text
    assert "Of 1 simple fact of the samples, the trained features keep 0 better and 0 worse" in text
    for caption in ("R² of size", "R² of size, 10 % of the labels", "transfer from view to view", "kept: mean colour"):
        assert caption in text
    assert "Training lost" not in text
    lost = {"over_random": {"points": -0.3, "low": -0.4, "high": -0.2}, "changes": ["colours"]}
    rows += [measure("kept_chroma", "L", "trained", 0.5, fact="colour without brightness", **lost)]
    page = html_of(gather([with_rows(trained, tmp_path / "lost", rows)]))
    assert "Training lost what random weights keep: colour without brightness of L (R2 -0.30)" in page
    assert "use milder augmentation (of colours: hue, saturation and grey)" in page
    drawn = {each["title"]: each for each in page_data(text)["upsets"]}
    assert [each["views"] for each in drawn["R² of size"]["sets"]] == [["L", "ab"], ["ab"], ["L"]]
    assert drawn["R² of size"]["sets"][0]["values"]["random"] == [0.4, 0.3, 0.5]
    assert "kept: mean colour" not in drawn


@pytest.mark.parametrize(
    ("program", "shown"),
    [
        ("/usr/bin/multiview", "multiview"),
        ("/site-packages/multiview/cli.py", "multiview"),
        ("recipes/graph.py", "recipes/graph.py"),
    ],
)
def test_the_command_to_repeat_a_run_can_be_typed(program: str, shown: str) -> None:
    assert typed([program, "train", "auto"]) == [shown, "train", "auto"]
    assert typed([]) == []


def test_a_run_with_targets_and_no_labels_has_a_page(trained: Path, tmp_path: Path) -> None:
    copy = copied(trained, tmp_path)
    rows = [
        measure(name, view, each, 0.5, fact="mean colour", target="activity")
        for name in ("target_accuracy", "target_balanced")
        for view in ("L", "L + ab")
        for each in ("trained", "random")
    ]
    run = replace(gather([copy])[0], rows=tuple(rows))
    assert subsets(run) is None and upsets(rows)
    assert '<section id="subsets">' in html_of([run])


@pytest.mark.parametrize(("random", "raw", "state"), [(0.1, 0.1, "good"), (0.1, -0.1, "unknown"), (-0.1, 0.1, "bad")])
def test_the_card_of_targets_is_red_only_below_random_weights(
    trained: Path, random: float, raw: float, state: str
) -> None:
    over = {name: {"points": low, "low": low, "high": low + 1} for name, low in (("random", random), ("raw", raw))}
    row = measure("target_r2", "L", "trained", 0.5, target="size", labels="all", probe="linear", over=over)
    (card,) = targets(replace(gather([trained])[0], rows=(row,)))
    assert card.state == state
