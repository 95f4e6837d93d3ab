"""Models of timm as encoders: `timm:NAME`, `timm:local-dir:FOLDER`, `timm:hf-hub:OWNER/NAME`."""

from __future__ import annotations

import inspect
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import timm
import torch
from timm.models import group_parameters
from torch import Tensor, nn

from multiview.encoder import Encoder, numbered
from multiview.errors import MultiviewError, suggestion, unknown_name
from multiview.record import recorded
from multiview.view import View
from multiview.weights import Target

Size = tuple[int, int]

HUB_SECONDS = 5.0
"""How long the hub may take to answer."""
LONGEST = 300
"""Characters of a foreign message that are shown."""
NOT_TIMMS = ("width", "pretrained", "weights", "img_size")
"""Options of the encoder that timm does not know, or not by these values."""
KEPT = ("interpolation", "crop_pct", "first_conv", "classifier", "pool_size", "fixed_input_size")
"""What a model folder keeps of timm's description of a network."""
OURS = ("in_chans", "num_classes", "features_only")
"""Options of timm that the encoder sets itself."""


class TimmEncoder(Encoder):
    """A timm model without its classifier: h (n, features) is timm's pre-logits.

    network: made with num_classes=0. channels: of the view. size: (height, width) of a trial image.
    Layers: the modules in timm's `feature_info` (map1, map2, ... where that list is ambiguous),
    then `pool`, which gives h. A model that cannot return intermediate maps has only `pool`.
    Raises MultiviewError when the network fails on the trial image, and later for images of a size
    that the network does not take.
    """

    saved_as = "timm:local-dir:"

    def __init__(self, network: nn.Module, channels: int, size: Size, name: str = "timm") -> None:
        h, layers = _trial(network, channels, size, name)
        super().__init__(channels, h.shape[1], (*layers, "pool"))
        self.network, self.size, self.name = network, size, name

    def network_with_weights(self) -> nn.Module:
        """timm's model, so that `timm.create_model("local-dir:FOLDER")` reads the weights."""
        return self.network

    def save_beside(self, folder: Path, view: View) -> None:
        """Writes timm's `config.json`, with mean and std of the view."""
        options = {} if self.made is None else dict(self.made.options)
        text = json.dumps(_timm_config(self, options, view), indent=2, default=str)
        (folder / "config.json").write_text(text, encoding="utf-8")

    def encode(self, x: Tensor, layer: str) -> Tensor:
        """The output of `layer`: a map (n, c, h, w), except for the last layer."""
        try:
            if layer == self.layers[-1]:
                return self.network(x)
            return _maps(self.network, x, [self.layers.index(layer)])[0]
        except (AssertionError, RuntimeError) as cause:
            if tuple(x.shape[-2:]) == self.size:
                raise
            given, right = ("x".join(map(str, size)) for size in (x.shape[-2:], self.size))
            raise MultiviewError(
                f"timm's {self.name} was built for images of {right} and does not take {given} ({_line(cause)}). "
                f"Build it with img_size={x.shape[-1]}, or make the crop {self.size[-1]} px."
            ) from cause

    def weights_target(self) -> Target:
        """timm's model, with timm's names of the first layer, of the classifier, and its scale."""
        config = getattr(self.network, "pretrained_cfg", {})
        first, last = (_names(config.get(key)) for key in ("first_conv", "classifier"))
        scales = {"rgb": (tuple(config["mean"]), tuple(config["std"]))} if {"mean", "std"} <= set(config) else None
        first, heads = tuple(f"{name}.weight" for name in first), tuple(f"{name}." for name in last)
        return Target(self.network, self.channels, heads, first, unasked="timm", scales=scales)

    def blocks(self) -> dict[str, int]:
        """The blocks by which timm decays the learning rate."""
        matcher = getattr(self.network, "group_matcher", None)
        if matcher is None:
            return super().blocks()
        found = group_parameters(self.network, matcher(coarse=False), reverse=True)
        return numbered({f"network.{name}": place for name, place in found.items()})


