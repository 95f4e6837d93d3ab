"""Which samples a split holds, and in which order, as digests for checkpoints and caches."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from multiview.data.load.dataset import Samples
from multiview.data.store.columnfile import hash_of_shards

PROBED = 16
"""Samples, evenly spread over the split, whose stored values enter the digest of the contents."""


@dataclass(frozen=True)
class Identity:
    """The samples of a split.

    Args:
        count: how many there are.
        ids: sha256 of their ids, in order; of a large store, of the hashes of its shards.
        contents: sha256 of the stored values of a few of them. It tells two data sets apart whose
            ids are mere numbers.
        groups: sha256 of the samples' groups; empty without groups.
        mix: the parts of several stores in a batch, such as `3:1`; empty without them.
    """

    count: int
    ids: str
    contents: str
    groups: str = ""
    mix: str = ""


def identity_of(samples: Samples, codes: Tensor | None = None) -> Identity:
    """The identity of the samples; reads all ids and the values of at most `PROBED` samples.

    codes: (N,) the groups of the samples (None = no groups).
    """
    groups = "" if codes is None else hashlib.sha256(codes.cpu().numpy().tobytes()).hexdigest()
    if samples.store.is_large:
        ids = hash_of_shards(samples.store.manifest.shards)
    else:
        names = samples.store.ids
        ids = ids_digest([names[row] for row in samples.rows.tolist()])
    mix = ":".join(map(str, samples.store.ratio or ()))
    return Identity(len(samples), ids, _contents_digest(samples), groups, mix)


def ids_digest(ids: list[str]) -> str:
    """sha256 of ids, in order. A change of one id, or of the order, changes it."""
    encoded = [name.encode("utf-8", "surrogateescape") for name in ids]
    digest = hashlib.sha256(np.array([len(name) for name in encoded], "<i8").tobytes())
    digest.update(b"".join(encoded))
    return digest.hexdigest()


def _contents_digest(samples: Samples) -> str:
    places = np.unique(np.linspace(0, len(samples) - 1, PROBED).astype(np.int64))
    digest = hashlib.sha256()
    for name in sorted(samples.modalities):
        digest.update(name.encode())
        for value in samples.store.read(samples.rows[places], name, decode=False):
            digest.update(f"{value.dtype.str}{value.shape}".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()
