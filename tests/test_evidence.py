"""The claims of the evidence: their file, their verdicts, and the page made from results."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from multiview.study.outcome import Outcome
from multiview.study.plan import BASE, OPTION

ROOT = Path(__file__).parents[1]
CLAIMS = yaml.safe_load((ROOT / "docs/evidence/claims.yaml").read_text("utf8"))


@pytest.fixture
def evidence(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    for name in ("evidence", "_evidence_page", "_evidence_sets"):
        sys.modules.pop(name, None)
    import evidence

    return evidence


def test_every_claim_names_its_data_its_variants_and_what_is_expected() -> None:
    for claim in CLAIMS["claims"]:
        if "waits_for" in claim:
            continue
        assert claim["data"] in CLAIMS["data"], claim["name"]
        assert claim["expect"] in ("higher", "equal", "untrained")
        assert ("within" in claim) == (claim["expect"] == "equal")
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


@pytest.mark.parametrize(
    ("expect", "base", "other", "verdict"),
    [
        ("higher", (0.8, 0.81, 0.82), (0.7, 0.7, 0.73), "HOLDS"),
        ("higher", (0.7, 0.7, 0.73), (0.8, 0.81, 0.82), "DOES NOT HOLD (the opposite is clear)"),
        ("higher", (0.8, 0.81, 0.82), (0.79, 0.83, 0.8), "DOES NOT HOLD (no clear difference)"),
        ("equal", (0.8, 0.81, 0.82), (0.8, 0.815, 0.82), "HOLDS"),
        ("equal", (0.8, 0.81, 0.82), (0.7, 0.7, 0.73), "DOES NOT HOLD"),
    ],
)
def test_a_claim_holds_or_does_not(
    evidence: ModuleType, expect: str, base: tuple[float, ...], other: tuple[float, ...], verdict: str
) -> None:
    claim: dict[str, Any] = {"name": "x", "claim": "One is more than two.", "measure": "probe", "expect": expect}
    claim |= {"words": ["--steps=1"], "variants": {"one": [], "two": ["--size=8"]}, "recipe": "simclr", "within": 2}
    plan = evidence.plan_of(claim, "store", 3)
    assert [variant.kind for variant in plan.variants] == [BASE, OPTION]
    assert plan.variants[1].words[:2] == ("--steps=1", "--data=store")
    assert plan.variants[1].words[-1] == "--size=8"
    result = evidence.result_of(claim, dict(zip(plan.variants, (runs(*base), runs(*other)), strict=True)))
    assert result["verdict"] == verdict
    assert result["variants"]["one"]["raw"] == [0.3, None, None]
    assert result["seeds"] == [0, 1, 2]


def test_training_that_falls_below_untrained_weights_does_not_hold(evidence: ModuleType) -> None:
    claim = {"name": "x", "claim": "Not below.", "measure": "probe", "expect": "untrained", "variants": {"one": []}}
    (variant,) = evidence.plan_of({**claim, "words": [], "recipe": "simclr"}, "store", 3).variants
    assert evidence.result_of(claim, {variant: runs(0.5, 0.51, 0.52)})["verdict"] == "HOLDS"
    assert evidence.result_of(claim, {variant: runs(0.1, 0.11, 0.12)})["verdict"] == "DOES NOT HOLD"


def test_the_page_names_every_claim_and_those_that_were_not_run(evidence: ModuleType, tmp_path: Path) -> None:
    text = evidence.page(CLAIMS["claims"], CLAIMS["data"], tmp_path)
    for claim in CLAIMS["claims"]:
        assert claim["claim"] in text
    assert text.count("not run yet") == len(CLAIMS["claims"])


def test_the_page_of_the_docs_is_made_from_the_results(evidence: ModuleType) -> None:
    written = (ROOT / "docs/evidence.md").read_text("utf8")
    assert written == evidence.page(CLAIMS["claims"], CLAIMS["data"], ROOT / "docs/evidence")
