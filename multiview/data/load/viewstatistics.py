"""Mean, standard deviation and range of views, measured on some samples of a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from multiview.cores import one_thread
from multiview.data.load.absent import absent_modality
from multiview.data.load.sourcestore import SourceStore, manifest_of_plan
from multiview.data.source import Source
from multiview.data.store import manifest as manifests
from multiview.data.store.fetched import manifest_at
from multiview.data.store.reading import Store
from multiview.data.store.statistics import Moments, Statistics
from multiview.data.write.grouping import with_groups
from multiview.data.write.planning import make_plan
from multiview.data.write.progress import Progress, progress_bar
from multiview.data.write.storeaddress import publish_views
from multiview.data.write.storefolder import publish_text
from multiview.errors import MultiviewError
from multiview.plugins import installed
from multiview.view import Crop, View, make_view

if TYPE_CHECKING:
    from torch import Tensor

MEASURED = 250
"""How many samples, evenly spread over the training split, are measured."""
MEASURING = "mean and spread of the installed views"
LEAVE_OUT = "for normalisation; --view_statistics false leaves this out"
BATCH = 100
KEPT = 1 << 30
CROP = Crop(seconds=1.0)
"""The crop on which installed views are measured: the usual size, one second."""


def describe_views(path: Path) -> Mapping[str, Statistics]:
    """Measures the installed views that the store at `path` can feed; returns their statistics.

    Writes the statistics into the manifest, unless they are there. The store's hash ignores them.
    """
    store = Store.open(path)
    if not store.manifest.views:
        kinds = ", ".join(kind.name for kind in store.manifest.modalities)
        with progress_bar(f"{MEASURING} of {kinds} ({LEAVE_OUT})") as progress:
            progress(0, min(MEASURED, len(store.rows(_training_split(store)))), 0)  # seconds of imports come first
            found = measure_views(store, usable_views(store), progress=progress)
        publish_text(path / manifests.NAME, replace(store.manifest, views=found).to_json())
        return found
    return store.manifest.views


def describe_views_at(address: str, source: Source, root: Path | None, group: str | None = None) -> None:
    """Like `describe_views`, for a store at an address; measures samples of its source."""
    manifest, _ = manifest_at(address)
    if not manifest.views:
        plan = with_groups(make_plan(source, root), group, source, root)
        plan = replace(plan, read=ReadOnce(plan.read))  # views are tried and measured one after another
        store = SourceStore(root or Path(), plan, manifest_of_plan(plan, manifest.provenance))
        found = measure_views(store, usable_views(store))
        publish_views(address, replace(manifest, views=found).to_json())


@dataclass
class ReadOnce:
    """Reads each sample once, as long as those that it keeps take at most `KEPT` bytes."""

    read: Callable[[int], Mapping[str, np.ndarray]]
    kept: dict[int, Mapping[str, np.ndarray]] = field(default_factory=dict)
    bytes: int = 0

    def __call__(self, row: int) -> Mapping[str, np.ndarray]:
        """The arrays of a row; raises what `read` raises."""
        if row in self.kept:
            return self.kept[row]
        given = self.read(row)
        size = sum(np.asarray(value).nbytes for value in given.values())
        if self.bytes + size <= KEPT:
            self.kept[row], self.bytes = given, self.bytes + size
        return given


def usable_views(store: Store) -> dict[str, View]:
    """The installed views, by name, that work on two samples of the store without any error."""
    stored = {modality.name for modality in store.manifest.modalities}
    found = {}
    for plugin in installed("views"):
        try:
            view = make_view(plugin.name, CROP)
            if view.modality in stored:
                measure_views(store, {plugin.name: view}, most=2)
                found[plugin.name] = view
        except Exception:  # the broken view of a plugin must not stop users of other views
            continue
    return found


def with_statistics(
    view: View, store: Store, called: str | None = None, views: Mapping[str, View] | None = None
) -> View:
    """The view with open mean and std filled in for a store.

    The values come from the manifest or, if they are not there, from the central crops of up to
    `MEASURED` training samples. Raises MultiviewError like `View.with_statistics`.

    Args:
        called: the name of the view in messages (None = that of its channels).
        views: all views of the graph by name, for messages.
    """
    statistics = store.statistics
    stored = {modality.name: modality for modality in store.manifest.modalities}
    kind = stored.get(view.modality)
    if kind is None:
        raise absent_modality(view, stored.values(), store.name, called, views)
    known = view.mean is not None and view.std is not None
    plain = view.convert is None and view.modality in statistics and kind.dtype.startswith("float")
    if known or plain:
        return view.with_statistics(statistics, stored)
    replace(view, mean=(0.0,), std=(1.0,)).with_statistics(statistics, stored)  # raises the other errors
    found = store.view_statistics.get(view.channels.name) if _equals_installed(view) else None
    found = found or measure_views(store, {"view": view}).get("view")
    if found is None:
        raise MultiviewError(
            f"view '{view.channels.name}' has no mean and std, and the store has no {view.modality} to measure "
            "them on; give the view mean=(...,) and std=(...,)."
        )
    spread = tuple(value if value > 0 else 1.0 for value in found.std)
    return replace(view, mean=view.mean or found.mean, std=view.std or spread)


def _equals_installed(view: View) -> bool:
    """Whether the view equals the installed view of its name, whose statistics the manifest has."""
    try:
        named = make_view(view.channels.name, view.crop)
    except MultiviewError:
        return False
    return (named.modality, named.convert, named.take) == (
        view.modality,
        view.convert,
        view.take,
    )


def measure_views(
    store: Store, views: Mapping[str, View], most: int = MEASURED, progress: Progress | None = None
) -> dict[str, Statistics]:
    """Statistics per channel of views, in their units, over central crops of training samples.

    most: how many samples are measured. progress: called after each batch. Without a training
    split, all samples are candidates. Missing values are not counted.
    """
    if not views:
        return {}

    def measure(each: Store) -> dict[str, Statistics]:
        return _measured(each, views if each is store else _readable(views, each), most, progress)

    with one_thread():
        return store.measured(measure)


def _measured(store: Store, views: Mapping[str, View], most: int, progress: Progress | None) -> dict[str, Statistics]:
    """`measure_views` in one store."""
    if not views:
        return {}
    import torch

    from multiview.data.load.dataset import Samples
    from multiview.viewlayer import ViewLayer, present_views

    plain = {name: replace(view, mean=(0.0,), std=(1.0,), missing=None) for name, view in views.items()}
    samples = Samples(store, _training_split(store), plain, train=False, cache=0)
    layer = ViewLayer(plain)
    chosen = np.unique(np.linspace(0, len(samples) - 1, most).astype(np.int64))
    moments = {name: Moments.none(view.channels.count) for name, view in views.items()}
    done = 0
    for index in torch.from_numpy(chosen).split(BATCH):
        batch = samples[0, index]
        present = present_views(plain, batch)
        for name, x in layer(batch).items():
            if x.is_floating_point():
                moments[name] = moments[name].joined(_moments(x[present[name]], views[name].missing))
        done += len(index)
        if progress:
            progress(done, len(chosen), 0)
    found = {name: each.statistics() for name, each in moments.items()}
    return {name: each for name, each in found.items() if each is not None}


def _readable(views: Mapping[str, View], store: Store) -> dict[str, View]:
    """The views whose modality a store has."""
    stored = {modality.name for modality in store.manifest.modalities}
    return {name: view for name, view in views.items() if view.modality in stored}


def _training_split(store: Store) -> str | None:
    """`train`, or None (all samples) without a training split."""
    return "train" if "train" in store.split_names else None


def _moments(x: Tensor, missing: float | None) -> Moments:
    """The moments of a view tensor (n, channels, ...), without missing values."""
    parts = []
    for channel in x.unbind(1):
        values = channel.flatten().double().numpy()
        known = values if missing is None else values[values != missing]
        parts.append(Moments.of(known[:, None]).table)
    return Moments(np.concatenate(parts, axis=1))
