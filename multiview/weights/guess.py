"""Which encoders the weights of a file fit, found by building them without memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from multiview.errors import MultiviewError
from multiview.weights.formats import Format
from multiview.weights.loading import fit
from multiview.weights.reading import Stored

if TYPE_CHECKING:
    from multiview.weights.target import Target

Make = Callable[..., Any]
"""`make_encoder`."""
RESNETS: dict[tuple[bool, tuple[int, ...]], str] = {
    (False, (2, 2, 2, 2)): "resnet18",
    (False, (3, 4, 6, 3)): "resnet34",
    (True, (3, 4, 6, 3)): "resnet50",
    (True, (3, 4, 23, 3)): "resnet101",
    (True, (3, 8, 36, 3)): "timm:resnet152",
}
"""(bottleneck blocks, blocks of every stage) -> encoder."""
SIZES = {192: "tiny", 384: "small", 512: "medium", 640: "betwixt", 768: "base", 1024: "large", 1280: "huge"}
"""Width of a vision transformer -> how timm calls it."""
LIKELY = {
    "open_clip": "clip",
    "transformers_clip": "clip_quickgelu",
    "transformers_vit": "_224",
    "dinov2": "dinov2",
    "dinov2_training": "dinov2",
    "mae": "_224",
    "dino": "_224",
}
"""Format -> part of the names of timm's models that are tried first."""
TRIED, SHOWN = 24, 3
"""Models of timm that are tried at most, and encoders that are named at most."""


@dataclass(frozen=True)
class Guess:
    """An encoder by name, channels and options."""

    name: str
    channels: int
    options: Mapping[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """`resnet50 with width 0.5`."""
        said = ", ".join(f"{key} {value}" for key, value in self.options.items())
        return f"{self.name} with {said}" if said else self.name


def guesses(
    stored: Stored, form: Format, named: Mapping[str, Tensor], tower: str, make: Make, in_channels: str | None = None
) -> list[Guess]:
    """Encoders that take every parameter of a network of a file, the likeliest first.

    named: the tensors of the network `tower` by the names of encoders. make: `make_encoder`.
    """
    found = (each for each in _candidates(form, named) if _fits(each, stored, form, tower, make, in_channels))
    return list(islice(found, SHOWN))


def _fits(guess: Guess, stored: Stored, form: Format, tower: str, make: Make, in_channels: str | None) -> bool:
    try:
        with torch.device("meta"):
            target: Target = make(guess.name, guess.channels, **guess.options).weights_target()
            return fit(stored, target, tower=tower, in_channels=in_channels, form=form)[0].whole
    except (MultiviewError, RuntimeError, NotImplementedError):
        return False


def _candidates(form: Format, named: Mapping[str, Tensor]) -> Iterator[Guess]:
    if "layer1.0.conv1.weight" in named and "conv1.weight" in named:
        yield from _resnets(form, named)
    elif "fc6.2.weight" in named and "conv1.0.weight" in named:
        yield from _alexnets(named)
    elif "patch_embed.proj.weight" in named and "blocks.0.norm1.weight" in named:
        yield from _transformers(form, named)
    elif "stage1.0.weight" in named:
        first = named["stage1.0.weight"]
        yield Guess("convnet", first.shape[1], _unless({"width": first.shape[0] / 32}, width=1.0))


def _unless(options: dict[str, Any], **usual: Any) -> dict[str, Any]:
    """The options without those that have their usual value."""
    return {key: value for key, value in options.items() if value != usual.get(key)}


def _resnets(form: Format, named: Mapping[str, Tensor]) -> Iterator[Guess]:
    """ResNets of this package, then timm's."""
    depths = [len({name.split(".")[1] for name in named if name.startswith(f"layer{stage}.")}) for stage in range(1, 5)]
    name = RESNETS.get(("layer1.0.conv3.weight" in named, tuple(depths)))
    first, planes = named["conv1.weight"], named["layer1.0.conv1.weight"].shape[0]
    if name is None or first.ndim != 4:
        return
    small = "solo_learn" if form.stem_padding == 2 else "cifar"
    options = {"width": planes / 64, "stem": "imagenet" if first.shape[2] == 7 else small}
    options["stem_planes"] = first.shape[0]
    if not name.startswith("timm:"):
        yield Guess(name, first.shape[1], _unless(options, width=1.0, stem="imagenet", stem_planes=planes))
    yield Guess(f"timm:{name.removeprefix('timm:')}", first.shape[1])


def _alexnets(named: Mapping[str, Tensor]) -> Iterator[Guess]:
    first = named["conv1.0.weight"]
    yield Guess("alexnet", first.shape[1], _unless({"width": first.shape[0] / 48}, width=1.0))


def _transformers(form: Format, named: Mapping[str, Tensor]) -> Iterator[Guess]:
    """timm's vision transformers of the same width and patches, at the size of the file."""
    import timm

    width, channels, patch = named["patch_embed.proj.weight"].shape[:3]
    size, position = SIZES.get(width, "giant"), named.get("pos_embed")
    tokens = 0 if position is None else position.shape[-2]
    options: dict[str, Any] = {"img_size": round((tokens - 1) ** 0.5) * patch} if tokens > 1 else {}
    if width in form.heads:
        options["num_heads"] = form.heads[width]
    models = timm.list_models(f"*vit_{size}*_patch{patch}_*") + timm.list_models(f"deit*_{size}_*patch{patch}_*")
    likely = LIKELY.get(form.name, f"vit_{size}_patch{patch}_224")
    for model in sorted(models, key=lambda each: (likely not in each, len(each), each))[:TRIED]:
        yield Guess(f"timm:{model}", channels, options)
