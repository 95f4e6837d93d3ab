"""Pickles of published datasets, read without running any code that they name.

Only numbers, texts, lists, dictionaries and NumPy arrays are read.
"""

from __future__ import annotations

import codecs
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from multiview.errors import MultiviewError

_RECONSTRUCT = np.empty(0).__reduce__()[0]
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,
}
"""All functions that loading a pickled array needs."""


class _ArrayUnpickler(pickle.Unpickler):
    """An unpickler that knows arrays only."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, and only arrays are read")
        return ALLOWED[module, name]


def read_pickle(path: Path) -> dict[str, Any]:
    """Reads the dictionary in a pickle of Python 2 or 3, with its keys as text.

    Raises MultiviewError when the file is truncated or damaged, or asks for anything but arrays.
    """
    try:
        with path.open("rb") as file:
            found = _ArrayUnpickler(file, encoding="bytes").load()
        return {key.decode() if isinstance(key, bytes) else key: value for key, value in found.items()}
    except Exception as cause:  # damaged pickles raise nearly every kind of error
        reason = str(cause) or type(cause).__name__
        raise MultiviewError(f"{path} is refused: {reason}. Give the files as they were published.") from cause
