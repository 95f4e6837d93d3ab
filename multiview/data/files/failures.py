"""One sentence for everything that can go wrong with a file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from multiview.data.source import BadSample


@contextmanager
def name_failures(name: str) -> Iterator[None]:
    """Turns every failure of the block into `BadSample("name: reason")`."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            yield
        except BadSample as cause:
            raise BadSample(f"{name}: {cause}") from cause
        except Exception as cause:  # decoders raise nearly every kind of error on damaged files
            raise BadSample(f"{name}: {_reason(cause)}") from cause


def _reason(cause: Exception) -> str:
    from PIL import Image, UnidentifiedImageError

    if isinstance(cause, FileNotFoundError):
        return "missing file"
    if isinstance(cause, PermissionError):
        return "permission denied"
    if isinstance(cause, UnidentifiedImageError):
        return "no image, or its beginning is damaged"
    if isinstance(cause, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"refused as a decompression bomb: {cause} Allow honest pictures of this size with --max_megapixels"
    return str(cause) or type(cause).__name__
