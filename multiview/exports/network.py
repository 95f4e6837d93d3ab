"""One view of a model as one module: stored values in, features and embeddings out."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from multiview.batch import Batch
from multiview.data.load.crops import in_batch_layout
from multiview.data.modality import Modality
from multiview.portable.model import Column, PortableModel, ViewPart
from multiview.view import Crop
from multiview.viewlayer import ViewLayer

INPUT = "values"
"""Name of the input of an exported network."""


class StoredToVectors(nn.Module):
    """Conversion, normalisation, encoder and projectors of one view: values -> (h, z, ...).

    The values are stored samples of the size of the crop, channels last: uint8 images
    (n, size, size, 3), metres (n, size, size), int16 sound (n, samples), ... The results are
    float32 (n, width), in the order of `outputs_of`.
    """

    def __init__(self, part: ViewPart) -> None:
        super().__init__()
        view = replace(part.view, augment=None, mask=None)
        self.kind, self.crop, self.modality = part.modality.kind, view.crop.name, view.modality
        self.layer = ViewLayer({"view": view})
        self.encoder = copy.deepcopy(part.encoder).cpu()
        self.heads = nn.ModuleList(copy.deepcopy(head).cpu() for head in part.heads.values())
        self.eval()

    def forward(self, values: Tensor) -> tuple[Tensor, ...]:
        """The vectors of n stored samples."""
        h = self.encoder(self.converted(values))
        return (h.float(), *(head(h).float() for head in self.heads))

    def converted(self, values: Tensor) -> Tensor:
        """The view tensor of n stored samples: converted and normalised."""
        crops = {self.crop: {self.modality: in_batch_layout(self.kind, values)}}
        return self.layer(Batch(crops, torch.zeros(1, dtype=torch.int64), {}))["view"]


def outputs_of(model: PortableModel, view: str) -> dict[str, Column]:
    """The outputs of an exported view by name: `h`, and `z` or, with several projectors, `z_NAME`.

    The columns say which vectors of the model they are.
    """
    heads = model.columns("z", [view])
    names = ["z"] if len(heads) == 1 else [f"z_{each.head}" for each in heads]
    return {"h": model.columns("h", [view])[0], **dict(zip(names, heads, strict=True))}


def stored_shape(modality: Modality, crop: Crop) -> tuple[int, ...]:
    """The shape of a stored sample that has the size and length of the crop."""
    shape = (0, 0, 3) if modality.encoding else modality.shape
    if modality.timed and crop.seconds is not None:
        shape = (max(1, round(crop.seconds * (modality.rate or 1))), *shape[1:])
    if not modality.spatial:
        return shape
    place = 1 if modality.kind == "video" else 0
    return (*shape[:place], crop.size, crop.size, *shape[place + 2 :])


def stored_dtype(modality: Modality) -> np.dtype:
    """The dtype of a stored sample."""
    return np.dtype(modality.dtype)
