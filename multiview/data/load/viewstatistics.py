"""Mean and spread of what views make of a store, measured on a bounded part of it: for normalisation, and to look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from multiview.data.store import manifest as manifests
from multiview.data.store.reading import Store
from multiview.data.store.statistics import Moments, Statistics
from multiview.data.write.progress import Progress, progress_bar
from multiview.data.write.storefolder import publish
from multiview.errors import MultiviewError
from multiview.plugins import installed
from multiview.view import Crop, View, make_view

if TYPE_CHECKING:
    from torch import Tensor

MEASURED = 1000
"""Samples, evenly spread over the training split, that views are measured on."""
BATCH = 100
CROP = Crop(seconds=1.0)
"""What installed views are measured on: the central crop of the usual size, a second of what lasts."""


def describe_views(path: Path) -> Mapping[str, Statistics]:
    """Enters the statistics of every installed view that the store at `path` has the modality for into its manifest, where
    they are not yet; the store's hash does not depend on them.
    """
    store = Store.open(path)
    if not store.manifest.views:
        with progress_bar(
            f"measuring views of {', '.join(kind.name for kind in store.manifest.modalities)}"
        ) as progress:
            progress(0, min(MEASURED, len(store.rows(_training(store)))), 0)  # seconds of imports come first
            found = measured(store, usable(store), progress=progress)
        publish(path / manifests.NAME, replace(store.manifest, views=found).to_json())
        return found
    return store.manifest.views


def usable(store: Store) -> dict[str, View]:
    """The installed views that work on two samples of the store, by name; what does not is left out, whatever it raises."""
    stored = {modality.name for modality in store.manifest.modalities}
    found = {}
    for plugin in installed("views"):
        try:
            view = make_view(plugin.name, CROP)
            if view.modality in stored:
                measured(store, {plugin.name: view}, most=2)
                found[plugin.name] = view
        except Exception:  # a stranger's broken view does no harm to those who did not ask for it
            continue
    return found


def settled(view: View, store: Store) -> View:
    """The view fitted to a store, mean and std filled in where they were left open: from the manifest where it knows them,
    else measured on the central crops of up to `MEASURED` training samples. Raises MultiviewError as `View.with_statistics` does.
    """
    statistics = store.manifest.statistics
    stored = {modality.name: modality for modality in store.manifest.modalities}
    kind = stored.get(view.modality)
    known = view.mean is not None and view.std is not None
    plain = view.convert is None and view.modality in statistics and kind is not None and kind.dtype.startswith("float")
    if known or plain or kind is None:
        return view.with_statistics(statistics, stored)
    replace(view, mean=(0.0,), std=(1.0,)).with_statistics(statistics, stored)  # for its other complaints
    found = store.manifest.views.get(view.channels.name) if _is_installed(view) else None
    found = found or measured(store, {"it": view}).get("it")
    if found is None:
        raise MultiviewError(
            f"view '{view.channels.name}' has no mean and std, and the store no {view.modality} to take them from; give the "
            "view mean=(...,) and std=(...,)."
        )
    spread = tuple(value if value > 0 else 1.0 for value in found.std)
    return replace(view, mean=view.mean or found.mean, std=view.std or spread)


def _is_installed(view: View) -> bool:
    """Whether it is the installed view that its channels are named after, so that the manifest's numbers are its own."""
    try:
        same = make_view(view.channels.name, view.crop)
    except MultiviewError:
        return False
    return (same.modality, same.convert, same.take) == (view.modality, view.convert, view.take)


def measured(
    store: Store, views: Mapping[str, View], most: int = MEASURED, progress: Progress | None = None
) -> dict[str, Statistics]:
    """Per-channel statistics of views over the central crops of up to `most` training samples (of all samples, without a
    training split), in the views' units; what is missing is not counted. progress: told of the samples that are done.
    """
    if not views:
        return {}
    import torch

    from multiview.data.load.dataset import Samples
    from multiview.viewlayer import ViewLayer, present_views

    plain = {name: replace(view, mean=(0.0,), std=(1.0,), missing=None) for name, view in views.items()}
    samples = Samples(store, _training(store), plain, train=False, cache=0)
    layer = ViewLayer(plain)
    chosen = np.unique(np.linspace(0, len(samples) - 1, most).astype(np.int64))
    moments = {name: Moments.none(view.channels.count) for name, view in views.items()}
    done = 0
    for index in torch.from_numpy(chosen).split(BATCH):
        batch = samples[0, index]
        there = present_views(plain, batch)
        for name, x in layer(batch).items():
            if x.is_floating_point():
                moments[name] = moments[name].joined(_moments(x[there[name]], views[name].missing))
        done += len(index)
        if progress:
            progress(done, len(chosen), 0)
    found = {name: each.statistics() for name, each in moments.items()}
    return {name: each for name, each in found.items() if each is not None}


def _training(store: Store) -> str | None:
    """The split that is measured; None, all samples, without a training split."""
    return "train" if "train" in store.split_names else None


def _moments(x: Tensor, missing: float | None) -> Moments:
    """Of a view tensor (n, channels, ...), each channel without its missing values."""
    parts = []
    for channel in x.unbind(1):
        values = channel.flatten().double().numpy()
        known = values if missing is None else values[values != missing]
        parts.append(Moments.of(known[:, None]).table)
    return Moments(np.concatenate(parts, axis=1))
