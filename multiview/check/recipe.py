"""`multiview check parity RECIPE`: compares training on 1, 2 and 4 processes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from multiview.check import SUBJECTS
from multiview.errors import MultiviewError
from multiview.options import parse
from multiview.plugins import load
from multiview.recipe import Recipe

if TYPE_CHECKING:
    from multiview.check.parity import Difference, Trial

DEFAULTS = ("--train.batch=16", "--train.steps=3")
"""Options that keep the check short. The options of the user follow and replace them."""


ABOUT = SUBJECTS[0].about


def run(name: str, words: Sequence[str]) -> int:
    """multiview check parity RECIPE [options]: 0 when all processes agree, 1 when they do not."""
    kind = load("recipes", name)
    about = f"{ABOUT}\n\n{inspect.getdoc(kind) or ''}"
    options = kind.as_options([*DEFAULTS, *words])
    return report(compared(parse(kind, options, prog=f"multiview check parity {name}", description=about)))


def compared(recipe: Recipe) -> dict[str, list[Difference]]:
    """The differences by mode: `in training` and `as in evaluation`."""
    from multiview.check.parity import WORLDS, differences, traces
    from multiview.data.load.open_data import open_data

    train = recipe.train
    if train.batch % WORLDS[-1]:
        raise MultiviewError(f"batch is {train.batch}; give a multiple of 4, such as 16.")
    open_data(recipe.data, Path(recipe.cache))  # once, before many processes ask for it
    alike = replace(recipe, train=replace(train, precision="no", threads=1, workers=0))
    trials = {
        "in training": partial(trial_of, alike, evaluation=False),
        "as in evaluation": partial(trial_of, alike, evaluation=True),
    }
    return {name: differences(of) for name, of in traces(trials).items()}


def trial_of(recipe: Recipe, evaluation: bool) -> Trial:
    """The recipe as this process trains it, with the first batches of all processes together."""
    from multiview.check.parity import Trial
    from multiview.data.load.sampler import Batches
    from multiview.train.prepare import prepare

    prepared = prepare(recipe, cache=0)
    batches = Batches(len(prepared.samples), prepared.train.batch, recipe.seed)
    per_epoch = len(batches)
    places = [divmod(step, per_epoch) for step in range(prepared.steps)]
    held = [prepared.samples[epoch, next(batches.for_epoch(epoch, begin))] for epoch, begin in places]
    model, views = prepared.model, prepared.setup.views
    return Trial(views, model, prepared.memories, held, prepared.train, recipe.seed, evaluation)


def report(found: Mapping[str, Sequence[Difference]]) -> int:
    """Prints the table and the verdict; returns the exit code."""
    from rich.table import Table

    from multiview.check.parity import TOLERANCE
    from multiview.terminal import SafeConsole

    table = Table("largest relative difference", box=None, header_style="dim")
    columns = [(name, world) for name, of in found.items() for world in dict.fromkeys(d.world for d in of)]
    for name, world in columns:
        table.add_column(f"{name}\n{world} processes", justify="right", no_wrap=True)
    values = {(name, d.world, d.kind, d.group): d.value for name, of in found.items() for d in of}
    for kind, group in dict.fromkeys((d.kind, d.group) for of in found.values() for d in of):
        cells = [values[*column, kind, group] for column in columns]
        table.add_row(f"{kind} of {group}", *(f"{x:.1e}" if x > TOLERANCE else f"[green]{x:.1e}" for x in cells))
    console = SafeConsole()
    console.width = max(console.width, 100)
    console.print(table)
    text, code = verdict(found)
    console.print(f"\n{text}", highlight=False, soft_wrap=True)
    return code


def verdict(found: Mapping[str, Sequence[Difference]]) -> tuple[str, int]:
    """The verdict as a sentence, and the exit code."""
    from multiview.check.parity import TOLERANCE

    worst = {name: max(of, key=lambda d: d.value) for name, of in found.items()}
    training, evaluation = worst["in training"], worst["as in evaluation"]
    if max(training.value, evaluation.value) <= TOLERANCE:
        return f"1, 2 and 4 processes train the same (largest relative difference {training.value:.1e}).", 0
    if evaluation.value <= TOLERANCE:
        return (
            f"In training the processes differ by {training.value:.1e} ({training.kind} of {training.group}): "
            "batch norm and dropout see only the rows of their own process, as always under data parallelism "
            "(--train.sync_bn true joins the batch norms). With batch norm and dropout as in evaluation, "
            f"1, 2 and 4 processes train the same (largest relative difference {evaluation.value:.1e})."
        ), 0
    return (
        f"{evaluation.world} processes differ from one by {evaluation.value:.1e} in the {evaluation.kind} of "
        f"{evaluation.group}, although batch norm and dropout work as in evaluation. Look for an objective that leaves "
        "out the rows of other processes (multiview.distributed: gather, gather_with_gradient, mean_over_rows), or for "
        "an encoder that mixes the rows of a batch."
    ), 1