def _timm_config(encoder: TimmEncoder, options: Mapping[str, Any], view: View) -> dict[str, Any]:
    """What timm reads of a folder (channels from `input_size`), and transformers (`in_chans`)."""
    known: dict[str, Any] = dict(getattr(encoder.network, "pretrained_cfg", {}))
    theirs = {**getattr(encoder.network, "_model_args", {}), **options}  # timm below 1.0.31 has no _model_args
    theirs = {name: x for name, x in theirs.items() if name not in (*NOT_TIMMS, *OURS) and x is not None}
    about: dict[str, Any] = {"mean": view.mean, "std": view.std, "num_classes": 0, "custom_load": False}
    about["input_size"] = [encoder.channels, *encoder.size]
    size = {"img_size": list(encoder.size)} if known.get("fixed_input_size") else {}
    return {
        "architecture": getattr(encoder.network, "architecture", None) or known.get("architecture"),
        "num_classes": 0,
        "num_features": encoder.features,
        "model_args": {**theirs, **size, "in_chans": encoder.channels},
        "pretrained_cfg": {name: known[name] for name in KEPT if known.get(name) is not None} | about,
    }


@recorded
def timm_model(
    model: str,
    channels: int,
    *,
    width: float = 1.0,
    pretrained: bool | None = None,
    weights: str | None = None,
    img_size: int | Size | None = None,
    **options: Any,
) -> TimmEncoder:
    """The timm model `model` for any number of channels: h (n, features).

    Initialisation: timm's. Its ResNets start with the last batch-norm scale of each block at zero,
    so random weights make a poor control; zero_init_last=False turns that off.

    Args:
        model: a name of `timm.list_models()`, with or without a tag of weights
            (`resnet18.a1_in1k`); `local-dir:FOLDER`, written by timm's `save_for_hf`; or
            `hf-hub:OWNER/NAME`.
        channels: of the view. timm sums or repeats weights that were made for three channels.
        width: 1; timm's models have a width of their own.
        pretrained: load weights; by default only for folders and models of the hub.
        weights: a file (.safetensors, .pt, .pth) with the weights of this model, with or without
            its classifier, instead of those of the hub.
        img_size: side of the images, or (height, width), for models built for one size.
        options: timm's own, such as drop_path_rate.

    Raises:
        MultiviewError: for an unknown model or option, another width, and unreadable weights.
    """
    _check_options(model, width, options)
    weighty = model.startswith(("local-dir:", "hf-hub:"))
    if weights is not None and (pretrained or weighty):
        raise MultiviewError(f"weights={weights} and pretrained weights cannot both be loaded; give one of them.")
    if not (weighty or timm.is_model(model)):
        raise _unknown(model)
    size = (img_size, img_size) if isinstance(img_size, int) else img_size
    network = _create(model, channels, weighty if pretrained is None else pretrained, size, options)
    encoder = TimmEncoder(network, channels, size or _made_for(network), model)
    if weights is not None:
        encoder.load_weights(weights)
    return encoder


def _check_options(model: str, width: float, options: dict[str, Any]) -> None:
    """Raises MultiviewError for a width, and for options that the encoder sets itself."""
    if width != 1:
        raise MultiviewError(
            f"timm's models have a width of their own: leave width at 1, not {width}, and choose another model."
        )
    for option in options:
        if option in OURS:
            raise MultiviewError(f"{option} is set by the encoder; leave it out of the options of timm:{model}.")


