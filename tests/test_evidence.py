"""The claims of the evidence: their file, their verdicts, and the page made from results."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml

from multiview import make_encoder, plugins
from multiview.objectives import EdgeInput, Side
from multiview.study.outcome import Outcome
from multiview.study.plan import BASE, OPTION, Variant

ROOT = Path(__file__).parents[1]
CLAIMS = yaml.safe_load((ROOT / "docs/evidence/claims.yaml").read_text("utf8"))


@pytest.fixture
def evidence(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    for name in [each for each in sys.modules if each == "evidence" or each.startswith("_evidence_")]:
        sys.modules.pop(name)
    import evidence

    return evidence


def test_every_claim_names_its_data_its_variants_and_what_is_expected() -> None:
    for claim in CLAIMS["claims"]:
        if "waits_for" in claim:
            continue
        assert claim["data"] in CLAIMS["data"], claim["name"]
        assert claim["expect"] in ("higher", "equal", "not_lower", "untrained")
        assert ("within" in claim) == (claim["expect"] != "higher")
        assert len(claim["variants"]) > (claim["expect"] != "untrained")
    names = [claim["name"] for claim in CLAIMS["claims"]]
    assert len(set(names)) == len(names)


def runs(*values: float, random: float = 0.2) -> list[Outcome]:
    return [
        Outcome(
            seed=seed,
            values={"probe": value},
            controls={"random/probe": random, **({"raw/probe": 0.3} if seed == 0 else {})},
            seconds=9,
            cpu_seconds=6,
        )
        for seed, value in enumerate(values)
    ]


def test_claims_of_one_study_mean_the_same_runs_by_one_name(evidence: ModuleType) -> None:
    seen: dict[tuple[str, str], Variant] = {}
    for claim in CLAIMS["claims"]:
        for variant in () if "waits_for" in claim else evidence.plan_of(claim, claim["data"], 1).variants:
            known = seen.setdefault((claim.get("study", claim["name"]), variant.name), variant)
            assert (known.recipe, known.words) == (variant.recipe, variant.words), variant.name


@pytest.mark.parametrize(
    ("expect", "base", "other", "verdict"),
    [
        ("higher", (0.8, 0.81, 0.82), (0.7, 0.7, 0.73), "HOLDS"),
        ("higher", (0.7, 0.7, 0.73), (0.8, 0.81, 0.82), "DOES NOT HOLD (the opposite is clear)"),
        ("higher", (0.8, 0.81, 0.82), (0.79, 0.83, 0.8), "DOES NOT HOLD (no clear difference)"),
        ("higher", (0.8,), (0.7,), "DOES NOT HOLD (one seed: no interval)"),
        ("higher by 5", (0.8, 0.81, 0.82), (0.7, 0.71, 0.73), "HOLDS"),
        ("higher by 50", (0.8, 0.81, 0.82), (0.7, 0.71, 0.73), "DOES NOT HOLD (the difference is clear, but smaller)"),
        ("equal", (0.8, 0.81, 0.82), (0.8, 0.815, 0.82), "HOLDS"),
        ("equal", (0.8, 0.81, 0.82), (0.7, 0.7, 0.73), "DOES NOT HOLD"),
        ("not_lower", (0.8, 0.81, 0.82), (0.7, 0.7, 0.73), "HOLDS"),
        ("not_lower", (0.8, 0.81, 0.82), (0.805, 0.815, 0.825), "HOLDS"),
        ("not_lower", (0.7, 0.7, 0.73), (0.8, 0.81, 0.82), "DOES NOT HOLD (the opposite is clear)"),
        ("untrained", (0.8, 0.81, 0.82), (0.5, 0.5, 0.5), "HOLDS"),
        ("untrained", (0.1, 0.11, 0.12), (0.1, 0.1, 0.1), "DOES NOT HOLD (the opposite is clear)"),
    ],
)
def test_a_claim_holds_or_does_not(
    evidence: ModuleType, expect: str, base: tuple[float, ...], other: tuple[float, ...], verdict: str
) -> None:
    claim: dict[str, Any] = {"name": "x", "claim": "One is more than two.", "measure": "probe", "within": 2}
    claim |= {"expect": expect.partition(" ")[0], "by": int(expect.rpartition(" by ")[2]) if " by " in expect else 0}
    claim |= {"words": ["--steps=1"], "variants": {"one": [], "two": ["--size=8"]}, "recipe": "simclr"}
    plan = evidence.plan_of(claim, "store", 3)
    assert [variant.kind for variant in plan.variants] == [BASE, OPTION]
    assert plan.variants[1].words[:2] == ("--steps=1", "--data=store")
    assert plan.variants[1].words[-1] == "--size=8"
    result = sys.modules["_evidence_result"].judged(claim, {"one": runs(*base), "two": runs(*other)})
    assert result["verdict"] == verdict
    assert result["variants"]["one"]["raw"] == [0.3, None, None][: len(base)]
    assert result["seeds"] == [0, 1, 2][: len(base)]


def test_a_variant_may_be_other_runs_or_another_loop_or_another_measure(evidence: ModuleType) -> None:
    claim: dict[str, Any] = {"words": ["--steps=1"], "recipe": "simclr", "measure": "probe", "expect": "higher"}
    claim["variants"] = {
        "one": ["--size=8"],
        "same": {"runs_of": "one", "measure": "probe/L"},
        "theirs": {"words": ["--size=8"], "loop": "lightly"},
    }
    plan = evidence.plan_of(claim, "store", 2)
    assert [variant.name for variant in plan.variants] == ["one", "theirs"]
    assert [variant.name for variant in evidence.of_loop(claim, plan, None).variants] == ["one"]
    assert [variant.name for variant in evidence.of_loop(claim, plan, "lightly").variants] == ["theirs"]
    assert sys.modules["_evidence_variants"].words_of(claim, "same") == ["--size=8"]


def test_the_parts_to_compare_with_are_plugins_of_the_evidence_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks/plugins"))
    plugins._registered.cache_clear()
    try:
        kinds = [plugins.load("objectives", name) for name in ("regression", "simsiam_no_predictor", "simsiam_no_stop")]
        assert make_encoder("cells", 2)(torch.ones(3, 2, 16, 16)).shape == (3, 128)
    finally:
        plugins._registered.cache_clear()
    x, y = torch.randn(4, 8, requires_grad=True), torch.randn(4, 8, requires_grad=True)
    sides = Side(z=x, p=x), Side(z=y, p=y)
    edge = EdgeInput(sides, torch.arange(4), torch.ones(4).bool())
    assert kinds[0]().loss(edge).loss.item() == pytest.approx((x - y).square().mean().item())
    gradients = [torch.autograd.grad(kind().loss(edge).loss, y, allow_unused=True)[0] for kind in kinds]
    assert gradients[0] is None  # the values that are predicted do not learn
    assert torch.allclose(2 * gradients[1], gradients[2])  # without the stop, both sides pull


def test_the_page_names_every_claim_and_those_that_were_not_run(evidence: ModuleType, tmp_path: Path) -> None:
    text = evidence.page(CLAIMS["claims"], CLAIMS["data"], tmp_path)
    for claim in CLAIMS["claims"]:
        assert claim["claim"] in text
    assert text.count("not run yet") == len(CLAIMS["claims"])


def test_the_drawing_shows_every_difference_of_the_results(evidence: ModuleType) -> None:
    folder = ROOT / "docs/evidence"
    drawn = evidence.drawing(CLAIMS["claims"], folder)
    assert (folder / "differences.svg").read_text("utf8") == drawn
    count = sum(
        max(1, len(each["variants"]) - 1) for each in CLAIMS["claims"] if (folder / f"{each['name']}.json").is_file()
    )
    assert drawn.count('text-anchor="end"') == count


def test_the_page_of_the_docs_is_made_from_the_results(evidence: ModuleType) -> None:
    written = (ROOT / "docs/evidence.md").read_text("utf8")
    assert written == evidence.page(CLAIMS["claims"], CLAIMS["data"], ROOT / "docs/evidence")
