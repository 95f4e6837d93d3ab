"""Stored values that a user hands to a portable model, checked against the modality."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.data.modality import KINDS, Modality
from multiview.errors import MultiviewError

FREE = {"image": 2, "depth": 2, "normal": 2, "mask": 2, "bands": 2, "video": 3, "audio": 1, "series": 1, "points": 1}
"""Kind of modality -> how many leading axes of a sample may have any length."""


def stored_values(modality: Modality, values: Any) -> NDArray[Any] | list[NDArray[Any]]:
    """n samples in the stored dtype: an array (n, ...), or a list for samples of several shapes.

    Texts may be a list of str. Floating-point numbers of another width are cast.
    Raises MultiviewError for another dtype or shape.
    """
    if modality.kind == "text" and isinstance(values, (list, tuple)) and all(isinstance(x, str) for x in values):
        return _texts(values, modality.shape[0])
    return _numbers(modality, values)


def _numbers(modality: Modality, values: Any) -> NDArray[Any] | list[NDArray[Any]]:
    if isinstance(values, (str, bytes, dict)):
        raise _wrong(modality, type(values).__name__)
    whole = hasattr(values, "shape") or len({np.shape(_plain(x)) for x in values}) == 1
    samples = [_plain(values)] if whole else [_plain(x)[None] for x in values]
    checked = [_checked(modality, each) for each in samples]
    if whole and not modality.ragged:
        return checked[0]
    return [sample for each in checked for sample in each]


def _plain(values: Any) -> NDArray[Any]:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def _checked(modality: Modality, values: NDArray[Any]) -> NDArray[Any]:
    dtype = np.dtype(modality.dtype)
    both_float = dtype.kind == values.dtype.kind == "f"
    shape = (3, 3, 3) if modality.encoding else modality.shape
    free = FREE.get(modality.kind, 0)
    fits = values.ndim == 1 + len(shape) and (modality.kind == "text" or values.shape[1 + free :] == shape[free:])
    if not fits or (values.dtype != dtype and not both_float) or 0 in values.shape:
        raise _wrong(modality, f"{values.dtype} {values.shape}")
    return values if values.dtype == dtype else values.astype(dtype)


def _texts(texts: list[str] | tuple[str, ...], length: int) -> NDArray[np.uint8]:
    coded = [text.encode("utf-8", "replace")[:length] for text in texts]
    return np.array([np.frombuffer(text.ljust(length, b"\0"), np.uint8) for text in coded]).reshape(-1, length)


def _wrong(modality: Modality, given: str) -> MultiviewError:
    trained = "encoded pictures" if modality.encoding else f"{modality.dtype} {modality.shape}"
    return MultiviewError(
        f"this view reads n stored samples of '{modality.name}', not {given}. A sample is "
        f"{KINDS[modality.kind]}; those of the training were {trained}. Give an array with the samples along the "
        "first axis, or a list of samples; for files, use model.embed(FOLDER)."
    )
