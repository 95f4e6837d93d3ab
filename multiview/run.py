"""A run from its recipe to its results: prepare, train, finish."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from multiview import old_import_paths
from multiview.config import BEST_OF, Train
from multiview.data.store.reading import Store
from multiview.distributed import any_rank, naming_lost_ranks, on_first
from multiview.encoded_once import encode_once
from multiview.errors import MultiviewError
from multiview.finish import STEPS, Step, finish
from multiview.objectives.collapse import ADAMW
from multiview.recipe import Recipe, Setup
from multiview.recipe_origin import origin_of
from multiview.setup_record import record_of, save_setup, unrecorded
from multiview.train.best import Best
from multiview.train.diagnosis import settled_after
from multiview.train.loop import Loop, Progress
from multiview.train.lost_devices import naming_lost_devices
from multiview.train.plan import show_plan
from multiview.train.prepare import Prepared, assemble, prepare
from multiview.train.runfolder import HEALTH, changed_options, claim, describe, open_folder
from multiview.train.shared_crops import shared_crop_notes
from multiview.train.telemetry import Display, Metrics, NoMetrics
from multiview.trained import Trained

__getattr__ = old_import_paths.names_of("run")


PATIENCE = 500
"""Steps, at most a third of the run, before an edge that learns nothing is worth a warning."""


@naming_lost_devices()
@naming_lost_ranks()
def run(
    recipe: Recipe,
    *,
    name: str,
    origin: dict[str, str] | None,
    setup: Setup | None = None,
    workers: int = 1,
    script: str = "SCRIPT.py",
    data: Any = None,
    steps: Sequence[Step] = STEPS,
) -> Trained | None:
    """Prepares, trains and evaluates one recipe; returns None after --plan.

    Args:
        recipe: the options of the run.
        name: of the run folder when the recipe gives none.
        origin: how to find the recipe again, see `origin.origin_of`; None when it cannot be found.
        setup: what to train instead of the recipe's own `build`.
        workers: processes that prepare the data when there is no store yet.
        script: what follows `accelerate launch` to start this run, for messages.
        data: data in memory, in place of `recipe.data`.
        steps: what is done with the trained run at the end.
    """
    if recipe.resume or not recipe.plan:  # cheap mistakes before the data is prepared
        claim(recipe, name)
    prepared = prepare(recipe, setup, workers=workers, script=script, data=data)
    recipe, origin = _known_targets(prepared), _origin(recipe, prepared.recipe, origin)
    if recipe.plan:
        show_plan(prepared, recipe)
        return None
    _require_validation(prepared.store, prepared.train)
    with ExitStack() as held:  # the lock of the folder, in the first process
        folder = Path(on_first(lambda: str(open_folder(recipe, name, held))))
        _say_unshared(prepared, folder)
        loop = loop_of(prepared, recipe, folder)
        messages = loop.resume() if recipe.resume else []
        if prepared.accelerator.is_main_process:  # not before the checkpoint was found to fit these options
            _describe(prepared, recipe, folder, origin, setup)
        progress = train(prepared, loop, folder, messages, resumed=recipe.resume)
        _restore_best(loop.best if not progress.stopped_by else None, prepared)
        trained = replace(_trained(prepared), folder=folder, steps=progress.step, stopped_by=progress.stopped_by)
        finish(trained, recipe, prepared.console, reloadable=_is_reloadable(setup), steps=steps)
    return trained


def _known_targets(prepared: Prepared) -> Recipe:
    """The recipe; raises MultiviewError for a --target that the evaluation could not read."""
    if prepared.recipe.target:
        from multiview.measure.targets import targets_of

        targets_of(prepared.store, prepared.recipe.target)
    return prepared.recipe


def _is_reloadable(setup: Setup | None) -> bool:
    """Whether a run can be rebuilt from its folder alone. setup: given in place of a recipe's."""
    return setup is None or not unrecorded(record_of(setup))


def _say_unshared(prepared: Prepared, folder: Path) -> None:
    if note := unshared_note(folder, prepared.accelerator.device):
        prepared.console.print(f"Note: {note}", highlight=False, soft_wrap=True)


def _origin(given: Recipe, chosen: Recipe, origin: dict[str, str] | None) -> dict[str, str] | None:
    """How to find the recipe that runs, when another one was chosen by the data."""
    return origin if type(chosen) is type(given) else origin_of(type(chosen))


def unshared_note(folder: Path, device: torch.device) -> str:
    """A sentence when another process does not see the run folder of the first; empty = all do."""
    if not any_rank([not folder.is_dir()], device)[0]:
        return ""
    return (
        f"some processes do not see {folder}, which is probably on another machine. The run trains as usual and the "
        "first process writes its checkpoints; but --resume needs a folder that all machines share."
    )


def train(prepared: Prepared, loop: Loop, folder: Path, messages: Sequence[str], *, resumed: bool) -> Progress:
    """Trains into `folder`, from where `loop` stands; first prints `messages`."""
    accelerator = prepared.accelerator
    display = Display(prepared.console, loop.steps, loop.step, accelerator.is_main_process)
    for message in messages:
        display.say(message)
    for note in _first_notes(prepared) if loop.step == 0 else ():
        display.say(f"Note: {note}")
    metrics = _metrics(prepared, loop, folder, resumed) if accelerator.is_main_process else NoMetrics()
    try:
        return loop.run(metrics, display)
    finally:
        metrics.close()


def _first_notes(prepared: Prepared) -> list[str]:
    """What the objectives say about a new run, and edges whose crops give the pairs away."""
    edges = prepared.setup.graph.named_edges().items()
    said = [note for name, edge in edges if (note := edge.objective.at_first(name))]
    return [*said, *shared_crop_notes(prepared.setup, prepared.recipe), *_texts_under_sgd(prepared)]


