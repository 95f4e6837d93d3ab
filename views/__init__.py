"""The most used views, imported when first used: `from multiview.views import Lab, depth`.

`multiview list` shows all installed views; `multiview.make_view(name, crop)` makes any of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Imported at once: a later import of the module `depth` would replace the function `depth`.
from multiview.views.depth import depth

if TYPE_CHECKING:
    from multiview.views.augment import CROP_ONLY, MILD, MOCO_V1, MOCO_V2, SIMCLR, SIMSIAM, SMALL
    from multiview.views.colour import grey, rgb, rgb_to_grey
    from multiview.views.lab import Lab, chroma, lightness, rgb_to_lab
    from multiview.views.normals import normal

_HOME = {
    "CROP_ONLY": "augment",
    "MILD": "augment",
    "MOCO_V1": "augment",
    "MOCO_V2": "augment",
    "SIMCLR": "augment",
    "SIMSIAM": "augment",
    "SMALL": "augment",
    "Lab": "lab",
    "chroma": "lab",
    "grey": "colour",
    "lightness": "lab",
    "normal": "normals",
    "rgb": "colour",
    "rgb_to_grey": "colour",
    "rgb_to_lab": "lab",
}

__all__ = [
    "CROP_ONLY",
    "MILD",
    "MOCO_V1",
    "MOCO_V2",
    "SIMCLR",
    "SIMSIAM",
    "SMALL",
    "Lab",
    "chroma",
    "depth",
    "grey",
    "lightness",
    "normal",
    "rgb",
    "rgb_to_grey",
    "rgb_to_lab",
]


if not TYPE_CHECKING:  # a type checker would take any name for one of this module

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'; it has {', '.join(__all__)}")
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
