"""Scores that are made up, and the text that a table prints of them."""

from __future__ import annotations

import io

from rich.console import Console

from multiview.measure.scores import Score


def score(features="trained", view="concat", linear=0.7, knn=0.6, **kwargs):
    values = {"width": 64, "dim": 32, "balanced": linear, "c": 0.1, "converged": True, "train": 2000, "val": 200}
    values |= {"test": 600, "classes": 8, "majority": 0.14, **kwargs}
    return Score(features=features, view=view, linear=linear, knn=knn, **values)


def three(trained, random, raw, **kwargs):
    names = {"trained": trained, "random weights": random, "raw pixels": raw}
    return [score(name, view, value, **kwargs) for name, value in names.items() for view in ("L", "ab", "concat")]


def printed(show, what, **options):
    console = Console(file=io.StringIO(), **options)
    show(what, console)
    return console.file.getvalue()
