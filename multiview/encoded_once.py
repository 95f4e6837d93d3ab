"""Frozen views are encoded once: their features are kept beside the store and read at each step."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from multiview.distributed import on_first
from multiview.files import replacing
from multiview.measure.embeddings import embed
from multiview.train.frozen_features import FrozenFeatures, views_encoded_once
from multiview.train.prepare import TRAIN_SPLIT, Prepared
from multiview.view import View

SUFFIX = ".features"
"""Ending of the folder beside a store, and of the files in it."""


def encode_once(prepared: Prepared) -> dict[str, FrozenFeatures]:
    """The features of all training samples for every view that is encoded once; by all processes.

    They are those of the central crop without augmentation, as `Trained.embed` gives them. A file
    of an earlier run with the same weights, view and data is read instead.
    """
    names = views_encoded_once(prepared.setup)
    prepared.model.given = frozenset(names)
    found = {name: _of_view(prepared, name) for name in names}
    _note_equal_views(prepared, found)
    return found


def _note_equal_views(prepared: Prepared, found: dict[str, FrozenFeatures]) -> None:
    """Says which edges contrast features with themselves, such as two crops of one frozen view."""
    for name, edge in prepared.setup.graph.named_edges().items():
        tables = [found[view].table for view in edge.views if view in found]
        if len(tables) == len(edge.views) and all(torch.equal(tables[0], other) for other in tables[1:]):
            prepared.console.print(
                f"Note: edge {name}: its frozen views have equal features, because they are encoded without crops and "
                "augmentation, so that there is nothing to learn; give their encoder `train: heads`",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )


def _of_view(prepared: Prepared, name: str) -> FrozenFeatures:
    view, device = prepared.setup.views[name], prepared.accelerator.device
    file = _file(prepared, name, view)
    table = _kept(file)
    said = "read from" if table is not None else "kept in"
    if table is None:
        model = prepared.model.to(device).eval()
        found = embed(
            prepared.store, TRAIN_SPLIT, {name: view}, model.features, device, label=f"encoding '{name}' once"
        )
        table = np.concatenate([found.features[name], found.present[name][:, None].astype(np.float32)], axis=1)
        file = file if file is not None and on_first(partial(_keep, file, table)) else None
    where = file or "memory, because they cannot be written beside the store"
    prepared.console.print(
        f"Note: view '{name}' is frozen: encoded once, without crops and augmentation; features {said} {where}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return FrozenFeatures(torch.from_numpy(table))


def _file(prepared: Prepared, name: str, view: View) -> Path | None:
    """The file of the features; None when the view cannot be recorded, so that it has no digest."""
    record, store = view.record(), prepared.store
    if "reason" in record or not Path(store.path).is_dir():
        return None
    encoder = prepared.model.encoder(name)
    facts = [record, encoder.record(), store.manifest.hash, version("multiview-cmc"), torch.__version__]
    digest = hashlib.sha256(json.dumps([*facts, prepared.accelerator.device.type], sort_keys=True).encode())
    for key, tensor in encoder.state_dict().items():
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return Path(f"{store.path}{SUFFIX}") / f"{name}-{digest.hexdigest()[:16]}{SUFFIX}"


def _kept(file: Path | None) -> NDArray[np.float32] | None:
    """The features in a file, mapped into memory; None when there is none that is whole."""
    if not on_first(lambda: file is not None and file.is_file()):
        return None
    try:
        return np.load(str(file), mmap_mode="c")
    except (OSError, ValueError):
        return None


def _keep(file: Path, table: NDArray[np.float32]) -> bool:
    """Writes the features as a whole; whether that was possible."""
    try:
        file.parent.mkdir(exist_ok=True)
        with replacing(file) as opened:
            np.save(opened, table)
    except OSError:
        return False
    return True
