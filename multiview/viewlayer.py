"""From cropped modalities to what the encoders see: augment, convert, take, normalise, in one batch on the device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from multiview.augment import augmented
from multiview.data.batch import Batch
from multiview.errors import MultiviewError, unknown_name
from multiview.view import View, check_crops


class ViewLayer(nn.Module):
    """Makes every view of a batch: `layer(batch, generator)` -> name -> float32 (n, channels, h, w), normalised.

    Views of the same crop, modality and augment see the same augmented pixels, and those with the same `convert`
    share one conversion. The order of the draws is the order of the views. Nothing learns here and no gradient is
    kept.
    """

    def __init__(self, views: Mapping[str, View]) -> None:
        super().__init__()
        check_crops(views.values())
        self.views = dict(views)
        for position, view in enumerate(self.views.values()):
            for label, values in (("mean", view.mean), ("std", view.std)):
                if values is None:
                    raise MultiviewError(
                        f"view '{view.channels.name}' has no {label}; take it from a store by view.settled(statistics)."
                    )
                self.register_buffer(f"{label}{position}", torch.tensor(values).view(1, -1, 1, 1), persistent=False)

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """The views of `batch`. `generator` draws the augmentations; None, as in evaluation, leaves them out."""
        device = batch.index.device.type
        with torch.no_grad(), torch.autocast(device, enabled=False):
            converted = self._converted(batch, generator)
            return {name: self._normalised(position, converted[name]) for position, name in enumerate(self.views)}

    def _converted(self, batch: Batch, generator: torch.Generator | None) -> dict[str, Tensor]:
        made: dict[object, Tensor] = {}
        out = {}
        for name, view in self.views.items():
            pixels = (view.crop.name, view.modality, view.augment)
            if pixels not in made:
                made[pixels] = _pixels(batch, view, generator)
            if (pixels, view.convert) not in made:
                made[pixels, view.convert] = view.convert(made[pixels]) if view.convert else made[pixels]
            out[name] = made[pixels, view.convert]
        return out

    def _normalised(self, position: int, x: Tensor) -> Tensor:
        view = list(self.views.values())[position]
        taken = x if view.take is None else x[:, view.take[0] : view.take[1]]
        mean, std = self.get_buffer(f"mean{position}"), self.get_buffer(f"std{position}")
        normal = (taken - mean).div_(std)
        return normal if view.missing is None else normal.masked_fill_(taken == view.missing, 0.0)


def _pixels(batch: Batch, view: View, generator: torch.Generator | None) -> Tensor:
    """The modality of a view as float32, images scaled to [0, 1], augmented when there is a generator."""
    modalities = batch.crops[view.crop.name]
    if view.modality not in modalities:
        raise unknown_name("modality of this batch", view.modality, modalities)
    stored = modalities[view.modality]
    x = stored.float().div_(255) if stored.dtype == torch.uint8 else stored.float()
    return augmented(view.augment, x, generator) if view.augment and generator is not None else x


def present_views(views: Mapping[str, View], batch: Batch) -> dict[str, Tensor]:
    """Which rows of the batch each view exists for: view -> bool (n,)."""
    everywhere = torch.ones(len(batch), dtype=torch.bool, device=batch.index.device)
    return {name: batch.present.get(view.modality, everywhere) for name, view in views.items()}
