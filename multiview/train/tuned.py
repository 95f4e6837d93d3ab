"""Gives the encoders of a setup their first weights, and freezes what is not to learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from torch import nn

from multiview.encoder import Encoder
from multiview.errors import MultiviewError, unknown_name
from multiview.model import owners
from multiview.recipe import Setup
from multiview.train.first_weights import SCALE, load_first_weights
from multiview.tuning import Tuning
from multiview.view import View
from multiview.weights import Report

FROZEN = ("frozen", "heads")
"""The values of `Tuning.train` with which nothing of an encoder learns."""


def tuned(setup: Setup, *, weights: bool = True, say: Callable[[str], object] | None = None) -> Setup:
    """The setup, after its encoders were changed in place as its `tuning` says.

    Views take the mean and std of the weights that were loaded for their encoder.

    Args:
        setup: views, encoders, graph and tuning.
        weights: load the files of weights; False when a checkpoint follows, with all weights.
        say: is called with a sentence for every file of weights.

    Raises:
        MultiviewError: names the view, as for a missing file or a file of another network.
    """
    views = dict(setup.views)
    for view, tuning in setup.tuning.items():
        encoder = setup.encoders[view]
        if isinstance(encoder, str):
            raise MultiviewError(f"view '{view}' shares the encoder of '{encoder}': give '{encoder}' the tuning.")
        try:
            report = _tune(encoder, view, tuning, weights)
        except MultiviewError as error:
            raise MultiviewError(f"view '{view}': {error}") from error
        if report is not None:
            users = [name for name, owner in owners(setup.encoders, tuple(views)).items() if owner == view]
            scaled = {name: _normalised(views[name], report, tuning) for name in users}
            views |= scaled
            (say or str)(f"weights of {view}: {report.sentence()}; {_scale_text(views[view], report, tuning)}")
    return replace(setup, views=views)


def with_weights(setup: Setup, words: str | None) -> Setup:
    """The setup whose encoders load the files that `--weights` names.

    words: `FILE` for every encoder without weights of its own, or `VIEW=FILE,VIEW=FILE`. Raises
    MultiviewError for an unknown view.
    """
    if not words:
        return setup
    own = [view for view, encoder in setup.encoders.items() if not isinstance(encoder, str)]
    named = _named_files(words, own)
    if unknown := next((view for view in named if view not in own), None):
        raise unknown_name("view with an encoder of its own", unknown, own)
    old = {view: setup.tuning.get(view, Tuning()) for view in named}
    new = {view: each if each.weights else replace(each, weights=named[view]) for view, each in old.items()}
    return replace(setup, tuning={**setup.tuning, **new})


def _named_files(words: str, views: list[str]) -> dict[str, str]:
    """View -> file, from the words of `--weights`."""
    if "=" not in words:
        return dict.fromkeys(views, words)
    pairs = [word.partition("=") for word in words.split(",")]
    for view, equals, file in pairs:
        if not (view and equals and file):
            raise MultiviewError(f"--weights {words}: give FILE, or VIEW=FILE,VIEW=FILE.")
    return {view.strip(): file.strip() for view, _, file in pairs}


def _tune(encoder: Encoder, view: str, tuning: Tuning, weights: bool) -> Report | None:
    report = None
    if weights and tuning.weights is not None:
        report = load_first_weights(encoder, view, tuning)
    if tuning.train in FROZEN:
        encoder.requires_grad_(False)
    if tuning.blocks is not None:
        _freeze_before(encoder, tuning.blocks)
    if tuning.lora_rank is not None and not _has_lora(encoder):
        _add_lora(encoder, tuning.lora_rank)
    return report


def _normalised(view: View, report: Report, tuning: Tuning) -> View:
    """The view with the mean and std of the weights, where both show the same numbers."""
    scale = report.scales.get(view.channels.name)
    own = view.made is not None and {"mean", "std"} & {key for key, x in view.made.options.items() if x is not None}
    if scale is None or tuning.normalise == "view" or own or len(scale[0]) != view.channels.count:
        return view
    return replace(view, mean=tuple(scale[0]), std=tuple(scale[1]))


def _scale_text(view: View, report: Report, tuning: Tuning) -> str:
    """How the view is normalised after weights were loaded."""
    scale = report.scales.get(view.channels.name)
    if scale is not None and (view.mean, view.std) == (tuple(scale[0]), tuple(scale[1])):
        mean, std = (" ".join(f"{x:g}" for x in values) for values in scale)
        return f"normalised as they were: mean {mean}, std {std}"
    if tuning.normalise == "view" or scale is not None:
        return "normalised by the view, as was asked"
    known = ", ".join(report.scales) or "numbers that the file does not name"
    return f"the weights were made for {known}: the view keeps its own mean and std"


def _freeze_before(encoder: Encoder, count: int) -> None:
    """Freezes all but the last `count` blocks, with the statistics of their batch norms."""
    blocks = encoder.blocks()
    last = max(blocks.values())
    if count > last + 1:
        raise MultiviewError(
            f"`last {count} blocks`: its encoder has {last + 1} blocks, not {count}; give `last {last + 1} blocks` "
            "or fewer."
        )
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_(blocks.get(name, 0) > last - count)


def _has_lora(encoder: Encoder) -> bool:
    return any("lora_" in name for name, _ in encoder.named_parameters())


def _add_lora(encoder: Encoder, rank: int) -> None:
    """Adds small matrices beside every linear layer, or beside every convolution without one."""
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as cause:
        raise MultiviewError("train: lora needs peft; type: pip install 'multiview-cmc[lora]'.") from cause
    targets = list(_targets(encoder))
    if not targets:
        raise MultiviewError("lora finds no linear layer and no convolution in its encoder; give `last N blocks`.")
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=SCALE * rank, target_modules=targets), encoder)


def _targets(encoder: Encoder) -> Iterator[str]:
    linear = [name for name, m in encoder.named_modules() if isinstance(m, nn.Linear)]
    convolutions = [name for name, m in encoder.named_modules() if isinstance(m, nn.Conv2d) and m.groups == 1]
    yield from linear or convolutions
