"""Makes the plan of a study from a recipe: settles its graph, and a file for each variant."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from multiview.config import Train
from multiview.errors import MultiviewError
from multiview.files import replace_text
from multiview.finish import EVERY_SET
from multiview.graphs.auto_words import changed_fields
from multiview.graphs.values import Graph
from multiview.graphs.writing import graph_to_plain
from multiview.recipe import Recipe
from multiview.study.leave_out import Changed, base_of, changes, with_tuning
from multiview.study.plan import DONE, RUNS, Plan, Variant
from multiview.train.duration import encoder_seconds
from multiview.train.prepare import Prepared, prepare

VARIANTS = "variants"
KEPT = ("data", "cache", "cache_size", "mix", "group")
"""Options of the recipe that every variant takes over."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """A plan with the text of every variant's graph file.

    seconds: of the encoders in all runs, as timed on the base; None when nothing can be timed.
    """

    plan: Plan
    texts: dict[str, str]
    left_out: list[str]
    seconds: float | None


def build(
    recipe: Recipe,
    study: Path,
    *,
    seeds: int,
    parts: Sequence[str],
    core: str | None = None,
    sweeps: Sequence[tuple[str, str]] = (),
    gradients: bool = True,
) -> Built:
    """The plan of a study of a recipe. Opens the data, which is prepared when it is not yet.

    Raises MultiviewError for a recipe that is not made of a graph, and when nothing would change.
    """
    if recipe.target:
        raise MultiviewError(
            f"a study decides by the label or by retrieval, and --target {recipe.target} would change nothing; leave "
            "it out. `multiview evaluate RUN --target COLUMN` measures a run of the study."
        )
    prepared = prepare(recipe)
    base = base_of(_graph_of(prepared, recipe), _unwatched(prepared.recipe.train))
    made, left_out = changes(base, parts, core, sweeps)
    if not made:
        raise MultiviewError(f"nothing to compare: {'; '.join(left_out) or 'no parts and no sweep were named'}.")
    texts = {each.name: _file_text(each, prepared.recipe) for each in (base, *made)}
    variants = tuple(_variant(each, study) for each in (base, *made))
    plan = Plan(
        variants=variants,
        seeds=tuple(range(recipe.seed, recipe.seed + seeds)),
        dim=min(encoder.features for encoder in prepared.model.own_encoders().values()),
        subsets=len(base.graph.views) <= EVERY_SET,
        gradients=gradients and len(base.graph.edges) > 1,
    )
    return Built(plan=plan, texts=texts, left_out=left_out, seconds=_seconds(prepared, base, made, seeds))


def _unwatched(train: Train) -> Train:
    """The training without measurements in its course, which only cost time here."""
    return train if train.keeps_best else replace(train, knn_every=0)


def _graph_of(prepared: Prepared, recipe: Recipe) -> Graph:
    if prepared.setup.source is None:
        raise MultiviewError(
            f"{type(recipe).__name__} builds its views without a graph, so that nothing can be left out by name; let "
            "`build` return mv.Graph(...).setup(), or give a graph file."
        )
    return with_tuning(prepared.setup.source, prepared.setup.tuning)


def _seconds(prepared: Prepared, base: Changed, made: Sequence[Changed], seeds: int) -> float | None:
    """The base is timed; a variant takes as much for each of its views as the base does."""
    timed = encoder_seconds(prepared)
    if timed is None:
        return None
    return timed * seeds * sum(_passes(each) / _passes(base) for each in (base, *made))


def _passes(changed: Changed) -> int:
    """Encoder passes per step; a view alone is seen twice."""
    return max(2, len(changed.graph.views))


def _variant(changed: Changed, study: Path) -> Variant:
    file = study / VARIANTS / f"{changed.name}.yaml"
    return Variant(name=changed.name, kind=changed.kind, subject=changed.subject, recipe="graph", words=(str(file),))


def _file_text(changed: Changed, recipe: Recipe) -> str:
    """The variant as a graph file, which `multiview train` trains too."""
    usual = Recipe()
    own: dict[str, Any] = {"data": recipe.data}
    own |= {name: getattr(recipe, name) for name in KEPT if getattr(recipe, name) != getattr(usual, name)}
    plain = {**own, **graph_to_plain(changed.graph), "train": changed_fields(changed.train, Train())}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)


def write_files(study: Path, built: Built) -> None:
    """Writes the graph file of every variant.

    Raises MultiviewError when that is impossible, and when finished runs had another file. Runs of
    another file that are not finished are removed.
    """
    try:
        (study / VARIANTS).mkdir(parents=True, exist_ok=True)
        for name, text in built.texts.items():
            file = study / VARIANTS / f"{name}.yaml"
            if file.is_file() and file.read_text("utf-8") != text:
                _remove_unfinished(study, name)
            replace_text(file, text)
    except OSError as cause:
        raise MultiviewError(f"{study} cannot be written: {cause.strerror or cause}; give another --out.") from cause


def _remove_unfinished(study: Path, name: str) -> None:
    for folder in (study / RUNS).glob(f"{name}.seed-*"):
        if (folder / DONE).is_file():
            raise MultiviewError(
                f"{folder} was trained with other settings than {VARIANTS}/{name}.yaml would have now; repeat the "
                "command of that study, or give another --out."
            )
        shutil.rmtree(folder)
