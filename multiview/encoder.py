"""The contract of an encoder (view tensor -> feature `h`), and encoders made by name."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from multiview import plugins
from multiview.errors import MultiviewError, unknown_name
from multiview.record import Made, from_plain, remember, to_plain
from multiview.weights import Report, Target, load_into, read_file

if TYPE_CHECKING:
    from multiview.view import View


ENCODER_OF_AXES = {2: "mlp for tables", 3: "seriesconv for series", 4: "convnet for pictures", 5: "r3d_18 for clips"}
"""Axes of a batch -> an encoder that takes it."""


class Encoder(nn.Module):
    """A network that turns a view tensor into features, or into the output of one of its layers.

    To write an encoder, set a submodule under each name in `layers`; each reads the output of the
    layer before. For a network that does not run like that, override `step` or `encode`.

    Args:
        channels: of the view.
        features: width of h.
        layers: names of the layers that can be probed, from shallow to deep; the last gives h.

    Raises:
        MultiviewError: when channels is below 1.

    The class attribute `axes` names the axes of a sample, channels first; `classifier` begins the
    names of weights that a file may have and the encoder has not.

    >>> import multiview as mv, torch
    >>> encoder = mv.make_encoder("convnet", 2, width=0.5)
    >>> isinstance(encoder, mv.Encoder), encoder.layers[-1], encoder.features
    (True, 'pool', 128)
    >>> encoder(torch.zeros(4, 2, 64, 64)).shape
    torch.Size([4, 128])
    """

    channels: int
    features: int
    layers: tuple[str, ...]
    axes: tuple[str, ...] = ("channels", "height", "width")
    classifier: tuple[str, ...] = ()
    made: Made | None = None
    saved_as: str = ""
    """Start of the name by which `make_encoder` builds this network from its model folder."""

    def __init__(self, channels: int, features: int, layers: Iterable[str]) -> None:
        if channels < 1:
            raise MultiviewError(f"an encoder was asked to take {channels} channels; give 1 or more.")
        super().__init__()
        self.channels, self.features, self.layers = channels, features, tuple(layers)

    if TYPE_CHECKING:  # torch says that a call returns anything

        def __call__(self, x: Tensor, layer: str | None = None) -> Tensor:
            """See `forward`."""

    def forward(self, x: Tensor, layer: str | None = None) -> Tensor:
        """h (n, features) of a batch (n, *axes), or the output of `layer`: (n, c) or (n, c, ...).

        Raises MultiviewError for an unknown layer and for a batch of another shape.
        """
        if layer is not None and layer not in self.layers:
            raise unknown_name(f"layer of {type(self).__name__}", layer, self.layers)
        if x.ndim != 1 + len(self.axes) or (self.axes[0] == "channels" and x.shape[1] != self.channels):
            raise self._other_shape(x)
        return self.encode(x, self.layers[-1] if layer is None else layer)

    def _other_shape(self, x: Tensor) -> MultiviewError:
        sizes = [str(self.channels) if name == "channels" else name for name in self.axes]
        fits = x.ndim == 1 + len(self.axes)
        such = f", such as {ENCODER_OF_AXES[x.ndim]}" if x.ndim in ENCODER_OF_AXES else ""
        other = f"use an encoder that reads such views{such}"
        remedy = "build it with as many channels as the view has" if fits else other
        return MultiviewError(
            f"this {type(self).__name__} takes a batch of shape (n, {', '.join(sizes)}), not {tuple(x.shape)}; "
            f"{remedy}."
        )

    def encode(self, x: Tensor, layer: str) -> Tensor:
        """The output of `layer`, one of `self.layers`; deeper layers are not computed."""
        for name in self.layers[: self.layers.index(layer) + 1]:
            x = self.step(name, x)
        return x

    def step(self, layer: str, x: Tensor) -> Tensor:
        """The output of one layer; `x` is the output of the layer before."""
        return getattr(self, layer)(x)

    def load_weights(
        self, path: str, *, network: str | None = None, in_channels: str | None = None, partial: bool = False
    ) -> Report:
        """Loads a published file of weights into this encoder, as docs/weights.md lists them.

        Args:
            path: of a .safetensors file, or of one that PyTorch wrote.
            network: which one, where the file holds several; None = the usual one.
            in_channels: repeat, mean or fresh, to adapt the first convolution to other channels.
            partial: load what fits; all else keeps its weights.

        Returns:
            What became of every parameter.

        Raises:
            MultiviewError: for a missing or unreadable file, and for one of another network.
        """
        stored = read_file(Path(path))
        return load_into(self.weights_target(), stored, tower=network, in_channels=in_channels, partial=partial)

    def weights_target(self) -> Target:
        """The network that takes the weights of a file, which may hold its `classifier` too."""
        return Target(self.network_with_weights(), self.channels, self.classifier)

    def blocks(self) -> dict[str, int]:
        """The block of every parameter by name, from 0 at the input to the last block.

        Blocks are the layers that have parameters; without them, the items of the longest list of
        modules. Parameters before the first block belong to block 0.
        """
        names = [name for name, _ in self.named_parameters()]
        tops = {layer: f"{layer}." for layer in self.layers}
        if not any(name.startswith(tuple(tops.values())) for name in names):
            lists = [(len(m), n) for n, m in self.named_modules() if isinstance(m, (nn.ModuleList, nn.Sequential))]
            length, longest = max(lists, default=(0, ""), key=lambda each: each[0])
            tops = {f"{longest}.{number}": f"{longest}.{number}." for number in range(length)}
        return numbered(_places(names, list(tops.values())))

    def network_with_weights(self) -> nn.Module:
        """The module whose tensors a model folder holds, under the names of that module."""
        return self

    def weights(self) -> dict[str, Tensor]:
        """The tensors that a model folder holds."""
        return self.network_with_weights().state_dict()

    def save_beside(self, folder: Path, view: View) -> None:
        """Writes the files that another library needs, beside the weights; most need none.

        view: the view of the encoder, whose mean and std belong to the weights.
        """

    def record(self) -> dict[str, Any]:
        """A registered name, channels and options, in JSON's types: the input of `encoder_from`.

        The options `pretrained` and `weights` are recorded as False and None. An encoder that
        cannot be built again has a `reason` instead of a name. The record does not notice modules
        that were replaced after the encoder was made.
        """
        try:
            if self.made is None:
                raise MultiviewError(f"the class {type(self).__name__} made it, and no registered encoder")
            options = {name: to_plain(_NO_WEIGHTS.get(name, value)) for name, value in self.made.options.items()}
            return {"name": self.made.name("encoders"), "channels": self.channels, "options": options}
        except MultiviewError as cause:
            return {"reason": str(cause), "channels": self.channels}


def _places(names: Iterable[str], tops: list[str]) -> dict[str, int]:
    """The place of every name among the beginnings `tops`; else that of the name before."""
    places, place = {}, 0
    for name in names:
        place = next((number for number, top in enumerate(tops, 1) if name.startswith(top)), place)
        places[name] = place
    return places


def numbered(places: Mapping[str, int]) -> dict[str, int]:
    """The places of parameters, numbered without gaps from 0."""
    order = {place: number for number, place in enumerate(sorted(set(places.values())))}
    return {name: order[place] for name, place in places.items()}


_NO_WEIGHTS = {"pretrained": False, "weights": None}


def encoder_from(record: Mapping[str, Any], seed: int | None = None) -> Encoder:
    """The network that `Encoder.record` described, with random weights drawn from `seed`.

    Its state has the same names and shapes. Raises MultiviewError when the record has a reason why
    the encoder cannot be built, and when it is no record of an encoder.
    """
    if "reason" in record:
        raise MultiviewError(f"the encoder cannot be built from its record: {record['reason']}.")
    try:
        name, channels = record["name"], record["channels"]
        options = {key: from_plain(value) for key, value in record["options"].items()}
    except (KeyError, TypeError, AttributeError) as cause:
        raise MultiviewError(f"this is no record of an encoder ({type(cause).__name__}: {cause}).") from cause
    return make_encoder(name, channels, seed=seed, **options)


def make_encoder(
    name: str,
    channels: int,
    *,
    width: float = 1.0,
    img_size: int | tuple[int, int] | None = None,
    seed: int | None = None,
    **options: Any,
) -> Encoder:
    """The encoder registered as `name`, for a view of `channels` channels.

    Args:
        name: as `multiview list` shows it, or `PLUGIN:MODEL`, as in `timm:vit_tiny_patch16_224`.
        channels: of the view.
        width: multiplier of the channels of every layer, above 0.
        img_size: side of the images, pixels, or (height, width), for networks built for one size.
        seed: of the weights; None draws from torch's default generator.
        options: the plugin's own.
    Raises MultiviewError for an unknown name, model or option, and when a plugin makes no encoder.

    >>> import multiview as mv
    >>> mv.make_encoder("resnet18", 2, width=0.5).features
    256
    """
    plugin, model, factory = encoder_factory(name)
    parameters = inspect.signature(factory).parameters
    if img_size is not None and "img_size" in parameters:
        options["img_size"] = img_size
    plugins.check_options(f"encoder '{plugin}'", factory, ["width", *options], also=("img_size", "seed"))
    given = (model, channels) if model else (channels,)
    with nullcontext() if seed is None else _drawn_from(seed):
        encoder = factory(*given, width=width, **options)
    if not isinstance(encoder, Encoder):
        raise MultiviewError(
            f"the encoder '{plugin}' made {type(encoder).__name__}, which is not an encoder; "
            f"its factory must return a multiview.encoder.Encoder."
        )
    return remember(encoder, plugin, factory, given, {"width": width, **options})


def encoder_factory(name: str) -> tuple[str, str, Callable[..., Any]]:
    """Plugin, model and factory of an encoder's name. Raises MultiviewError for a wrong name.

    The model of `timm:resnet18` is `resnet18`; that of `convnet` is empty.
    """
    plugin, colon, model = name.partition(":")
    factory = plugins.load("encoders", plugin)
    many = next(iter(inspect.signature(factory).parameters), "") == "model"
    if many != bool(model) or (colon and not model):
        raise _misnamed(plugin, name, many)
    return plugin, model, factory


def scaled(planes: int, width: float) -> int:
    """`planes` times `width`, rounded, at least 1. Raises MultiviewError unless width > 0."""
    if not (width > 0 and math.isfinite(width)):
        raise MultiviewError(f"the width of an encoder is {width}; give a multiplier above 0, such as 0.5, 1 or 2.")
    return max(1, round(planes * width))


def _misnamed(plugin: str, name: str, many: bool) -> MultiviewError:
    if many:
        return MultiviewError(f"'{name}' does not say which model of {plugin}; write {plugin}:MODEL.")
    return MultiviewError(
        f"'{name}' is not an encoder: '{plugin}' is one network, without a choice of models; write {plugin}."
    )


@contextmanager
def _drawn_from(seed: int) -> Iterator[None]:
    # torch.manual_seed would reseed the generators of every device; fork_rng copies all states.
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.default_generator.set_state(state)
