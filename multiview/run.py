"""A run from its recipe to its results: data, setup, training, evaluation, and the lines that load what came out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor

from multiview.config import Train
from multiview.data.load.dataset import CACHE, Samples
from multiview.data.load.open_data import open_data
from multiview.data.load.sampler import Batches, fit_batch
from multiview.data.load.viewstatistics import settled as settled_view
from multiview.data.store.reading import Store
from multiview.distributed import on_first
from multiview.errors import MultiviewError
from multiview.graph import ContrastGraph
from multiview.memory.memories import Memories
from multiview.model import MultiviewModel
from multiview.objectives.base import Situation
from multiview.recipe import Recipe, Setup
from multiview.train.checkpoint import any_saved, newest
from multiview.train.loop import Loop, Progress, planned_steps, refuse_other_data
from multiview.train.optimiser import make_optimiser
from multiview.train.plan import show_plan
from multiview.train.processes import compiles, start
from multiview.train.runfolder import CHECKPOINTS, changed_options, claim, describe
from multiview.train.step import Parts
from multiview.train.telemetry import Display, Metrics, NoMetrics
from multiview.trained import Trained
from multiview.view import View
from multiview.viewlayer import ViewLayer

TRAIN_SPLIT = "train"
PLAIN_WIDTH = 120
"""Columns of tables where the output is no terminal."""


@dataclass
class Prepared:
    """A run that is checked and built but has not begun."""

    accelerator: Accelerator
    console: Console
    store: Store
    samples: Samples
    setup: Setup
    train: Train
    trained: Trained
    memories: Memories
    batches: Batches


def run(
    recipe: Recipe, *, name: str, origin: dict[str, str] | None, setup: Setup | None = None, workers: int = 1
) -> Trained | None:
    """Prepares, trains and evaluates one recipe; None after --plan.

    name: of the run folder when the recipe gives none. origin: how to find the recipe again (`cmc_lab`, or a file). setup: what to
    train, instead of the recipe's own `build`. workers: processes that make a store that is not there yet.
    """
    prepared = prepare(recipe, setup, workers=workers)
    if recipe.plan:
        _plan(prepared, recipe)
        return None
    main = prepared.accelerator.is_main_process
    out = Path(on_first(lambda: str(claim(recipe, name))))
    if main:
        for change in changed_options(out, recipe) if recipe.resume else ():
            prepared.console.print(f"resumed with another option: {change}", highlight=False, markup=False)
        describe(
            out,
            replace(recipe, out=str(out), resume=False, overwrite=False),
            origin,
            _data_facts(prepared.store, recipe),
        )
    progress = train(prepared, recipe, out)
    trained = replace(prepared.trained, folder=out, stopped_by=progress.stopped_by, steps=progress.step)
    finish(prepared, trained, recipe, reloadable=origin is not None)
    return trained


def prepare(recipe: Recipe, setup: Setup | None = None, cache: int = CACHE, workers: int = 1) -> Prepared:
    """Everything before the first step; raises MultiviewError for whatever would go wrong later. cache: see `Samples`."""
    accelerator = start(recipe.train, f"recipes/{type(recipe).__name__}.py")
    console = Console(quiet=not accelerator.is_main_process)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    torch.manual_seed(recipe.seed)
    made = setup or recipe.build()
    store = _opened(recipe, console, workers)
    count = len(store.rows(TRAIN_SPLIT))
    batch, sentence = fit_batch(recipe.train.batch, count, accelerator.num_processes)
    if sentence:
        console.print(sentence, highlight=False)
    schedule = replace(recipe.train, batch=batch)
    situation = Situation(samples=count, per_rank=batch // accelerator.num_processes, ranks=accelerator.num_processes)
    fitted = settled(made, store, situation)
    samples = Samples(store, TRAIN_SPLIT, fitted.views, train=True, seed=recipe.seed, cache=cache)
    batches = Batches(count, batch, recipe.seed, accelerator.process_index, accelerator.num_processes)
    planned_steps(schedule, len(batches))
    initial = {name: copy.deepcopy(e) for name, e in fitted.encoders.items()}
    model = MultiviewModel(fitted.encoders, fitted.graph)
    check_encoders(model, tensors_of(samples, fitted))
    check_norms(model, situation, schedule.micro_batch)
    check_synchronised(model, {name: samples.lacking(view.modality) for name, view in fitted.views.items()}, situation)
    memories = Memories(model, fitted.graph, count, recipe.seed, planned_steps(schedule, len(batches)))
    trained = Trained(setup=replace(fitted, encoders=initial), model=model, store=store)
    return Prepared(accelerator, console, store, samples, fitted, schedule, trained, memories, batches)


def settled(setup: Setup, store: Store, situation: Situation) -> Setup:
    """The setup fitted to the data: objectives to the number of samples, views to the store's statistics."""
    views = {name: settled_view(view, store) for name, view in setup.views.items()}
    return replace(setup, views=views, graph=setup.graph.fitted(situation))


