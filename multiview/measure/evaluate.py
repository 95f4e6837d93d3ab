"""Evaluation of a run, with labels and without, beside untrained encoders and raw pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from multiview.distributed import on_first, rank
from multiview.files import replace_text
from multiview.measure.embeddings import Embedded, Extract, embed, pooled, raw_pixels, share_buffers
from multiview.measure.features import Features, measure_features
from multiview.measure.files import EVALUATION, file_of, to_json
from multiview.measure.fused import with_fused
from multiview.measure.labelled_splits import filled_splits, labelled_positions, why_no_labels
from multiview.measure.linear import Probes
from multiview.measure.partners import Plan, distinct_views, measured_views, plan, same_views_in_words
from multiview.measure.predictions import plain_statistics, predictions, target_positions
from multiview.measure.rows import RANDOM, RAW, STATISTICS, TRAINED, Group, Measure, group_name
from multiview.measure.run_facts import with_advice, with_called, with_changes
from multiview.measure.table import render
from multiview.measure.target_probes import LINEAR
from multiview.measure.targets import Target, others_in_words, targets_of
from multiview.measure.unlabelled import unlabelled
from multiview.measure.untrained import untrained_model
from multiview.measure.view_subsets import each_and_all, why_not_measurable
from multiview.measure.view_subsets import subsets as every_subset
from multiview.model import MultiviewModel, fused_names
from multiview.terminal import SafeConsole

if TYPE_CHECKING:
    from multiview.trained import Trained


EVERY_CONTROL = (RANDOM, RAW, STATISTICS)


def evaluate(
    trained: Trained,
    *,
    device: torch.device | None = None,
    console: Console | None = None,
    layer: str | None = None,
    dim: int | None = None,
    subsets: bool = False,
    target: Sequence[str] = (),
    probe: str = LINEAR,
    controls: Sequence[str] = EVERY_CONTROL,
    probes: Probes | None = None,
) -> list[Measure]:
    """kNN and linear probe, by labels, of every view and of all together; retrieval between views.

    Prints tables and a verdict, and writes the file of `file_of`. Every process must call it.

    Args:
        trained: the run.
        device: of the encoders (None = that of the model).
        console: where to print.
        layer: a layer of the encoders, averaged (None = features); retrieval uses embeddings.
        dim: the width of every probe (None = the narrowest features).
        subsets: probe every subset of the views, on the samples that have all its views.
        target: what probes predict, see `targets_of` (none = the label, else the first column).
        probe: `linear`; `mlp` adds a probe with a hidden layer.
        controls: `random` (first weights), `raw` (values), `statistics` (ridge, CCA, targets).
        probes: those of other runs on the same data, whose controls are not fitted again.
    """
    console, device = console or SafeConsole(quiet=rank() != 0), device or next(trained.model.parameters()).device
    share_buffers(trained.model)
    splits = filled_splits(trained.store)
    groups = _groups(trained, splits, subsets, console)
    targets = _targets(trained, splits, target, console) if STATISTICS in controls else []
    search = plan(trained.setup, trained.store, splits)
    if not groups and not targets and search is None:
        _say(console, ["Not evaluated: no split holds two samples of one view."])
        return []
    _say(console, [*same_views_in_words(trained.setup), *(search.left_out if search else ())])
    probed = Probed(targets, groups, _usual(trained), dim, probe, controls, probes)
    rows = _measured(trained, splits if groups or targets else [], probed, search, device, layer)
    _show_and_write(trained, rows, console)
    return rows


def _usual(trained: Trained, subsets: bool = False) -> list[Group]:
    """Each view, all of them or every subset side by side, and every fused embedding."""
    names = list(distinct_views(trained.setup))
    fused = [(name,) for name in fused_names(trained.setup.graph).values()]
    return [*(every_subset(names) if subsets else each_and_all(names)), *fused]


def _measured(
    trained: Trained,
    splits: Sequence[str],
    probed: Probed,
    search: Plan | None,
    device: torch.device,
    layer: str | None,
) -> list[Measure]:
    """All rows: of probes by labels and targets in `splits`, and of the plan without labels."""
    models = {TRAINED: trained.model.eval()}
    if RANDOM in probed.controls:
        models[RANDOM] = untrained_model(trained, device)
    rows = _labelled(trained, models, splits, probed, device, layer) if splits else []
    plain = STATISTICS in probed.controls
    rows = [*with_called(rows, trained), *(unlabelled(trained, search, models, device, plain=plain) if search else [])]
    return with_changes(with_advice(rows, trained), trained)


def _labelled(
    trained: Trained,
    models: Mapping[str, MultiviewModel],
    splits: Sequence[str],
    probed: Probed,
    device: torch.device,
    layer: str | None,
) -> list[Measure]:
    """kNN and probes, by labels and targets, of the models, raw pixels and statistics."""
    labelled = {split: _wanted(trained, split, probed) for split in splits}
    parts = _of_models(trained, models, labelled, device, layer)
    if RAW in probed.controls:
        parts[RAW] = _embedded(trained, labelled, raw_pixels, device, RAW)
    statistics = _embedded(trained, labelled, plain_statistics(trained), device, STATISTICS) if probed.targets else {}

    def measure() -> list[Measure]:
        probes = probed.probes or Probes()
        rows = _by_labels(trained, splits, probed, parts, probes)
        if not probed.targets:
            return rows
        groups = [group for group in probed.usual if group in probed.groups] or probed.usual
        given = (trained, probed.targets, groups, {**parts, STATISTICS: statistics}, labelled, models)
        return rows + predictions(*given, dim=probed.dim, probe=probed.probe, through_z=layer is None, probes=probes)

    return on_first(measure)


def _say(console: Console, sentences: Sequence[str]) -> None:
    for sentence in sentences:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)


@dataclass(frozen=True)
class Probed:
    """What is measured: targets, the groups of views with labels, all usual groups, controls.

    probes: see `evaluate`.
    """

    targets: Sequence[Target]
    groups: Sequence[Group]
    usual: Sequence[Group]
    dim: int | None
    probe: str
    controls: Sequence[str] = EVERY_CONTROL
    probes: Probes | None = None


def _targets(trained: Trained, splits: Sequence[str], wanted: Sequence[str], console: Console) -> list[Target]:
    """The named targets. Of none the label, or without a label the first column that can be one.

    Further columns are named only: each takes about as long as the label.
    """
    if wanted or not {"train", "test"} <= set(splits):
        return targets_of(trained.store, wanted) if wanted else []
    targets = targets_of(trained.store, ())
    if others := others_in_words(targets[1:]):
        console.print(others, highlight=False, markup=False, soft_wrap=True)
    return targets[:1]


def _wanted(trained: Trained, split: str, probed: Probed) -> NDArray[np.int64]:
    """The samples of a split that probes need."""
    positions = target_positions(trained.store, split, probed.targets)
    if not probed.groups:
        return positions
    return np.union1d(labelled_positions(trained.store, split, trained.setup.views), positions)


def _by_labels(
    trained: Trained,
    splits: Sequence[str],
    probed: Probed,
    parts: Mapping[str, Mapping[str, Embedded]],
    probes: Probes,
) -> list[Measure]:
    """kNN and linear probe by the labels."""
    if not probed.groups:
        return []
    sets = {name: _features(splits, of_splits) for name, of_splits in parts.items()}
    views = distinct_views(trained.setup)
    return measure_features(sets, dim=probed.dim, groups=probed.groups, views=views, probes=probes)


def _show_and_write(trained: Trained, rows: Sequence[Measure], console: Console) -> None:
    render(rows, console)
    if trained.folder is None or rank() != 0:
        return
    file = file_of(trained, EVALUATION)
    replace_text(file, to_json(rows))
    if trained.other_data:
        console.print(f"Written to {file}; {EVALUATION} holds the run's own data.", highlight=False, markup=False)


def _labels_of_views(trained: Trained, rows: np.ndarray) -> dict[str, np.ndarray]:
    """view -> the labels of the rows, -1 where a row lacks the view or a label."""
    store, views = trained.store, trained.setup.views
    here = {name: store.present(view.modality)[rows] for name, view in views.items()}
    for head, name in fused_names(trained.setup.graph).items():
        here[name] = np.any([here[view] for view in head.fusion.views], axis=0) if head.fusion else here[name]
    return {name: np.where(there, store.labels[rows], -1) for name, there in here.items()}


def _groups(trained: Trained, splits: Sequence[str], subsets: bool, console: Console) -> list[Group]:
    """The groups of views that are probed by the labels; says why there are none."""
    if reason := why_no_labels(trained.store, list(splits)):
        console.print(f"Measured without labels: {reason}", highlight=False, markup=False, soft_wrap=True)
        return []
    return _measurable_groups(trained, splits, subsets, console)


def _measurable_groups(trained: Trained, splits: Sequence[str], subsets: bool, console: Console) -> list[Group]:
    """The groups of views that enough labelled samples have; prints why others are left out."""
    store, views = trained.store, distinct_views(trained.setup)
    labels = {split: _labels_of_views(trained, store.rows(split)) for split in splits}
    reasons = {group: why_not_measurable(group, labels) for group in _usual(trained, subsets)}
    for group, reason in reasons.items():
        if reason:
            _say(console, [f"{group_name(group, views)} is not measured: {reason}."])
    return [group for group, reason in reasons.items() if not reason]


def _extract(model: MultiviewModel, layer: str | None) -> Extract:
    return lambda views: pooled(model.features(views, layer))


def _of_models(
    trained: Trained,
    models: Mapping[str, MultiviewModel],
    wanted: Mapping[str, NDArray[np.int64]],
    device: torch.device,
    layer: str | None,
) -> dict[str, dict[str, Embedded]]:
    """Weights -> split -> features, or a layer, of the wanted samples."""
    parts = {name: _embedded(trained, wanted, _extract(model, layer), device, name) for name, model in models.items()}
    if layer is not None:
        return parts
    return {name: {s: with_fused(models[name], part) for s, part in of.items()} for name, of in parts.items()}


def _embedded(
    trained: Trained, wanted: Mapping[str, NDArray[np.int64]], extract: Extract, device: torch.device, name: str
) -> dict[str, Embedded]:
    """split -> features of the wanted samples; without splits of which none is wanted."""
    views, label = measured_views(trained.setup), f"evaluating: features of {name}"
    return {
        split: embed(trained.store, split, views, extract, device, label=label, positions=positions)
        for split, positions in wanted.items()
        if len(positions)
    }


def _features(splits: Sequence[str], parts: Mapping[str, Embedded]) -> dict[str, Features]:
    known = {split: parts[split] for split in splits if split in parts}
    return {
        view: Features(**{split: (part.features[view], part.labels_of(view)) for split, part in known.items()})
        for view in next(iter(known.values())).features
    }