def _texts_under_sgd(prepared: Prepared) -> list[str]:
    """A note on views of texts, whose transformers plain SGD rarely trains."""
    kinds = {view: prepared.store.modality(each.modality).kind for view, each in prepared.setup.views.items()}
    texts = [view for view, kind in kinds.items() if kind == "text"]
    if not texts or prepared.train.optimizer.name != "sgd":
        return []
    return [
        f"SGD rarely trains the transformer that reads {', '.join(texts)}. If the loss does not fall, give "
        f"{ADAMW[type(prepared.recipe) is Recipe]}, as `multiview train auto` does."
    ]


def _metrics(prepared: Prepared, loop: Loop, folder: Path, resumed: bool) -> Metrics:
    objectives = {name: edge.objective for name, edge in prepared.setup.graph.named_edges().items()}
    patience = min(PATIENCE, loop.steps // 3)
    return Metrics(
        folder,
        loop.step if resumed else None,
        objectives,
        patience,
        prepared.constant,
        settled_after(loop.steps),
        prepared.train.optimizer,
        type(prepared.recipe) is Recipe,
    )


def loop_of(prepared: Prepared, recipe: Recipe, folder: Path) -> Loop:
    """The training loop of a prepared run, before its first step."""
    frozen, setup, samples = encode_once(prepared), prepared.setup, prepared.samples
    if frozen:
        samples = samples.for_views({name: view for name, view in setup.views.items() if name not in frozen})
    parts = assemble(
        prepared.accelerator,
        setup.views,
        prepared.model,
        prepared.memories,
        prepared.train,
        samples.ids,
        setup.tuning,
        frozen,
    )
    on_epoch = _online(prepared, prepared.steps, folder)
    loop = Loop(parts, samples, prepared.batches, prepared.train, recipe.seed, folder, on_epoch)
    if prepared.train.keeps_best:
        loop.best = Best(loop.saver, str(prepared.train.keep), resumed=recipe.resume)
    return loop


def _require_validation(store: Store, train: Train) -> None:
    """Raises MultiviewError when the best checkpoint is wanted and no split can choose it."""
    keep = str(train.keep)
    if train.keeps_best and ("val" not in store.manifest.splits or not store.count("val")):
        raise MultiviewError(
            f"--keep {keep} chooses by the validation split, and the data has none (it has "
            f"{', '.join(store.manifest.splits)}). Make one with: multiview split STORE OUT --split 80/10/10"
        )


def _restore_best(best: Best | None, prepared: Prepared) -> None:
    found = best.restore() if best is not None else None
    if found:
        text = f"--keep {prepared.train.keep}: the result has the weights of step {found[0]}, with {found[1]:.4g}"
        prepared.console.print(text, highlight=False, markup=False)


def _trained(prepared: Prepared) -> Trained:
    return Trained(setup=prepared.initial, model=prepared.model, store=prepared.store, group=prepared.recipe.group)


def _describe(
    prepared: Prepared, recipe: Recipe, folder: Path, origin: dict[str, str] | None, setup: Setup | None
) -> None:
    """Prints the changed options of a resumed run, and describes the run in its folder."""
    for change in changed_options(folder, recipe) if recipe.resume else ():
        prepared.console.print(f"resumed with a changed option: {change}", highlight=False, markup=False)
    data = {
        "spec": recipe.data,
        "path": prepared.store.place,
        "manifest": prepared.store.manifest.hash,
        "samples": len(prepared.store),
    }
    describe(folder, replace(recipe, out=str(folder), resume=False, overwrite=False), origin, data)
    if setup is not None:
        save_setup(folder, setup, None if recipe.resume else prepared.initial)


def _online(prepared: Prepared, steps: int, folder: Path) -> Callable[[int, int], dict[str, float]]:
    """The measurement of `knn_every`: (epoch, step) -> numbers to log; of step 0 first of all.

    A resumed run measures the untrained weights again, because it compares with them.
    """
    from multiview.measure.labelled_splits import HELD_OUT
    from multiview.measure.online import Watch, watched_note, watched_split
    from multiview.measure.online_retrieval import online_retrieval
    from multiview.train.frozen_features import views_encoded_once

    searched = str(prepared.train.keep).startswith(f"{BEST_OF}retrieval")
    file = folder / HEALTH if prepared.accelerator.is_main_process else None
    among = ("val",) if prepared.train.keeps_best else HELD_OUT
    still = views_encoded_once(prepared.setup)
    watch = Watch(_trained(prepared), prepared.accelerator.device, file, among, still)
    split = watched_split(watch.trained, among)

    def show(when: str, values: dict[str, float]) -> None:
        kind = "kNN" if any(name.startswith("knn/") for name in values) else "R@1"
        kind += f" ({split})" if split else ""
        text = "  ".join(f"{name.partition('/')[2]} {100 * value:.1f} %" for name, value in values.items())
        if text:
            prepared.console.print(f"{when}  {kind}  {text}", highlight=False)

    def measure(epoch: int, step: int) -> dict[str, float]:
        first = watch.start() if watch.untrained is None else {}
        if step == 0:
            show("untrained", first)
            if first and (note := watched_note(prepared.store, split)):
                prepared.console.print(f"Note: {note}", highlight=False, soft_wrap=True)
            return first
        values, sentence = watch.look(step, steps)
        show(f"epoch {epoch + 1}", values)
        if sentence:
            prepared.console.print(f"Warning: {sentence}", highlight=False, soft_wrap=True)
        return values | (online_retrieval(_trained(prepared), prepared.accelerator.device) if searched else {})

    return measure