def tensors_of(samples: Samples, setup: Setup) -> dict[str, Tensor]:
    """What the encoders are going to see, from two training samples."""
    batch = samples[0, torch.tensor([0, len(samples) - 1])]
    return ViewLayer(setup.views)(batch)


def check_encoders(model: MultiviewModel, tensors: Mapping[str, Tensor]) -> None:
    """Runs view tensors of two samples through every encoder; raises MultiviewError when one does not take its view."""
    was = model.training
    model.eval()
    for name, x in tensors.items():
        try:
            with torch.no_grad():
                h = model.encoder(name)(x)
        except (RuntimeError, ValueError) as error:
            raise MultiviewError(
                f"the encoder of view '{name}' does not take its tensors {tuple(x.shape)}: {str(error).splitlines()[0]} "
                f"Give it {x.shape[1]} input channels, or the crop another size."
            ) from error
        if tuple(h.shape) != (2, model.encoder(name).features):
            raise MultiviewError(
                f"the encoder of view '{name}' returns {tuple(h.shape)} for 2 samples but declares {model.encoder(name).features} features."
            )
    model.train(was)


def assembled(
    accelerator: Accelerator,
    views: Mapping[str, View],
    model: MultiviewModel,
    memories: Memories,
    train: Train,
    ids: Callable[[Tensor], list[str]],
) -> Parts:
    """What a step works with, on the device and wrapped for all processes. ids: names samples by their index."""
    memories.to(accelerator.device)
    if (
        train.channels_last
    ):  # before it is wrapped: DistributedDataParallel lays its gradients out as it finds the weights
        model.to(memory_format=torch.channels_last)
    optimiser = make_optimiser(train.optimizer, model, train.batch)
    wrapped, optimiser = accelerator.prepare(model, optimiser)
    layer = ViewLayer(views, compiled=compiles(accelerator)).to(accelerator.device)
    return Parts(
        accelerator,
        model.graph,
        layer,
        model,
        wrapped,
        memories,
        optimiser,
        ids,
        train.clip,
        train.channels_last,
        train.micro_batch,
    )


