"""The laws of a view, and `multiview check view NAME`."""

from __future__ import annotations

import inspect
import math
import pickle
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from multiview import old_import_paths
from multiview.batch import Batch
from multiview.check.laws import Broken, Law, demand, judged, report
from multiview.check.options import CheckView
from multiview.check.samples import made_up
from multiview.data.modality import KINDS
from multiview.data.store.statistics import Statistics
from multiview.data.values import NAMED
from multiview.errors import MultiviewError
from multiview.plugins import load
from multiview.view import Crop, View, make_view
from multiview.viewlayer import ViewLayer, scaled

__getattr__ = old_import_paths.names_of("check.views")

TOLERANCE = 1e-3
"""Share of the width of a range by which numbers may lie outside."""
CHANNELS = {"audio": 1, "points": 3}
MANY = 8
"""Channels of a made-up modality when the view converts it or takes a part of its channels."""


@dataclass(frozen=True)
class Trial:
    """A view under test, and a batch of its modality as data workers deliver it."""

    name: str
    view: View
    stored: Tensor
    options: tuple[tuple[str, Any], ...] = ()

    def again(self, augment: Any = None) -> View:
        """Another view, made with the same options."""
        return make_view(self.name, self.view.crop, augment, **dict(self.options))

    def seen(self, stored: Tensor | None = None, view: View | None = None) -> Tensor:
        """The view tensor of a batch, as an encoder gets it."""
        x = self.stored if stored is None else stored
        ready = with_statistics(view or self.view, x)
        batch = Batch({ready.crop.name: {ready.modality: x}}, torch.arange(len(x), device=x.device), {})
        return ViewLayer({"view": ready}).to(x.device)(batch)["view"]

    def unnormalised(self) -> Tensor:
        """The view tensor in the view's unit, before normalisation."""
        return self.seen(view=replace(self.view, mean=(0.0,), std=(1.0,), missing=None))


def with_statistics(view: View, stored: Tensor) -> View:
    """The view with mean 0 and std 1 where it takes them from the store."""
    count = stored.shape[1] if stored.ndim > 1 else 1
    zeros, ones = (0.0,) * count, (1.0,) * count
    return view.with_statistics({view.modality: Statistics(1, zeros, ones, zeros, ones)})


settled = with_statistics
"""The older name."""


def trial(name: str, kind: str | None = None, planes: int | None = None, **options: Any) -> Trial:
    """The view called `name` and a made-up batch of its modality.

    Raises MultiviewError when `kind` is None and the modality's name is no kind.
    """
    view = make_view(name, Crop(size=32), **options)
    kind = kind or NAMED.get(view.modality) or view.modality
    if kind not in KINDS:
        raise MultiviewError(
            f"the view '{name}' reads '{view.modality}', whose kind its name does not tell; add --kind with one of "
            f"{', '.join(KINDS)}."
        )
    usual = view.channels.count if view.convert is None and view.take is None else CHANNELS.get(kind, MANY)
    count = usual if planes is None else planes
    return Trial(name, view, made_up(kind, count), tuple(options.items()))


def declared(trial: Trial) -> None:
    """It declares name, unit and range, and keeps the crop and the augmentation of the call."""
    channels, view = trial.view.channels, trial.view
    demand(channels.count >= 1, f"channels.count is {channels.count}; give the number of channels")
    demand(channels.name and channels.unit, "name or unit of its Channels is empty; say what the numbers mean")
    demand(channels.low < channels.high, f"the range is {channels.low} to {channels.high}; give low < high")
    other = make_view(trial.name, Crop(size=16, name="other"), **dict(trial.options))
    demand(other.crop == Crop(size=16, name="other"), "it does not keep the crop it is given; pass crop=crop to View")
    if "augment" in inspect.signature(load("views", trial.name)).parameters:
        demand(trial.again(_Nothing()).augment == _Nothing(), "it drops the augmentation; pass augment=augment to View")
    demand(
        trial.again() == view, "two calls make two different views; use a function of the module as convert, no lambda"
    )


def shape(trial: Trial) -> str:
    """A batch (n, channels, ...) becomes (n, its channels, ...)."""
    x, count = trial.seen(), trial.view.channels.count
    demand(len(x) == len(trial.stored), f"{len(trial.stored)} samples become {len(x)}; keep the first axis")
    if x.is_floating_point():
        width = x.shape[1] if x.ndim > 1 else 0
        demand(width == count, f"it gives {width} channels and declares {count}; axis 1 is the channels")
    return f"{tuple(trial.stored.shape)} -> {tuple(x.shape)}"


