"""The form of a measured row that comes from a file: types, ranges, and what its readers need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from multiview.measure.rows import BALANCED, KEPT, KNN, LINEAR, MEDIAN_RANK, MIOU, PIXEL_ACCURACY, RECALL, Measure
from multiview.typed import Form, count, flag, list_of, map_of, number, optional, plain, record, text

SHARES = (KNN, LINEAR, BALANCED, PIXEL_ACCURACY, MIOU, *RECALL.values())
"""Measures whose values are from 0 to 1."""
PROBES = (KNN, LINEAR, BALANCED)


def checked(row: Measure) -> Measure:
    """The row, when every value of it can be. Raises ValueError with the reason otherwise."""
    values = FORM(asdict(row) | {"views": list(row.views), "range": row.range and list(row.range)})
    if values["measure"] in SHARES:
        _share(values["value"])
    needed = ["train", "val"] if row.measure in PROBES else []
    if missing := [split for split in [*needed, values.get("split", "test")] if split not in values["samples"]]:
        raise ValueError(f"samples: '{missing[0]}' is missing")
    for name, form in _facts_of(row.measure).items():
        if name not in row.facts:
            raise ValueError(f"facts: '{name}' is missing")
        form(row.facts[name])
    return row


def _share(value: Any) -> float:
    if not 0 <= number(value) <= 1:
        raise ValueError(f"{value} is not from 0 to 1")
    return float(value)


def _above_zero(value: Any) -> int:
    if not count(value):
        raise ValueError("0 is too few")
    return int(value)


def _facts_of(measure: str) -> Mapping[str, Form]:
    """The facts of a measure that tables and sentences read."""
    if measure in PROBES:
        probe: dict[str, Form] = {"extracted": count, "classes": _above_zero, "majority": _share}
        return probe if measure == KNN else probe | {"c": number, "converged": flag}
    if measure in (PIXEL_ACCURACY, MIOU):
        return {"layer": text, "cells": text, "classes": _above_zero}
    if measure in (*RECALL.values(), MEDIAN_RANK):
        return {"head": text, "seed": count, "chance": number, "same_crop": flag}
    if measure.startswith(KEPT):
        return {"fact": text}
    return {}


FORM = record(
    {
        "measure": text,
        "views": list_of(text),
        "group": text,
        "weights": text,
        "value": number,
        "width": count,
        "samples": map_of(count),
    },
    {
        "interval": optional(record({"low": number, "high": number, "method": text})),
        "unit": text,
        "range": optional(list_of(number)),
        "higher_is_better": flag,
        "split": text,
        "facts": map_of(plain),
    },
)
