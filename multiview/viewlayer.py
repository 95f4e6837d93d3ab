"""From the modalities of a batch to view tensors, on the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from multiview.batch import Batch
from multiview.counter_rng import Draws
from multiview.errors import MultiviewError, unknown_name
from multiview.view import View, check_crops


class ViewLayer(nn.Module):
    """Makes every view of a batch: `layer(batch, draws)` -> name -> normalised (n, channels, ...).

    Views are float32. Views of integers, such as tokens, stay integers and are not normalised.
    Views with the same crop, modality and augment see the same augmented pixels; views that also
    have the same `convert` share one conversion. The layer has no parameters and keeps no gradient.
    compiled: pointwise conversions go through `torch.compile`, each at its first call.
    """

    def __init__(self, views: Mapping[str, View], compiled: bool = False) -> None:
        super().__init__()
        check_crops(views.values())
        self.views = dict(views)
        pointwise = {view.convert for view in views.values() if view.convert is not None and view.pointwise}
        self.compiled = {convert: torch.compile(convert) for convert in pointwise} if compiled else {}
        for position, view in enumerate(self.views.values()):
            for label, values in (("mean", view.mean), ("std", view.std)):
                if values is None:
                    raise MultiviewError(
                        f"view '{view.channels.name}' has no {label}; take it from a store by "
                        "view.with_statistics(statistics)."
                    )
                self.register_buffer(f"{label}{position}", torch.tensor(values), persistent=False)

    def forward(self, batch: Batch, draws: Draws | None = None) -> dict[str, Tensor]:
        """The views of `batch`, augmented by `draws`; without augmentation when `draws` is None."""
        device = batch.index.device.type
        lowers = torch.amp.is_autocast_available(device) and not torch.compiler.is_exporting()
        exact = torch.autocast(device, enabled=False) if lowers else nullcontext()
        with torch.no_grad(), exact:
            converted = self._converted(batch, draws)
            normal = {name: self._normalised(position, converted[name]) for position, name in enumerate(self.views)}
            return normal if draws is None else {name: self._distorted(name, x, draws) for name, x in normal.items()}

    def _converted(self, batch: Batch, draws: Draws | None) -> dict[str, Tensor]:
        made: dict[object, Tensor] = {}

        def once(key: object, make: Callable[[], Tensor]) -> Tensor:
            if key not in made:
                made[key] = make()
            return made[key]

        def seen(view: View) -> Tensor:
            source = (view.crop.name, view.modality, view.augment)
            stored = once(source, lambda: _augmented(batch, view, draws))
            if view.convert is None or not view.reads_bytes:
                stored = once((source, scaled), lambda: scaled(stored))
            convert, mask = view.convert, view.mask
            converted = (
                stored
                if convert is None
                else once((source, convert), lambda: self.compiled.get(convert, convert)(stored))
            )
            if mask is None or draws is None:
                return converted
            own = draws.of(f"{view.crop.name}/{view.modality}/mask")
            return once((source, convert, mask), lambda: mask(converted, own))

        return {name: seen(view) for name, view in self.views.items()}

    def _distorted(self, name: str, x: Tensor, draws: Draws) -> Tensor:
        distort = self.views[name].distort
        return x if distort is None or not x.is_floating_point() else distort(x, draws.of(f"{name}/distort"))

    def _normalised(self, position: int, x: Tensor) -> Tensor:
        view = list(self.views.values())[position]
        if not x.is_floating_point():
            return x
        taken = _channels(view, x)
        along = (1, -1, *[1] * (taken.ndim - 2))
        mean, std = (self.get_buffer(f"{label}{position}").view(along) for label in ("mean", "std"))
        normal = (taken - mean).div_(std)
        return normal if view.missing is None else normal.masked_fill_(taken == view.missing, 0.0)


def _augmented(batch: Batch, view: View, draws: Draws | None) -> Tensor:
    """The view's modality as stored, or augmented in its natural range when there are draws."""
    modalities = batch.crops[view.crop.name]
    if view.modality not in modalities:
        raise unknown_name("modality of this batch", view.modality, modalities)
    x = modalities[view.modality]
    if view.augment is None or draws is None:
        return x
    return view.augment(scaled(x), draws.of(f"{view.crop.name}/{view.modality}"))


def _channels(view: View, x: Tensor) -> Tensor:
    """The channels of (n, channels, ...) that a view takes; neighbours are not copied."""
    take = tuple(range(view.channels.count)) if view.take is None else view.take
    if max(take) >= x.shape[1] or (view.take is None and len(take) != x.shape[1]):
        raise MultiviewError(
            f"view '{view.channels.name}' declares {view.channels.count} channels, but '{view.modality}' gives it "
            f"{x.shape[1]}; declare as many, or list the channels in take, counted from 0."
        )
    return x[:, take[0] : take[-1] + 1] if take == tuple(range(take[0], take[-1] + 1)) else x[:, list(take)]


def scaled(stored: Tensor) -> Tensor:
    """A stored tensor in its natural range.

    8 bit values become [0, 1], 16 bit sound [-1, 1), floats float32. int64 (labels, tokens) stays.
    """
    if stored.dtype == torch.uint8:
        return stored.float().div_(255)
    if stored.dtype == torch.int16:
        return stored.float().div_(32768)
    return stored if stored.dtype == torch.int64 else stored.float()


def present_views(views: Mapping[str, View], batch: Batch) -> dict[str, Tensor]:
    """Which samples of the batch have each view: view -> bool (n,)."""
    everywhere = torch.ones(len(batch), dtype=torch.bool, device=batch.index.device)
    return {name: batch.present.get(view.modality, everywhere) for name, view in views.items()}
