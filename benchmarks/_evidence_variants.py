"""The runs that a claim of docs/evidence/claims.yaml asks for.

A variant is a list of words, or a mapping with `words` and with what differs from its claim:
`measure`, `loop` (what trains it in place of `multiview train`) or `runs_of` (the variant whose
runs are measured).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from multiview.measure.rows import RANDOM
from multiview.study.plan import BASE, OPTION, Plan, Variant

LIGHTLY = "lightly"
"""The one other `loop`."""

Claim = Mapping[str, Any]


def said_of(claim: Claim, name: str, key: str, default: Any) -> Any:
    """What a variant says under a key."""
    variant = claim["variants"][name]
    return variant.get(key, default) if isinstance(variant, Mapping) else default


def words_of(claim: Claim, name: str) -> list[str]:
    """What a variant adds to the words of its claim."""
    variant = claim["variants"][name]
    if _borrows(variant):
        return words_of(claim, variant["runs_of"])
    return list(variant["words"] if isinstance(variant, Mapping) else variant)


def _borrows(variant: Any) -> bool:
    return isinstance(variant, Mapping) and "runs_of" in variant


def plan_of(claim: Claim, data: str, seeds: int) -> Plan:
    """The plan of a claim: its variants, the first of which is the base."""
    words = (*claim["words"], f"--data={data}", "--train.knn_every=0", "--evaluate=false")
    own = [name for name, each in claim["variants"].items() if not _borrows(each)]
    variants = tuple(
        Variant(
            name=name,
            kind=OPTION if number else BASE,
            subject=name,
            recipe=claim["recipe"],
            words=(*words, *words_of(claim, name)),
        )
        for number, name in enumerate(own)
    )
    return Plan(variants=variants, seeds=tuple(range(seeds)), gradients=False, controls=(RANDOM,))


def of_loop(claim: Claim, plan: Plan, loop: str | None) -> Plan:
    """The part of a plan that one loop trains; None = `multiview train`."""
    mine = tuple(each for each in plan.variants if said_of(claim, each.name, "loop", None) == loop)
    return replace(plan, variants=mine)
