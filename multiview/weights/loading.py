"""Loads the weights of a published file into a network, with a report of every parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from multiview.weights.formats import Format, format_of
from multiview.weights.matching import Match, by_timm
from multiview.weights.reading import Stored, read_file
from multiview.weights.report import Report
from multiview.weights.target import Target
from multiview.weights.towers import tensors_of


def load_weights(
    network: nn.Module,
    path: str,
    *,
    ignore: tuple[str, ...] = (),
    adapt: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
) -> None:
    """Loads the file `path` (.safetensors, .pt, .pth) into `network`.

    ignore: beginnings of names that the file may have and the network has not. adapt: changes the
    read tensors so that they fit. Raises MultiviewError for a missing or unreadable file, and for
    a file of another network.
    """
    stored, target = read_file(Path(path)), Target(network, 0, ignore, known_heads=())
    tower = tensors_of(stored, format_of(stored), None, target)
    kept = {name: each.tensor for name, each in tower.tensors.items() if not name.startswith(ignore or ("\0",))}
    load_into(target, Stored(stored.name, adapt(kept), stored.facts, stored.entries))


def load_into(
    target: Target,
    stored: Stored,
    *,
    tower: str | None = None,
    in_channels: str | None = None,
    partial: bool = False,
    form: Format | None = None,
) -> Report:
    """Loads what a file holds into a network, and returns what became of every parameter.

    Args:
        target: the network.
        stored: the content of the file.
        tower: which network of the file; None = the usual one, or the one with as many channels.
        in_channels: how the first convolution is adapted to other channels: repeat, mean or fresh.
        partial: load what fits; all else keeps its weights.
        form: the format of the file, where it is known.

    Raises:
        MultiviewError: unless every parameter of the network is in the file and every parameter of
            the tower is in the network or belongs to a head; with `partial`, when nothing fits.
    """
    report, state = fit(stored, target, tower=tower, in_channels=in_channels, form=form)
    if not report.whole and not (partial and report.mapped):
        raise report.mismatch()
    fill(target.network, state)
    return report


@torch.no_grad()
def fill(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copies tensors into the state of a network; what is not named stays."""
    own = network.state_dict()
    for name, x in state.items():
        own[name].copy_(x)


def fit(
    stored: Stored,
    target: Target,
    *,
    tower: str | None = None,
    in_channels: str | None = None,
    form: Format | None = None,
) -> tuple[Report, dict[str, Tensor]]:
    """The report of what would be loaded, and the tensors by their names in the network."""
    form = form or format_of(stored)
    chosen = tensors_of(stored, form, tower, target)
    match = Match(target, in_channels or target.unasked)
    for name, each in by_timm(chosen.tensors, target).items():
        match.place(name, each)
    outside = {name: form.part_of(name) for name in stored.tensors if name not in chosen.inside}
    report = Report(
        source=stored.name,
        title=form.title,
        tower=chosen.name,
        dialect=chosen.dialect,
        mapped=match.mapped,
        adapted=match.changed,
        dropped=match.heads | outside,
        missing=match.missing(),
        unknown=tuple(match.unknown),
        misshaped=match.misshaped,
        hints=(*match.hints(), *traps(form, target.network)),
        scales=form.scales_in(stored) or (target.scales or {} if form.name == "plain" else {}),
        note=form.note,
    )
    return report, match.state


def traps(form: Format, network: nn.Module) -> tuple[str, ...]:
    """What makes a network compute something else with weights that fit by shape."""
    found = []
    blocks: Any = getattr(network, "blocks", None)
    attention = getattr(blocks[0], "attn", None) if isinstance(blocks, nn.Sequential) and len(blocks) else None
    wanted = form.heads.get(getattr(network, "embed_dim", 0))
    if wanted and getattr(attention, "num_heads", wanted) != wanted:
        found.append(f"{form.note} Give the encoder num_heads: {wanted}.")
    stem: Any = getattr(network, "conv1", None)
    small = isinstance(stem, nn.Conv2d) and stem.kernel_size == (3, 3)
    if form.stem_padding and small and stem.padding != (form.stem_padding,) * 2:
        found.append(f"{form.note} Give the encoder stem: solo_learn.")
    return tuple(found)