def check_norms(model: MultiviewModel, situation: Situation, micro_batch: int | None = None) -> None:
    """Raises MultiviewError when batch norm would see one sample a step, or at a time: nothing is left of it but its mean, or torch refuses."""
    if not any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        return
    if situation.per_rank < 2:
        raise MultiviewError(
            f"the encoders have batch norm, which needs two samples, but each of {situation.ranks} processes would see "
            f"{situation.per_rank} a step; give --batch {2 * situation.ranks} or more."
        )
    parts = -(-situation.per_rank // (micro_batch or situation.per_rank))
    if situation.per_rank // parts < 2:
        raise MultiviewError(
            f"micro_batch is {micro_batch}: of the {situation.per_rank} samples that a process sees a step, some would go through the encoders "
            "alone, but their batch norm needs two; give --micro-batch "
            f"{3 if situation.per_rank % 2 else 2} or more."
        )


def check_synchronised(model: MultiviewModel, lacking: Mapping[str, int], situation: Situation) -> None:
    """Raises MultiviewError when processes could wait for one without rows of a view: a SyncBatchNorm where samples lack it.

    lacking: how many training samples lack each view.
    """
    for name, missing in lacking.items():
        waits = any(isinstance(module, torch.nn.SyncBatchNorm) for module in model.encoder(name).modules())
        if waits and missing and situation.ranks > 1:
            raise MultiviewError(
                f"the encoder of view '{name}' has SyncBatchNorm, in which every process waits for all others, but {missing} of "
                f"{situation.samples} training samples lack that view: one that sees fewer than two would not come. Give it batch norm "
                "without synchronisation or GroupNorm, or train on samples that all have the view."
            )


def train(prepared: Prepared, recipe: Recipe, out: Path) -> Progress:
    """Trains into `out`, from the start or from the newest checkpoint."""
    accelerator = prepared.accelerator
    parts = assembled(
        accelerator,
        prepared.setup.views,
        prepared.trained.model,
        prepared.memories,
        prepared.train,
        prepared.samples.ids,
    )
    loop = Loop(parts, prepared.samples, prepared.batches, prepared.train, recipe.seed, out, _online_knn(prepared))
    sentences = loop.resume() if recipe.resume else []
    display = Display(prepared.console, loop.steps, loop.progress.step, accelerator.is_main_process)
    for sentence in sentences:
        display.say(sentence)
    resumed_at = loop.progress.step if recipe.resume else None
    objectives = {name: edge.objective for name, edge in prepared.setup.graph.named_edges().items()}
    metrics = Metrics(out, resumed_at, objectives) if accelerator.is_main_process else NoMetrics()
    try:
        return loop.run(metrics, display)
    finally:
        metrics.close()


def finish(prepared: Prepared, trained: Trained, recipe: Recipe, reloadable: bool) -> None:
    """Evaluates, and ends by printing the lines that load the result, where a recipe can rebuild it."""
    console, out = prepared.console, trained.folder
    if trained.stopped_by:
        console.print(
            f"stopped at step {trained.steps}; the checkpoint is in {out}. Continue with the same command and --resume --out {out}",
            highlight=False,
        )
        return
    if recipe.evaluate:
        from multiview.measure.run import evaluate

        evaluate(trained, device=prepared.accelerator.device, console=console)
    if not reloadable:
        console.print(f"\nThe run is in {out}; its encoders are in the Trained that fit returns.", highlight=False)
        return
    console.print(f"\nThe run is in {out}. Load its encoders with", highlight=False)
    console.print(
        f'  import multiview as mv\n  trained = mv.load("{out}")\n  features = trained.embed("test")',
        highlight=False,
        markup=False,
    )


def _online_knn(prepared: Prepared) -> Callable[[int, int], dict[str, float]]:
    from multiview.measure.run import online_knn

    def measure(epoch: int, step: int) -> dict[str, float]:  # noqa: ARG001
        values = online_knn(prepared.trained, prepared.accelerator.device)
        shown = "  ".join(f"{name.removeprefix('knn/')} {100 * value:.1f} %" for name, value in values.items())
        if shown:
            prepared.console.print(f"epoch {epoch + 1}  kNN  {shown}", highlight=False)
        return values

    return measure


def _opened(recipe: Recipe, console: Console, workers: int) -> Store:
    """The store of the run; only the main process makes one."""

    def make() -> str:
        say = partial(console.print, highlight=False)
        return open_data(recipe.data, Path(recipe.cache), say=say, workers=workers).spec

    return open_data(on_first(make), Path(recipe.cache))


def _data_facts(store: Store, recipe: Recipe) -> dict[str, Any]:
    return {
        "spec": recipe.data,
        "path": str(Path(store.path).resolve()),
        "manifest": store.manifest.hash,
        "samples": len(store),
    }


def _plan(prepared: Prepared, recipe: Recipe) -> None:
    steps, per_epoch = planned_steps(prepared.train, len(prepared.batches)), len(prepared.batches)
    optimiser = prepared.train.optimizer
    facts = {
        "data": f"{prepared.store.path}: {len(prepared.samples):,} training samples",
        "steps": f"{steps:,} of {prepared.train.batch} samples ({per_epoch:,} an epoch) on {prepared.accelerator.num_processes} process(es)",
        "optimiser": f"{optimiser.name}, learning rate {optimiser.rate(prepared.train.batch):g}, {optimiser.schedule}",
        "precision": {"no": "float32"}.get(prepared.train.precision, prepared.train.precision),
        "device": str(prepared.accelerator.device),
        "out": recipe.out or "the next free folder under runs/",
    }
    if recipe.resume:
        facts["resume"] = _resumes(prepared, recipe)
    ranks = prepared.accelerator.num_processes
    situation = Situation(len(prepared.samples), prepared.train.batch // ranks, ranks)
    graph: ContrastGraph = prepared.setup.graph
    shapes = {name: tuple(x.shape[1:]) for name, x in tensors_of(prepared.samples, prepared.setup).items()}
    show_plan(
        prepared.console,
        prepared.setup.views,
        shapes,
        prepared.trained.model,
        graph,
        prepared.memories,
        prepared.train,
        facts,
        situation,
    )


def _resumes(prepared: Prepared, recipe: Recipe) -> str:
    """Where --resume would go on; raises MultiviewError where it could not."""
    folder = claim(recipe, "") / CHECKPOINTS
    if not any_saved(folder):
        return "no checkpoint yet: from the first step"
    found = newest(folder)
    refuse_other_data(found.state, len(prepared.samples), prepared.train.batch)
    return f"from step {found.state['step']:,} of {found.path}"
