"""The fused features of samples, from the features of their views."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from multiview.measure.embeddings import Embedded
from multiview.model import MultiviewModel, fused_names


@torch.no_grad()
def with_fused(model: MultiviewModel, part: Embedded) -> Embedded:
    """The features with those of every fusion of the model, such as `fused`.

    A sample has a fused feature when it has any of the fused views.
    """
    names = fused_names(model.graph)
    if not names:
        return part
    device = next(model.parameters()).device
    h = {view: torch.from_numpy(x).to(device) for view, x in part.features.items()}
    present = {view: torch.from_numpy(there).to(device) for view, there in part.present.items()}
    made = {name: x.float().cpu().numpy() for name, x in model.fused_features(h, present).items()}
    fused = {name: head.fusion.views for head, name in names.items() if head.fusion is not None}
    there = {name: np.any([part.present[view] for view in fused[name]], axis=0) for name in made}
    return replace(part, features={**part.features, **made}, present={**part.present, **there})
