"""Prepares a run: opens the data, builds the model and its memories, and checks them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor

from multiview.config import Train
from multiview.data.load.absent import other_notes
from multiview.data.load.dataset import CACHE, Samples
from multiview.data.load.memory import open_memory
from multiview.data.load.mixedbatches import batches_of
from multiview.data.load.mixedstore import cache_note
from multiview.data.load.open_data import is_store, open_data
from multiview.data.load.sampler import Batches, fit_batch
from multiview.data.store.reading import Store
from multiview.distributed import from_first, on_first
from multiview.encoder import Encoder
from multiview.errors import MultiviewError
from multiview.graph import ContrastGraph, needs_of_edge
from multiview.jointnorm import join_norms
from multiview.memory.memories import Memories
from multiview.model import MultiviewModel
from multiview.objectives.base import Situation
from multiview.plurals import counted
from multiview.recipe import Recipe, Setup
from multiview.remote.address import is_address
from multiview.setup import example_tensors, with_statistics
from multiview.terminal import SafeConsole
from multiview.train.checks import check_batch_norm, check_encoders, check_synchronised
from multiview.train.constant_views import constant_note, constant_views
from multiview.train.deferred import Deferred
from multiview.train.frozen_features import FrozenFeatures
from multiview.train.groups import Grouping, grouping_of
from multiview.train.optimiser import has_fused, make_optimiser
from multiview.train.processes import compiles, start
from multiview.train.schedule import length_note, planned_steps
from multiview.train.step import Parts
from multiview.train.tuned import tuned, with_weights
from multiview.tuning import Tuning
from multiview.tuning import notes as tuning_notes
from multiview.view import View
from multiview.viewlayer import ViewLayer
from multiview.writable import refuse_unwritable

TRAIN_SPLIT = "train"
FEW_SAMPLES = 20
"""Fewer training samples are worth a sentence."""
PLAIN_WIDTH = 120
"""Columns of tables when the output is not a terminal."""


@dataclass
class Prepared:
    """A run that is checked and built but has not begun.

    setup: with the statistics of the data. initial: the same with copies of the encoders before
    their `tuning` loads weights. constant: the views whose values are all alike.
    recipe: the options, also those that were chosen by the data. asked: the graph before its
    objectives were resolved for the data.
    """

    accelerator: Accelerator
    console: Console
    store: Store
    samples: Samples
    batches: Batches
    situation: Situation
    train: Train
    setup: Setup
    initial: Setup
    model: MultiviewModel
    memories: Memories
    constant: tuple[str, ...] = ()
    grouping: Grouping | None = None
    recipe: Recipe = field(default_factory=Recipe)
    asked: ContrastGraph | None = None

    @property
    def steps(self) -> int:
        """The number of steps of the whole run."""
        return planned_steps(self.train, len(self.batches))


def prepare(
    recipe: Recipe,
    setup: Setup | None = None,
    cache: int = CACHE,
    workers: int = 1,
    script: str = "SCRIPT.py",
    data: Any = None,
) -> Prepared:
    """Builds all parts of a run; raises MultiviewError for mistakes that would show later.

    Args:
        recipe: the options of the run.
        setup: what to train instead of the recipe's own `build`.
        cache: bytes of decoded samples to keep, see `Samples`.
        workers: processes that prepare the data when there is no store yet.
        script: what follows `accelerate launch` to start this run, for messages.
        data: data in memory, which is used in place of `recipe.data`.
    """
    console = _console(accelerator := start(recipe.train, script))
    recipe, known = _for_data(recipe, console, workers, data)
    torch.manual_seed(recipe.seed)
    setup, untrained = _built(with_weights(setup or recipe.build(), recipe.weights), console)
    _check_before_data(setup, recipe.train, accelerator)
    store = known or _open_store(recipe, console, workers, data)
    count, processes = _count_samples(store), accelerator.num_processes
    batch, note = fit_batch(recipe.train.batch, count, processes)
    _say(console, note, few_samples(count), *(f"Note: {each}" for each in tuning_notes(setup.tuning)))
    train = replace(recipe.train, batch=batch)
    situation, asked, views = _situation(store, batch, processes), setup.graph, setup.views
    setup = with_statistics(setup, store, situation)
    samples = Samples(store, TRAIN_SPLIT, setup.views, train=True, seed=recipe.seed, cache=cache)
    batches = _batches(samples, train, recipe.seed, accelerator)
    _say(console, *other_notes(views, setup.views), *_notes(store, batches, train))
    recipe, train = replace(recipe, train=recipe.train.with_epochs(len(batches))), train.with_epochs(len(batches))
    model = _checked_model(setup, samples, situation, train, accelerator.device)
    grouping = _grouping(recipe, store, setup, batch, console)
    steps, codes = planned_steps(train, len(batches)), grouping.codes if grouping else None
    memories = Memories(model, setup.graph, count, recipe.seed, steps, codes, labels=_labels(setup, samples))
    constant = tuple(constant_views(samples, setup))
    if note := constant_note(constant):
        _say(console, f"Note: {note}")
    built = setup, replace(setup, encoders=untrained), model, memories, constant, grouping, recipe, asked
    return Prepared(accelerator, console, store, samples, batches, situation, train, *built)


def assemble(
    accelerator: Accelerator,
    views: Mapping[str, View],
    model: MultiviewModel,
    memories: Memories,
    train: Train,
    ids: Callable[[Tensor], list[str]],
    tuning: Mapping[str, Tuning] | None = None,
    frozen: Mapping[str, FrozenFeatures] | None = None,
) -> Parts:
    """The parts of a training step, on the device and wrapped for all processes.

    All processes start from the weights of the first process, also where machines differ. ids:
    names samples by their index, for error messages. tuning: how the encoders of some views
    learn. frozen: the features of the views that were encoded once.
    """
    seen = {name: view for name, view in views.items() if name not in (frozen or {})}
    memories.to(accelerator.device)
    from_first([*model.state_dict().values(), *memories.key_encoders.state_dict().values()])
    for network in (model, memories.key_encoders) if train.channels_last else ():
        # Before wrapping: DistributedDataParallel lays out its gradients like the weights.
        network.to(memory_format=torch.channels_last)
    # A GradScaler lets a fused optimiser leave out overflows by itself; then nobody counts them.
    fused = True if has_fused(accelerator.device) and accelerator.scaler is None else None
    optimiser = make_optimiser(train.optimizer, model, train.batch, tuning, fused=fused)
    # Accelerate would import torch.distributed.tensor and sympy to decide that it places the model.
    wrapped, optimiser = accelerator.prepare(model, optimiser, device_placement=[True, None])
    return Parts(
        accelerator=accelerator,
        graph=model.graph,
        layer=ViewLayer(seen, compiled=compiles(accelerator)).to(accelerator.device),
        model=model,
        wrapped=wrapped,
        memories=memories,
        optimiser=optimiser,
        ids=ids,
        clip=train.clip,
        channels_last=train.channels_last,
        micro_batch=train.micro_batch,
        frozen=frozen or {},
        views=views,
        deferred=Deferred.for_device(optimiser.optimizer, accelerator.device, accelerator.scaler),
    )


def few_samples(count: int) -> str | None:
    """A sentence when there is too little data to learn from."""
    if count >= FEW_SAMPLES:
        return None
    return (
        f"only {counted(count, 'training sample')}: enough to try a command, too little to learn from. Give hundreds "
        "of samples or more; `multiview inspect STORE` shows what the data holds."
    )


def _notes(store: Store, batches: Batches, train: Train) -> tuple[str | None, str | None]:
    """What the user should know of the order of the samples and of the length of the run."""
    return None if batches.windows else cache_note(store), length_note(train, len(batches))


def _count_samples(store: Store) -> int:
    """The number of training samples. Raises MultiviewError when there is none or one in all."""
    count = store.count(TRAIN_SPLIT) if TRAIN_SPLIT in store.split_names else 0
    if count and len(store) > 1:
        return count
    if len(store) == 1:
        raise MultiviewError(
            f"{store.name} holds one sample, which nothing can be contrasted with. Give a folder or a table of "
            "hundreds of samples or more."
        )
    splits = ", ".join(store.split_names) or "none"
    raise MultiviewError(
        f"{store.name} has no samples in the split '{TRAIN_SPLIT}' (its splits: {splits}); give the samples to train "
        "on this split, for example with `multiview split STORE OUT --split 80/10/10`."
    )


def _batches(samples: Samples, train: Train, seed: int, accelerator: Accelerator) -> Batches:
    """The batches of this process, in the order that the options ask for."""
    rank, processes = accelerator.process_index, accelerator.num_processes
    return batches_of(samples.store, train.batch, seed, rank, processes, samples.windows(train.order))


def _labels(setup: Setup, samples: Samples) -> Tensor | None:
    """The labels of all samples, unless the store is large and no edge reads them."""
    reads = any(needs.labels for edge in setup.graph.edges for needs in needs_of_edge(edge))
    return torch.from_numpy(samples.labels) if reads or not samples.store.is_large else None


def _check_before_data(setup: Setup, train: Train, accelerator: Accelerator) -> None:
    """Raises MultiviewError for mistakes in encoders, graph and batch, before data is prepared."""
    processes = accelerator.num_processes
    with torch.random.fork_rng(devices=[]):  # the heads of this model draw their weights too
        model = MultiviewModel(setup.encoders, setup.graph)
    per_rank = max(train.batch // processes, 1)
    check_batch_norm(model, Situation(samples=train.batch, per_rank=per_rank, ranks=processes), train.micro_batch)


def _console(accelerator: Accelerator) -> Console:
    console = SafeConsole(quiet=not accelerator.is_main_process)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    return console


def _situation(store: Store, batch: int, processes: int) -> Situation:
    count, labelled = store.count(TRAIN_SPLIT), _count_labelled(store)
    return Situation(samples=count, per_rank=batch // processes, ranks=processes, labelled=labelled)


def _count_labelled(store: Store) -> int:
    """The number of training samples with a label; of a large store, of all samples."""
    if not store.is_large:
        return int((store.labels[store.rows(TRAIN_SPLIT)] >= 0).sum())
    return sum(int((part >= 0).sum()) for part in store.parts.each("label")) if store.manifest.classes else 0


def _say(console: Console, *texts: str | None) -> None:
    for text in filter(None, texts):
        console.print(text, highlight=False, markup=False, soft_wrap=True)


def _built(setup: Setup, console: Console) -> tuple[Setup, dict[str, Encoder | str]]:
    """The setup with loaded weights, and copies of the encoders before that."""
    untrained = {name: copy.deepcopy(encoder) for name, encoder in setup.encoders.items()}
    return tuned(setup, say=partial(_say, console)), untrained


def _for_data(recipe: Recipe, console: Console, workers: int, data: Any) -> tuple[Recipe, Store | None]:
    """The recipe that runs; its store, when the recipe had to read the data to choose it."""
    if type(recipe).for_data is Recipe.for_data:
        return recipe, None
    store = _open_store(recipe, console, workers, data)
    _count_samples(store)
    chosen, lines = recipe.for_data(store)
    _say(console, *lines)
    return chosen, store


def _open_store(recipe: Recipe, console: Console, workers: int, data: Any = None) -> Store:
    """Opens the store of the run; the main process first prepares data that has no store yet."""
    if data is not None:
        return open_memory(data, partial(_say, console), recipe.group)
    made = on_first(partial(_make_store, recipe, console, workers))
    read = partial(open_data, cache=Path(recipe.cache), group=recipe.group, cache_size=recipe.cache_size)
    return read(made, mix=recipe.mix)


def _make_store(recipe: Recipe, console: Console, workers: int) -> str:
    """The name of the store of the run, which is made when there is none."""
    say, cache = partial(console.print, highlight=False), Path(recipe.cache)
    if not cache.is_dir() and not is_store(recipe.data) and not is_address(recipe.data):
        refuse_unwritable(cache, "give another folder for prepared data with --cache")
    try:
        read = partial(open_data, say=say, workers=workers, group=recipe.group, cache_size=recipe.cache_size)
        return read(recipe.data, cache, mix=recipe.mix).spec
    except OSError as cause:
        raise MultiviewError(
            f"{recipe.data} cannot be read or prepared in {cache}: {cause}. Check the disk and the rights of these "
            "folders, or give another folder for prepared data with --cache."
        ) from cause


def _grouping(recipe: Recipe, store: Store, setup: Setup, batch: int, console: Console) -> Grouping | None:
    """The groups of the training samples; prints what the user may not expect of them."""
    grouping = grouping_of(recipe.group, store, TRAIN_SPLIT, setup.graph)
    for note in grouping.notes(setup.graph, batch) if grouping else ():
        console.print(f"Note: {note}", highlight=False, markup=False, soft_wrap=True)
    return grouping


def _checked_model(
    setup: Setup, samples: Samples, situation: Situation, train: Train, device: torch.device
) -> MultiviewModel:
    model = MultiviewModel(setup.encoders, setup.graph)
    if train.sync_bn:
        join_norms(model, device)
    check_encoders(model, example_tensors(samples, setup))
    check_batch_norm(model, situation, train.micro_batch)
    counted_views = setup.views.items() if situation.ranks > 1 or not samples.store.is_large else ()
    missing = {name: samples.count_absent(view.modality) for name, view in counted_views}
    check_synchronised(model, missing, situation)
    return model
