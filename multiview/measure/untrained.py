"""The control with random weights: the encoders before training, with calibrated batch norm."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from multiview.data.load.dataset import Samples
from multiview.data.store.reading import Store
from multiview.encoder import Encoder
from multiview.model import MultiviewModel
from multiview.recipe import Setup
from multiview.viewlayer import ViewLayer, present_views

if TYPE_CHECKING:
    from multiview.measure.embeddings import Extract
    from multiview.trained import Trained

CALIBRATION = 1024
"""Training samples from which the batch-norm statistics of the untrained encoders are taken."""
BATCH = 256
SEED = 0
"""Of the random weights of the untrained projectors."""


def untrained_features(trained: Trained, device: torch.device, layer: str | None) -> Extract:
    """A function from view tensors to the features, or a layer, of the untrained encoders."""
    model = untrained_model(trained, device)
    return lambda views: model.features(views, layer)


def untrained_model(trained: Trained, device: torch.device) -> MultiviewModel:
    """The model before training, in evaluation mode, with calibrated batch norm.

    The encoders have the random weights that they were made with, before a file of first weights
    was loaded; the projectors have new random weights.
    """
    setup = trained.setup
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = MultiviewModel(copy.deepcopy(dict(setup.encoders)), setup.graph).to(device)
    projectors = {
        view: [model.projector(view, needs.projector) for needs in model.online.get(view, ())] for view in setup.views
    }
    calibrate_batch_norm(setup, model.own_encoders(), model.owners, trained.store, device, projectors)
    return model.requires_grad_(False).eval()


def calibrate_batch_norm(
    setup: Setup,
    encoders: Mapping[str, Encoder],
    encoder_of: Mapping[str, str],
    store: Store,
    device: torch.device,
    projectors: Mapping[str, Sequence[nn.Module]] | None = None,
) -> None:
    """Gives untrained encoders batch-norm statistics of training samples, and evaluation mode.

    The control would be too weak without them.

    Args:
        setup: the views.
        encoders: by the view that owns them.
        encoder_of: view -> the view whose encoder it uses.
        store: the data.
        device: of the encoders.
        projectors: view -> modules that follow its encoder; they are calibrated too.
    """
    heads = projectors or {}
    parts = [*encoders.values(), *(head for each in heads.values() for head in each)]
    norms = {m for part in parts for m in part.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    with torch.no_grad():
        for view, x in _present_tensors(setup, store, device) if norms else ():
            h = encoders[encoder_of[view]].train()(x)
            for head in heads.get(view, ()):
                head.train()(h)
    for part in parts:
        part.eval()


def _present_tensors(setup: Setup, store: Store, device: torch.device) -> Iterator[tuple[str, Tensor]]:
    """Views of training samples that have them, in batches of two or more."""
    samples = Samples(store, "train", setup.views, train=False)
    layer = ViewLayer(setup.views).to(device)
    stride = max(1, len(samples) // CALIBRATION)
    for index in torch.arange(0, len(samples), stride).split(BATCH):
        batch = samples[0, index].to(device)
        present = present_views(setup.views, batch)
        for view, x in layer(batch).items():
            if present[view].sum() > 1:
                yield view, x[present[view]]
