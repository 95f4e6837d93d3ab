"""Samples that are stored as the bytes of their files, and what they are when they are read."""

from __future__ import annotations

import io

import numpy as np

from multiview.data import images
from multiview.data.modality import Modality
from multiview.errors import MultiviewError


def decoded(modality: Modality, sample: np.ndarray, name: str) -> np.ndarray:
    """The bytes of an image file, uint8 (bytes,), as sRGB, uint8 (height, width, 3). Raises BadSample, naming `name`."""
    check_encoding(modality)
    return images.rgb(io.BytesIO(sample.tobytes()), name)


def check_encoding(modality: Modality) -> None:
    """Raises MultiviewError for a modality that cannot be stored as the bytes of files."""
    if modality.kind != "image":
        raise MultiviewError(f"modality '{modality.name}' is {modality.kind}; only images are stored encoded.")
    if not modality.ragged or modality.dtype != "uint8" or len(modality.shape) != 1:
        raise MultiviewError(f"modality '{modality.name}' is encoded: its dtype is uint8, its shape (ANY,).")
