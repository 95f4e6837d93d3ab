"""The end of a run: a list of steps. A new step is one function and one entry of `STEPS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec

from rich.console import Console

from multiview.data.load.memory import SPEC as MEMORY
from multiview.distributed import rank
from multiview.errors import MultiviewError
from multiview.portable.layout import FOLDER, is_model
from multiview.portable.write import write_model
from multiview.recipe import Recipe
from multiview.trained import Trained

UNRECORDED = (
    "setup is the one that was trained: a part of it is not registered as a plugin, so the folder does not describe it."
)
EVERY_SET = 3
"""Up to so many views, every set of them is measured; see `multiview evaluate --subsets`."""
Step = Callable[[Trained, Recipe, Console], None]
"""Does one thing with a trained run: (the run, the options it was started with, where to print)."""


def evaluate(trained: Trained, recipe: Recipe, console: Console) -> None:
    """Measures the trained encoders as `multiview evaluate` does, unless --evaluate is false."""
    if recipe.evaluate:
        from multiview.measure.evaluate import evaluate as measure

        every = len(trained.setup.graph.views) <= EVERY_SET
        measure(trained, console=console, subsets=every, target=recipe.target or ())


def deliver(trained: Trained, recipe: Recipe, console: Console) -> None:  # noqa: ARG001
    """Writes the folder `model` of the run, which needs no data; the first process writes it."""
    if trained.folder is None or rank() != 0:
        return
    try:
        _, notes = write_model(trained)
    except MultiviewError as error:  # the run itself is whole
        notes = [str(error)]
    for note in notes:
        console.print(f"Note: {note}", highlight=False, markup=False, soft_wrap=True)


def report(trained: Trained, recipe: Recipe, console: Console) -> None:
    """Writes the page of the run; with pictures unless --evaluate is false."""
    from multiview.report.at_end import write_at_end

    for sentence in write_at_end(trained, gallery=recipe.evaluate):
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)


STEPS: tuple[Step, ...] = (evaluate, deliver, report)
"""The steps after training, in order. Every step must also work later, on a loaded run."""


def finish(
    trained: Trained, recipe: Recipe, console: Console, *, reloadable: bool, steps: Sequence[Step] = STEPS
) -> None:
    """Takes all steps, then says how to load the result.

    A run that a signal stopped takes no step; the text says how to continue the run.

    Args:
        trained: the run.
        recipe: the options of the run.
        console: where to print.
        reloadable: whether the run can be rebuilt from its folder alone.
        steps: what is done, in order.
    """
    if trained.stopped_by:
        text = (
            f"stopped at step {trained.steps}; the checkpoint is in {trained.folder}. "
            f"Continue with the same command and --resume --out {trained.folder}"
        )
        console.print(text, highlight=False)
        return
    for step in steps:
        step(trained, recipe, console)
    console.print(_how_to_load(trained, reloadable), highlight=False, markup=False, soft_wrap=True)


def _how_to_load(trained: Trained, reloadable: bool) -> str:
    given = ["setup=setup"] if not reloadable else []
    given += ["data=data"] if trained.store.spec == MEMORY else []
    words = ", ".join([f'"{trained.folder}"', *given])
    text = (
        f"\nThe run is in {trained.folder}. Load its encoders with\n"
        f'  import multiview as mv\n  trained = mv.load({words})\n  features = trained.embed("test")'
    )
    text += _how_to_use(trained)
    return text if reloadable else f"{text}\n{UNRECORDED}"


def _how_to_use(trained: Trained) -> str:
    """Where the model folder is, and how it is loaded without the data; empty without one."""
    if trained.folder is None or not is_model(trained.folder / FOLDER):
        return ""
    model, view = trained.folder / FOLDER, next(iter(trained.setup.graph.views))
    return (
        f"\nWithout the data, also on another machine, load its folder {FOLDER}:\n"
        f'  model = mv.load("{model}")\n  h = model["{view}"](batch)\n'
        f"  multiview embed {model} NEW_FILES features.{'parquet' if find_spec('pyarrow') else 'npz'}"
        f"{_how_to_search(trained)}"
    )


def _how_to_search(trained: Trained) -> str:
    """The command for the nearest samples; empty where no file holds the data."""
    if trained.store.spec == MEMORY:
        return ""
    command = f"multiview search {trained.folder} ID_OR_FILE --k 5"
    return (
        f"\nThe samples that are most like one of them, or like a file:\n  {command}{_how_to_search_by_words(trained)}"
    )


def _how_to_search_by_words(trained: Trained) -> str:
    """The command that searches by a text; empty where no edge joins texts and another view."""
    views = trained.setup.graph.views
    texts = [view for view in views if trained.store.modality(trained.setup.views[view].modality).kind == "text"]
    edges = [edge.views for edge in trained.setup.graph.edges]
    partners = [v for v in views if v not in texts and any(v in edge and {*texts} & {*edge} for edge in edges)]
    if not partners:
        return ""
    first = next(view for view in views if view not in texts)
    within = "" if partners[0] == first else f" --in {partners[0]}"
    more = f" (--in {' or --in '.join(partners[1:])}: in another view)" if len(partners) > 1 else ""
    return f'\nThe samples that a text describes{more}:\n  multiview search {trained.folder} "words"{within} --k 5'
