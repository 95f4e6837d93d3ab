"""The card of a model: its licence, its results, and what a later evaluation changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import many_kinds
import pytest

import multiview as mv
from multiview.cli import run
from multiview.finish import _how_to_load, _how_to_search
from multiview.measure.files import EVALUATION, to_json
from multiview.measure.rows import RANDOM, TRAINED, Measure
from multiview.portable.card import licence_of, refresh_results
from multiview.portable.history import _first_weights
from multiview.portable.write import write_model
from multiview.record import Made


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> mv.Trained:
    root = tmp_path_factory.mktemp("card")
    store = many_kinds.make(root / "store")
    views = {name: many_kinds.view(name) for name in ("rgb", "table")}
    encoders = {name: many_kinds.encoder(name, view) for name, view in views.items()}
    (root / "run").mkdir()
    return many_kinds.trained_of(store, views, encoders, folder=root / "run")


def measured(value: float, weights: str) -> Measure:
    facts = {"extracted": 64, "classes": 2, "majority": 0.5}
    samples = {"train": 20, "val": 5, "test": 10}
    return Measure(
        measure="knn", views=("rgb",), group="rgb", weights=weights, width=64, value=value, samples=samples, facts=facts
    )


def test_a_later_evaluation_changes_the_results_and_nothing_else(trained: mv.Trained) -> None:
    folder, _ = write_model(trained)
    assert trained.folder is not None
    card = folder / "README.md"
    assert "Nothing was measured." in card.read_text()
    assert licence_of(folder) is None
    edited = card.read_text().replace("license: other\nlicense_name: not-chosen", "license: mit")
    card.write_text(edited.replace("## Licence\n", "## Licence\n\nAsk me.\n"))
    (trained.folder / EVALUATION).write_text(to_json([measured(0.75, TRAINED), measured(0.25, RANDOM)]))
    refresh_results(trained.folder)
    text = card.read_text()
    assert f"| knn | rgb | {measured(0.75, TRAINED).weights_in_words} | 0.750 |" in text
    assert "| knn | rgb | random weights | 0.250 |" in text
    assert "Nothing was measured." not in text
    assert "Ask me." in text and licence_of(folder) == "mit"
    refresh_results(trained.folder)
    assert card.read_text() == text
    assert mv.load(folder).card == text


def test_the_card_begins_with_the_verdict(trained: mv.Trained) -> None:
    folder, _ = write_model(trained)
    assert trained.folder is not None
    facts = {"chance": 0.02, "same_crop": False, "seed": 0, "head": "z"}
    over = {"over_random": {"points": 0.01, "low": -0.05, "high": 0.07}}
    found = [
        Measure(
            measure="retrieval_recall_1",
            views=("rgb", "table"),
            group="rgb -> table",
            weights=weights,
            width=64,
            value=value,
            samples={"test": 50},
            split="test",
            facts=facts | more,
        )
        for weights, value, more in ((TRAINED, 0.05, over), (RANDOM, 0.04, {}))
    ]
    (trained.folder / EVALUATION).write_text(to_json(found))
    refresh_results(trained.folder)
    results = (folder / "README.md").read_text().partition("## Results\n")[2]
    said = results.partition("<details>")[0]
    assert "- rgb -> table: finds the table of a sample by its rgb" in said
    assert "which shows no learning" in said
    assert "Next:" not in said
    (trained.folder / EVALUATION).unlink()
    refresh_results(trained.folder)


def _below_title(card: str) -> str:
    return card.partition("\n# ")[2].splitlines()[2]


def test_the_verdict_is_the_first_line_below_the_title(trained: mv.Trained) -> None:
    assert trained.folder is not None
    (trained.folder / EVALUATION).unlink(missing_ok=True)
    card = write_model(trained)[0] / "README.md"
    assert _below_title(card.read_text()) == "**Verdict:** nothing was measured; see Results."
    facts = {"chance": 0.02, "same_crop": False, "seed": 0, "head": "z"}
    over = {"over_random": {"points": 0.4, "low": 0.3, "high": 0.5}}
    common = {"views": ("rgb", "table"), "group": "rgb -> table", "width": 64, "samples": {"test": 50}, "split": "test"}
    rows = [Measure(measure="retrieval_recall_1", weights=TRAINED, value=0.5, facts=facts | over, **common)]
    (trained.folder / EVALUATION).write_text(to_json(rows))
    card.write_text(card.read_text().replace("## Training", "My own words.\n\n## Training"))
    for _ in range(2):
        refresh_results(trained.folder)
        text = card.read_text()
        assert (
            _below_title(text) == "**Verdict:** Without labels: the encoders learned what these views have in common."
        )
        assert text.count("**Verdict:**") == 1 and "My own words." in text
    assert _below_title((write_model(trained)[0] / "README.md").read_text()).startswith("**Verdict:** Without labels")
    (trained.folder / EVALUATION).unlink()


def test_the_card_names_first_weights_and_frozen_encoders(trained: mv.Trained) -> None:
    assert "| rgb | random | all of it |" in (write_model(trained)[0] / "README.md").read_text()
    weights = {"rgb": "towers/mine.safetensors", "table": "/home/me/runs/first"}
    tuning = {
        "rgb": mv.Tuning(weights=weights["rgb"], train="frozen"),
        "table": mv.Tuning(weights=weights["table"], train="last 2 blocks"),
    }
    other = replace(trained, setup=replace(trained.setup, tuning=tuning))
    card = (write_model(other)[0] / "README.md").read_text()
    assert "| rgb | `towers/mine.safetensors` | nothing: frozen, its heads alone learned |" in card
    assert "multiview learning; that of `rgb` was frozen, with weights `towers/mine.safetensors`." in card
    assert "| table | `runs/first` | its last 2 blocks |" in card
    assert "/home/me" not in card


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("timm:resnet18", {}, "random"),
        ("timm:resnet18", {"pretrained": True}, "pretrained, of `timm:resnet18`"),
        ("timm:hf-hub:timm/resnet18", {}, "pretrained, of `timm:hf-hub:timm/resnet18`"),
        ("transformers:distilbert", {"pretrained": True}, "pretrained, of `transformers:distilbert`"),
        ("transformers:distilbert", {"pretrained": False}, "random"),
        ("convnet", {}, "random"),
    ],
)
def test_first_weights_by_the_name_of_the_encoder(name: str, options: dict[str, object], words: str) -> None:
    plugin, _, model = name.partition(":")
    encoder = mv.make_encoder("convnet", 3, width=0.25)
    encoder.made = Made(plugin, options, model or None)
    assert _first_weights(encoder, mv.Tuning()) == words


def test_a_card_without_results_or_no_card_stays(trained: mv.Trained, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    refresh_results(tmp_path)
    (tmp_path / "model" / "README.md").write_text("my own words")
    refresh_results(tmp_path)
    assert (tmp_path / "model" / "README.md").read_text() == "my own words"
    assert licence_of(tmp_path / "model") is None
    assert licence_of(tmp_path) is None


def test_a_model_is_not_evaluated_and_the_run_is_named(trained: mv.Trained) -> None:
    folder, _ = write_model(trained)
    with pytest.raises(mv.MultiviewError, match=rf"Type multiview evaluate {trained.folder} if that is its run"):
        run(["evaluate", str(folder)])


def test_the_end_of_a_run_says_how_to_load_the_model(trained: mv.Trained) -> None:
    folder, _ = write_model(trained)
    said = _how_to_load(trained, True)
    assert f'model = mv.load("{folder}")' in said
    assert f"multiview embed {folder} NEW_FILES features." in said
    assert f"multiview search {trained.folder} ID_OR_FILE" in said
    assert '"words"' not in said


@pytest.mark.parametrize(
    ("names", "edges", "line"),
    [
        (("rgb", "text"), [("rgb", "text")], '"words" --k 5'),
        (("text", "rgb"), [("text", "rgb")], '"words" --k 5'),
        (("rgb", "table", "text"), [("rgb", "table"), ("table", "text")], '"words" --in table --k 5'),
        (("rgb", "table", "text"), [("rgb", "text"), ("table", "text")], "describes (--in table: in another view):"),
        (("rgb", "table"), [("rgb", "table")], ""),
        (("rgb", "text"), [("rgb", "rgb"), ("text", "text")], ""),
    ],
)
def test_the_end_of_a_run_with_captions_shows_the_search_by_words(
    names: tuple[str, ...], edges: list[tuple[str, str]], line: str, trained: mv.Trained
) -> None:
    views = {name: many_kinds.view(name) for name in names}
    graph = SimpleNamespace(views=names, edges=[SimpleNamespace(views=edge) for edge in edges])
    store = SimpleNamespace(spec="x", modality=trained.store.modality)
    run = SimpleNamespace(folder=Path("runs/a"), store=store, setup=SimpleNamespace(views=views, graph=graph))
    said = _how_to_search(run)
    assert line in said
    assert ('"words"' in said) == bool(line)