def dtype(trial: Trial) -> str:
    """It gives float32, or int64 identities."""
    dtype = trial.seen().dtype
    demand(dtype in (torch.float32, torch.int64), f"it gives {dtype}; convert to float32")
    return str(dtype).removeprefix("torch.")


def in_range(trial: Trial) -> str:
    """Its numbers lie in the declared range, also at the extremes of the modality."""
    x, channels = trial.unnormalised().double(), trial.view.channels
    x = x if trial.view.missing is None else x[x != trial.view.missing]
    low, high = x.min().item(), x.max().item()
    slack = TOLERANCE * (channels.high - channels.low) if math.isfinite(channels.high - channels.low) else 0.0
    demand(
        channels.low - slack <= low and high <= channels.high + slack,
        f"it gives {low:.4g} to {high:.4g} and declares {channels.low:g} to {channels.high:g}; correct the Channels",
    )
    return f"{low:.4g} to {high:.4g} {channels.unit}"


def finite(trial: Trial) -> None:
    """It is finite for the lowest and highest values, and for an absent sample (all zeros)."""
    for stored, samples in ((trial.stored, "made-up samples"), (torch.zeros_like(trial.stored), "an absent sample")):
        bad = int((~torch.isfinite(trial.seen(stored).double())).sum())
        demand(not bad, f"{bad} numbers of {samples} are NaN or infinite; guard divisions, roots and logarithms")


def missing(trial: Trial) -> str | None:
    """Values that were not measured are 0 after normalisation."""
    missing = trial.view.missing
    if missing is None:
        return "it declares no value that means missing"
    raw, x = trial.unnormalised(), trial.seen()
    demand((x[raw == missing] == 0).all(), f"pixels that are {missing:g} are not 0 after normalisation")
    return f"{int((raw == missing).sum())} numbers were {missing:g}"


def deterministic(trial: Trial) -> None:
    """The same batch gives the same numbers, bit for bit, and does not change."""
    before = trial.stored.clone()
    first, second = trial.seen(), trial.seen()
    demand(torch.equal(first, second), "two calls differ; draw random numbers in an Augmentation, from its draws")
    demand(torch.equal(trial.stored, before), "it changes its input in place; work on a copy")


def independent_rows(trial: Trial) -> None:
    """A sample has the same view tensor in any batch."""
    whole, alone = trial.seen(), trial.seen(trial.stored[2:4])
    demand(
        whole[2:4].shape == alone.shape and torch.allclose(whole[2:4].double(), alone.double(), rtol=1e-4, atol=1e-5),
        "a sample depends on the others of its batch; reduce over its own axes only, never over axis 0",
    )


def picklable(trial: Trial) -> None:
    """It can be pickled, compared and hashed."""
    try:
        back = pickle.loads(pickle.dumps(trial.view))
        hash(back)
    except Exception as error:
        raise Broken(
            f"{type(error).__name__}: {error}; use module-level functions or frozen dataclasses, no lambda"
        ) from error
    demand(back == trial.view, "it is not equal to itself after pickling; make convert a frozen value")


def device_neutral(trial: Trial) -> str | None:
    """It computes on the device of the batch."""
    if trial.view.convert is None:
        return None
    try:
        x = trial.view.convert(scaled(trial.stored).to("meta"))
    except (NotImplementedError, RuntimeError) as error:
        if isinstance(error, NotImplementedError) or "on meta tensors" in str(error):
            return "not decided: it reads values, which takes a second device"
        raise Broken(f"{str(error).splitlines()[0]}; make new tensors on the device of its input") from error
    demand(
        x.device.type == "meta", f"its result is on {x.device.type}, not on the batch's device; keep the input's device"
    )
    return None


@dataclass(frozen=True)
class _Nothing:
    """An augmentation that changes nothing."""

    def __call__(self, x: Tensor, draws: Any) -> Tensor:  # noqa: ARG002
        return x


LAWS: tuple[Law[Trial], ...] = (
    declared,
    shape,
    dtype,
    in_range,
    finite,
    missing,
    deterministic,
    independent_rows,
    picklable,
    device_neutral,
)


def run(options: CheckView) -> int:
    """multiview check view NAME [options]: 0 when all laws hold, 1 when one is broken."""
    subject = trial(options.name, options.kind, options.planes, **(options.options or {}))
    return report(f"view {options.name}", judged(LAWS, subject))
