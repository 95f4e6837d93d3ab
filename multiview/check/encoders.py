"""The laws of an encoder, and `multiview check encoder NAME`."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multiview.check.laws import Broken, Law, demand, judged, refused, report
from multiview.check.options import CheckEncoder
from multiview.encoder import Encoder, make_encoder
from multiview.errors import MultiviewError

ROWS = 4
LENGTHS = {"height": 64, "width": 64, "frames": 8, "tokens": 32, "points": 32, "samples": 8000}
OTHER_LENGTH = 200
"""Length of an axis with another name."""


@dataclass(frozen=True)
class Trial:
    """An encoder under test, made from seed 0, and a batch for it."""

    name: str
    channels: int
    options: tuple[tuple[str, Any], ...]
    encoder: Encoder
    x: Tensor

    def again(self, seed: int = 0, **options: Any) -> Encoder:
        """Another encoder of the same name and options."""
        return make_encoder(self.name, self.channels, seed=seed, **{**dict(self.options), **options})

    @torch.no_grad()
    def features(self, encoder: Encoder | None = None, layer: str | None = None, x: Tensor | None = None) -> Tensor:
        """Features in evaluation mode, without gradient."""
        made = copy.deepcopy(self.encoder if encoder is None else encoder).eval()
        return made(self.x if x is None else x, layer)


def trial(name: str, channels: int = 3, length: int | None = None, **options: Any) -> Trial:
    """The encoder called `name`, and a made-up batch; `length`: of all axes but the channels."""
    size = {"img_size": length} if length else {}
    encoder = make_encoder(name, channels, seed=0, **size, **options)
    axes = encoder.axes[1:] if encoder.axes[0] == "channels" else encoder.axes
    lengths = [length or LENGTHS.get(axis, OTHER_LENGTH) for axis in axes]
    generator = torch.Generator().manual_seed(0)
    if encoder.axes[0] == "channels":
        x = torch.randn(ROWS, channels, *lengths, generator=generator)
    else:
        x = torch.randint(1, 128, (ROWS, *lengths), generator=generator)
    return Trial(name, channels, tuple({**size, **options}.items()), encoder, x)


def declared(trial: Trial) -> str:
    """It declares its channels, features and layers, and is in training mode."""
    e = trial.encoder
    demand(
        e.channels == trial.channels,
        f"it was made for {trial.channels} channels and declares {e.channels}; pass channels on",
    )
    demand(e.features >= 1 and len(set(e.layers)) == len(e.layers) >= 1, "declare features and distinct layers")
    demand(e.training, "it is made in evaluation mode; return it in training mode")
    return f"features {e.features}, layers {', '.join(e.layers)}"


def shape(trial: Trial) -> str:
    """A batch becomes h (n, features), float32 and finite."""
    h = trial.features()
    expected = (ROWS, trial.encoder.features)
    demand(tuple(h.shape) == expected, f"it gives {tuple(h.shape)} and declares {expected}; correct features")
    demand(h.dtype == torch.float32, f"it gives {h.dtype}; keep float32, autocast is the trainer's choice")
    demand(torch.isfinite(h).all(), "features are NaN or infinite")
    return f"{tuple(trial.x.shape)} -> {tuple(h.shape)}"


def layers(trial: Trial) -> str:
    """Every layer gives (n, c) or a map (n, c, ...), and the last one is h."""
    shapes = {}
    for layer in trial.encoder.layers:
        output = trial.features(layer=layer)
        demand(len(output) == ROWS and output.ndim >= 2, f"layer {layer} gives {tuple(output.shape)}, not (n, c, ...)")
        shapes[layer] = "x".join(map(str, output.shape[1:]))
    last = trial.features(layer=trial.encoder.layers[-1])
    demand(torch.equal(last, trial.features()), f"layer {trial.encoder.layers[-1]} is not h; name the last layer last")
    return ", ".join(f"{layer} {text}" for layer, text in shapes.items())


def refusals(trial: Trial) -> None:
    """An unknown layer and a batch of another shape are refused with a message."""
    refused(lambda: trial.features(layer="no such layer"), "an unknown layer")
    refused(lambda: trial.features(x=trial.x[..., None]), "a batch with one axis too many")
    if trial.encoder.axes[0] == "channels":
        refused(
            lambda: trial.features(x=trial.x[:, :1].repeat(1, trial.channels + 1, *[1] * (trial.x.ndim - 2))),
            "a batch of more channels",
        )


def from_its_seed(trial: Trial) -> None:
    """The same seed gives the same weights; another seed gives other weights."""
    first, again, other = (_weights(trial.again(seed)) for seed in (0, 0, 1))
    demand(
        first.keys() == again.keys() and all(torch.equal(x, again[n]) for n, x in first.items()),
        "two encoders of one seed differ; draw weights from torch's default generator alone",
    )
    demand(any(not torch.equal(x, other[name]) for name, x in first.items()), "its weights do not depend on the seed")


def deterministic(trial: Trial) -> None:
    """In evaluation the same batch gives the same features, and does not change."""
    before = trial.x.clone()
    demand(
        torch.equal(trial.features(), trial.features()), "two calls in evaluation mode differ; no random numbers there"
    )
    demand(torch.equal(trial.x, before), "it changes its input in place; no inplace operation on the input")


def independent_rows(trial: Trial) -> None:
    """In evaluation a sample has the same features in any batch."""
    whole, alone = trial.features()[1:2], trial.features(x=trial.x[1:2])
    demand(
        torch.allclose(whole, alone, rtol=1e-3, atol=1e-4),
        "a sample depends on the others of its batch; normalise by running statistics",
    )


def trainable(trial: Trial) -> str:
    """Every weight gets a gradient, because processes wait for the gradients of all weights."""
    made = copy.deepcopy(trial.encoder).train()
    made(trial.x).square().mean().backward()
    idle = [name for name, weight in made.named_parameters() if weight.requires_grad and weight.grad is None]
    demand(not idle, f"{', '.join(idle[:3])} get no gradient; remove them, or requires_grad_(False)")
    return f"{sum(p.numel() for p in made.parameters() if p.requires_grad):,} weights"


def copies(trial: Trial) -> None:
    """A pickled copy, and another encoder with the same state, give the same features."""
    expected = trial.features()
    other = trial.again(seed=1)
    other.load_state_dict(trial.encoder.state_dict())
    for kind, encoder in (("a pickled copy", pickle.loads(pickle.dumps(trial.encoder))), ("its state_dict", other)):
        demand(
            torch.equal(trial.features(encoder), expected),
            f"{kind} gives other features; keep all state in parameters and buffers",
        )


def any_width(trial: Trial) -> str | None:
    """The option width scales the network, or is refused with a message."""
    if trial.name.partition(":")[2]:
        return "of a model that has one width"
    factor = 0.5 * float(dict(trial.options).get("width", 1.0))
    try:
        half = trial.again(width=factor)
    except MultiviewError as refusal:
        return f"refused in words: {refusal}"
    count, narrow = (sum(p.numel() for p in e.parameters()) for e in (trial.encoder, half))
    demand(narrow < count, f"with half the width it has {narrow:,} weights instead of {count:,}; scale its planes")
    refused(lambda: trial.again(width=-1.0), "a width of -1")
    return f"{count:,} weights, {narrow:,} at half the width"


def device_neutral(trial: Trial) -> str | None:
    """It computes on its own device."""
    try:
        h = copy.deepcopy(trial.encoder).eval().to("meta")(trial.x.to("meta"))
    except NotImplementedError:
        return "not decided: it reads values, which takes a second device"
    except (RuntimeError, MultiviewError) as error:
        raise Broken(f"{str(error).splitlines()[0]}; make new tensors on the device of its input") from error
    demand(
        h.device.type == "meta", f"its features are on {h.device.type}, not on its own device; keep the input's device"
    )
    return None


def _weights(encoder: Encoder) -> dict[str, Tensor]:
    return dict(encoder.named_parameters())


LAWS: tuple[Law[Trial], ...] = (
    declared,
    shape,
    layers,
    refusals,
    from_its_seed,
    deterministic,
    independent_rows,
    trainable,
    copies,
    any_width,
    device_neutral,
)


def run(options: CheckEncoder) -> int:
    """multiview check encoder NAME [options]: 0 when all laws hold, 1 when one is broken."""
    extra = {"width": options.width, **(options.options or {})}
    subject = trial(options.name, options.channels, options.length, **extra)
    return report(f"encoder {options.name}", judged(LAWS, subject))