def _names(given: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


def _made_for(network: Any) -> Size:
    _, height, width = network.pretrained_cfg.get("input_size", (3, 224, 224))
    return height, width


def _create(model: str, channels: int, pretrained: bool, size: Size | None, options: dict[str, Any]) -> nn.Module:
    sized = options if size is None else {**options, "img_size": tuple(size)}
    try:
        with _quick_hub(pretrained and not model.startswith("local-dir:")):
            return timm.create_model(model, pretrained=pretrained, in_chans=channels, num_classes=0, **sized)
    except TypeError as cause:
        if size is not None and "'img_size'" in str(cause):
            return _create(model, channels, pretrained, None, options)
        raise _misfit(model, options, cause) from cause
    except Exception as cause:
        # timm passes on all exceptions of the hub, the file formats and its own checks.
        raise _unmade(model, pretrained, cause) from cause


@contextmanager
def _quick_hub(asked: bool) -> Iterator[None]:
    """Reads only local copies of the hub's files when its machine does not answer in seconds."""
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE
    if asked and not offline and not getproxies():
        try:
            socket.create_connection((urlsplit(constants.ENDPOINT).hostname or "", 443), timeout=HUB_SECONDS).close()
        except OSError:
            constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline


def _trial(network: nn.Module, channels: int, size: Size, name: str) -> tuple[Tensor, list[str]]:
    """h of one black image, and the names of the maps that the network can return."""
    training, device = network.training, next(network.parameters()).device
    x = torch.zeros(1, channels, *size, device=device)
    try:
        with torch.no_grad():
            h = network.eval()(x)
            layers = _map_names(network, x)
    except Exception as cause:
        raise MultiviewError(
            f"timm's {name} fails on an image of {channels} x {size[0]} x {size[1]} (channels x height x width): "
            f"{_line(cause)}. Choose another img_size or another model."
        ) from cause
    finally:
        network.train(training)
    if not isinstance(h, Tensor) or h.ndim != 2:
        raise MultiviewError(
            f"timm's {name} does not give one vector per image; leave out options that turn its pooling off."
        )
    return h, layers


def _map_names(network: nn.Module, x: Tensor) -> list[str]:
    info = getattr(network, "feature_info", None)
    try:
        maps = _maps(network, x, None)
    except (AttributeError, NotImplementedError):
        return []
    names = [entry["module"] for entry in info] if isinstance(info, list) else []
    # Some models list a module twice or without a name (crossvit, coat, tresnet in timm 1.0.31).
    distinct = len({*names, "", "pool"}) == len(maps) + 2
    return names if distinct else [f"map{number}" for number in range(1, len(maps) + 1)]


def _maps(network: nn.Module, x: Tensor, indices: list[int] | None) -> list[Tensor]:
    forward: Any = network.forward_intermediates
    return forward(x, indices=indices, stop_early=True, intermediates_only=True)


def _line(cause: Exception) -> str:
    """Type and first line of an error; a line that ends in a colon takes the next one with it."""
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()] or ["no message"]
    count = next((place for place, line in enumerate(lines, 1) if not line.endswith(":")), len(lines))
    return f"{type(cause).__name__}: {' '.join(lines[:count])}"[:LONGEST].rstrip(".:")


def _unknown(model: str) -> MultiviewError:
    return MultiviewError(
        f"timm has no model '{model}'.{suggestion(model, timm.list_models())} Names are those of timm.list_models(); "
        f"a folder with weights is timm:local-dir:FOLDER, a model of the Hugging Face hub timm:hf-hub:OWNER/NAME."
    )


def _misfit(model: str, options: dict[str, Any], cause: TypeError) -> MultiviewError:
    """The error for an option that the model does not take, or not with this type."""
    wrong = next((option for option in options if f"'{option}'" in str(cause)), None)
    if wrong is None:
        return MultiviewError(f"timm cannot make {model} with the options {options}: {_line(cause)}.")
    with torch.device("meta"):
        kind = type(timm.create_model(model, num_classes=0))
    taken = [name for name in inspect.signature(kind).parameters if name not in OURS]
    return unknown_name(f"option of timm's {model}", wrong, taken)


def _unmade(model: str, pretrained: bool, cause: Exception) -> MultiviewError:
    if not pretrained:
        return MultiviewError(f"timm cannot make {model}: {_line(cause)}.")
    return MultiviewError(
        f"timm cannot load the weights of {model}: {_line(cause)}. Without a connection, give the file that holds "
        "them, weights=FILE, or a folder, timm:local-dir:FOLDER (timm.models.save_for_hf writes one); for random "
        "weights, give pretrained=False."
    )
