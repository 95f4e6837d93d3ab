"""Gives the encoders of a setup their first weights, and freezes what is not to learn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor, nn

from multiview.encoder import Encoder
from multiview.errors import MultiviewError, unknown_name
from multiview.recipe import Setup
from multiview.train.checkpoint import newest
from multiview.train.runfolder import CHECKPOINTS, CONFIG
from multiview.tuning import Tuning

FROZEN = ("frozen", "heads")
"""The values of `Tuning.train` with which nothing of an encoder learns."""
SCALE = 2
"""Factor on the product of LoRA's matrices."""


def tuned(setup: Setup, *, weights: bool = True) -> Setup:
    """The setup, after its encoders were changed in place as its `tuning` says.

    weights: load the files of weights; False when a checkpoint follows, which holds all weights.
    Raises MultiviewError that names the view, as for a missing file or a file of another network.
    """
    for view, tuning in setup.tuning.items():
        encoder = setup.encoders[view]
        if isinstance(encoder, str):
            raise MultiviewError(f"view '{view}' shares the encoder of '{encoder}': give '{encoder}' the tuning.")
        try:
            _tune(encoder, view, tuning, weights)
        except MultiviewError as error:
            raise MultiviewError(f"view '{view}': {error}") from error
    return setup


def _tune(encoder: Encoder, view: str, tuning: Tuning, weights: bool) -> None:
    if weights and tuning.weights is not None:
        load_first_weights(encoder, view, tuning.weights)
    if tuning.train in FROZEN:
        encoder.requires_grad_(False)
    if tuning.blocks is not None:
        _freeze_before(encoder, tuning.blocks)
    if tuning.lora_rank is not None and not _has_lora(encoder):
        _add_lora(encoder, tuning.lora_rank)


def load_first_weights(encoder: Encoder, view: str, source: str) -> None:
    """Loads weights from a file, or those of a view of a run: `RUN`, `RUN:VIEW`."""
    folder, colon, other = source.partition(":")
    run = Path(source) if not colon or Path(source).exists() else Path(folder)
    if not (run / CONFIG).is_file():
        encoder.load_weights(source)
        return
    tensors = newest(run / CHECKPOINTS).tensors["model"]
    named = other if colon and run == Path(folder) else view
    views = sorted({name.split(".")[1] for name in tensors if name.startswith("encoders.")})
    if named not in views:
        raise unknown_name(f"encoder of the run {run}", named, views, f"Write {run}:VIEW.")
    begin = f"encoders.{named}."
    state = {name.removeprefix(begin): x for name, x in tensors.items() if name.startswith(begin)}
    try:
        encoder.load_state_dict(_with_lora_added(state))
    except RuntimeError as cause:
        first = str(cause).splitlines()[-1].strip()
        raise MultiviewError(f"the encoder '{named}' of the run {run} is another network: {first}") from cause


def _with_lora_added(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of an encoder that learned with `lora`: W + scale B A in place of W, A and B."""
    found = {}
    for name, x in state.items():
        a, b = (name.replace("base_layer.weight", f"lora_{side}.default.weight") for side in "AB")
        if a != name and a in state:
            x = x + SCALE * (state[b].flatten(1) @ state[a].flatten(1)).view_as(x)
        if ".lora_" not in name:
            found[name.replace(".base_layer.", ".")] = x
    return found


def _freeze_before(encoder: Encoder, count: int) -> None:
    """Freezes all but the last `count` blocks, with the statistics of their batch norms."""
    blocks = encoder.blocks()
    last = max(blocks.values())
    if count > last + 1:
        raise MultiviewError(f"its encoder has {last + 1} blocks, not {count}; give `last {last + 1} blocks` or fewer.")
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
