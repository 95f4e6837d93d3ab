"""Published pickles, read without running anything: numbers, texts, lists, dictionaries and NumPy arrays, nothing else."""

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
"""All that a pickled array calls when it is loaded."""


class _Arrays(pickle.Unpickler):
    """An unpickler to which nothing but arrays is known."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, and only arrays are read")
        return ALLOWED[module, name]


def read_pickle(path: Path) -> dict[str, Any]:
    """The dictionary in a pickle of Python 2 or 3, its keys as text. Raises MultiviewError: truncated, damaged, or more
    than data, in which case nothing of it was run.
    """
    try:
        with path.open("rb") as file:
            found = _Arrays(file, encoding="bytes").load()
        return {key.decode() if isinstance(key, bytes) else key: value for key, value in found.items()}
    except Exception as cause:  # damaged pickles raise nearly every kind there is
        reason = str(cause) or type(cause).__name__
        raise MultiviewError(f"{path} is refused: {reason}. Give the files as they were published.") from cause
