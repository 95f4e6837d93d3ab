"""Chooses the network of a file that is loaded, and gives its tensors the names of our encoders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from multiview.errors import MultiviewError, unknown_name
from multiview.weights.dialects import in_our_names
from multiview.weights.formats import Format
from multiview.weights.reading import Stored
from multiview.weights.target import COUNTER, Target

OPEN = ("plain", "own")
"""Formats of a network alone, which may lie below any name."""
Names = Mapping[str, str]
"""Name within a tower -> name in the file."""


class Source(NamedTuple):
    """A tensor of a file. source: its name there. change: what was done to it, in words."""

    source: str
    tensor: Tensor
    change: str = ""


class Tower(NamedTuple):
    """One network of a file.

    tensors: by the names of encoders. dialect: that of the file. inside: all its names in the file.
    """

    name: str
    tensors: dict[str, Source]
    dialect: str
    inside: frozenset[str]


def tensors_of(stored: Stored, form: Format, asked: str | None, target: Target) -> Tower:
    """The network of a file that is loaded.

    asked: its name, or the beginning of its names in the file; None = the usual one. Raises
    MultiviewError when it is not there, or when several fit and none is usual.
    """
    towers: Mapping[str, Names] = form.towers_in(stored)
    if asked is not None:
        names = towers.get(asked) or _below(stored, asked)
        if not names:
            raise unknown_name(f"network in {stored.name}", asked, towers)
        return _read(stored, asked, names)
    if form.name in OPEN and len(towers) == 1:
        towers = _deeper(stored, towers, target)
    if not towers:
        raise MultiviewError(f"{stored.name} ({form.title}) holds none of the networks of its format.")
    found = [_read(stored, name, names) for name, names in towers.items()]
    return next((tower for tower in found if _channels(tower, target) == target.channels), found[0])


def _read(stored: Stored, name: str, names: Names) -> Tower:
    renamed, dialect = in_our_names(names)
    tensors = {ours: Source(full, stored.tensors[full]) for ours, (_, full) in renamed.items()}
    return Tower(name, _joined(tensors), dialect, frozenset(names.values()))


def _joined(tensors: Mapping[str, Source]) -> dict[str, Source]:
    """The tensors, with one `attn.qkv` in place of `attn.query`, `attn.key` and `attn.value`."""
    found = {}
    for name, each in tensors.items():
        parts = [name.replace(".attn.query.", f".attn.{part}.") for part in ("query", "key", "value")]
        if parts[0] != parts[1] and all(part in tensors for part in parts):
            joined = torch.cat([tensors[part].tensor for part in parts])
            found[name.replace(".attn.query.", ".attn.qkv.")] = Source(f"{each.source} with key and value", joined)
        elif not re.search(r"\.attn\.(key|value)\.", name):
            found[name] = each
    return found


def _channels(tower: Tower, target: Target) -> int | None:
    """The input channels of the first convolution of a tower."""
    found = [tower.tensors[name].tensor for name in target.first_weights() if name in tower.tensors]
    return found[0].shape[1] if found and found[0].ndim > 2 else None


def _below(stored: Stored, begin: str) -> Names:
    start = f"{begin.rstrip('.')}."
    return {name.removeprefix(start): name for name in stored.tensors if name.startswith(start)}


def _deeper(stored: Stored, towers: Mapping[str, Names], target: Target) -> Mapping[str, Names]:
    """The part of the names below which the network lies, for a layout that is not in the table.

    Raises MultiviewError when several parts hold the whole network.
    """
    ((_, names),) = towers.items()
    own = [name for name in target.network.state_dict() if not name.endswith(COUNTER)]
    if not own or any(name in names for name in own):
        return towers
    begins = [name.removesuffix(own[0]) for name in names if name.endswith(f".{own[0]}")]
    whole = [begin for begin in begins if all(f"{begin}{each}" in names for each in own)]
    if len(whole) > 1:
        listed = ", ".join(sorted(begin.rstrip(".") for begin in whole))
        one = f"{stored.name}:{names[f'{whole[0]}{own[0]}'].removesuffix(own[0]).rstrip('.')}"
        raise MultiviewError(f"{stored.name} holds several networks that fit: {listed}. Name one, as in {one}.")
    if not whole:
        return towers
    return {whole[0].rstrip("."): {n.removeprefix(whole[0]): x for n, x in names.items() if n.startswith(whole[0])}}
