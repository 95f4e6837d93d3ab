"""The control with random weights: the encoders before training, with calibrated batch norm."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from multiview.data.load.dataset import Samples
from multiview.data.store.reading import Store
from multiview.encoder import Encoder
from multiview.model import owners
from multiview.recipe import Setup
from multiview.viewlayer import ViewLayer, present_views

if TYPE_CHECKING:
    from multiview.measure.embeddings import Extract
    from multiview.trained import Trained

CALIBRATION = 1024
"""Training samples from which the batch-norm statistics of the untrained encoders are taken."""
BATCH = 256


def untrained_features(trained: Trained, device: torch.device, layer: str | None) -> Extract:
    """A function from view tensors to the features, or a layer, of the untrained encoders."""
    setup = trained.setup
    encoder_of = owners(setup.encoders, tuple(setup.views))
    encoders = {name: copy.deepcopy(e).to(device) for name, e in setup.encoders.items() if isinstance(e, Encoder)}
    calibrate_batch_norm(setup, encoders, encoder_of, trained.store, device)

    def extract(views: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {view: encoders[encoder_of[view]](x, layer) for view, x in views.items()}

    return extract


def calibrate_batch_norm(
    setup: Setup, encoders: Mapping[str, Encoder], encoder_of: Mapping[str, str], store: Store, device: torch.device
) -> None:
    """Gives untrained encoders batch-norm statistics of training samples, and evaluation mode.

    The control would be too weak without them. encoder_of: view -> the view whose encoder it uses.
    """
    norms = [m for e in encoders.values() for m in e.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    if norms:
        _forward_in_training_mode(setup, encoders, encoder_of, store, device)
    for encoder in encoders.values():
        encoder.eval()


@torch.no_grad()
def _forward_in_training_mode(
    setup: Setup, encoders: Mapping[str, Encoder], encoder_of: Mapping[str, str], store: Store, device: torch.device
) -> None:
    samples = Samples(store, "train", setup.views, train=False)
    layer = ViewLayer(setup.views).to(device)
    stride = max(1, len(samples) // CALIBRATION)
    for index in torch.arange(0, len(samples), stride).split(BATCH):
        batch = samples[0, index].to(device)
        present = present_views(setup.views, batch)
        for view, x in layer(batch).items():
            if present[view].sum() > 1:
                encoders[encoder_of[view]].train()(x[present[view]])
