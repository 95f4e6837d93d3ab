"""Finds the place of every tensor of a file in a network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from multiview.weights.channels import adapted
from multiview.weights.target import COUNTER, Target
from multiview.weights.towers import Source

RESIZED = ("pos_embed", "rel_pos", "relative_position", "relative_coords", "cls_token", "reg_token", "attn_mask")
"""Parts of names of tensors that timm may recompute, as for another size of picture."""


def by_timm(found: Mapping[str, Source], target: Target) -> Mapping[str, Source]:
    """The tensors after timm's own conversion of files, where it makes more of them fit."""
    convert, own = target.filter(), target.network.state_dict()
    if convert is None or _complete(found, own):
        return found
    plain = {name: _shaped(each.tensor, own.get(name)) for name, each in found.items()}
    try:
        made = convert(dict(plain))
    except Exception:  # timm's conversions expect files of timm's own networks
        return found
    origin = {id(x): found[name].source for name, x in plain.items()}
    result = {name: found[name] for name in found if name == "mask_token"}
    for name, x in made.items():
        result[name] = _converted(name, x, origin, found)
    return result if _fitting(result, own) > _fitting(found, own) else found


def _converted(name: str, x: Tensor, origin: Mapping[int, str], found: Mapping[str, Source]) -> Source:
    """One tensor after the conversion; a tensor that timm may not recompute stays as it was."""
    if id(x) in origin:
        return Source(origin[id(x)], x)
    before = found.get(name)
    if before is None:
        return Source(name, x, "made by timm")
    if not any(part in name for part in RESIZED):
        return before  # a patch embedding of another size is another network
    if x.shape == before.tensor.shape:
        return Source(before.source, x, "recomputed by timm")
    return Source(before.source, x, f"recomputed by timm, {_text(before.tensor.shape)} to {_text(x.shape)}")


def _complete(found: Mapping[str, Source], own: Mapping[str, Tensor]) -> bool:
    """Whether every tensor of the network is there and needs no conversion."""
    return all(name in found and _same(found[name].tensor, x) for name, x in own.items() if not name.endswith(COUNTER))


def _fitting(found: Mapping[str, Source], own: Mapping[str, Tensor]) -> int:
    return sum(name in own and _same(each.tensor, own[name]) for name, each in found.items())


def _same(x: Tensor, own: Tensor) -> bool:
    """Whether two shapes differ in axes of length 1 alone."""
    return [n for n in x.shape if n != 1] == [n for n in own.shape if n != 1]


def _shaped(x: Tensor, own: Tensor | None) -> Tensor:
    return x.reshape(own.shape) if own is not None and _same(x, own) else x


def _text(shape: torch.Size) -> str:
    return "x".join(map(str, shape)) or "a number"


class Match:
    """Places the tensors of a file in a network, one by one."""

    def __init__(self, target: Target, in_channels: str | None) -> None:
        self.target, self.in_channels = target, in_channels
        self.own, self.first = target.network.state_dict(), target.first_weights()
        self.state: dict[str, Tensor] = {}
        self.mapped: dict[str, str] = {}
        self.changed: dict[str, str] = {}
        self.heads: dict[str, str] = {}
        self.unknown: list[str] = []
        self.misshaped: dict[str, str] = {}

    def place(self, name: str, each: Source) -> None:
        """Finds the place of one tensor."""
        if name not in self.own:
            self._without_place(name, each.source)
            return
        x, own = each.tensor, self.own[name]
        if _same(x, own):
            self._take(name, each.source, _shaped(x, own), each.change)
        elif name in self.first and self.in_channels and x.shape[0] == own.shape[0] and x.shape[2:] == own.shape[2:]:
            how = f"{x.shape[1]} to {own.shape[1]} input channels by {self.in_channels}"
            self._take(name, each.source, adapted(x, own.shape[1], self.in_channels), how)
        else:
            self.misshaped[name] = f"({_text(x.shape)} in the file, {_text(own.shape)} in the encoder)"

    def _take(self, name: str, source: str, x: Tensor | None, change: str) -> None:
        """Enters a tensor; None leaves the weights of the network."""
        self.mapped[name] = source
        if x is not None:
            self.state[name] = x
        if change:
            self.changed[name] = change

    def _without_place(self, name: str, source: str) -> None:
        if self.target.is_head(name):
            self.heads[source] = f"head {name.partition('.')[0]}"
        elif name.endswith(COUNTER):
            self.heads[source] = "counters of batches"
        else:
            self.unknown.append(source)

    def missing(self) -> tuple[str, ...]:
        """Names of the network that no tensor filled; counters of batches may stay at 0."""
        there = {*self.mapped, *self.misshaped}
        return tuple(name for name in self.own if name not in there and not name.endswith(COUNTER))

    def hints(self) -> tuple[str, ...]:
        """What to type when the file has another number of input channels."""
        if self.in_channels or not any(name in self.misshaped for name in self.first):
            return ()
        return (
            "Where the view has other channels than the weights, say how to adapt the first convolution: "
            "in_channels: repeat, mean or fresh.",
        )
