"""The crops of evaluation: queries and gallery are cut at different places of a sample.

Views that show the same crop find each other by the crop itself: by the same shadow at the same
pixel. Such a search says little about what the encoders learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from multiview.data.modality import Modality
from multiview.view import View

QUERY, GALLERY = "query", "gallery"
"""The two crops of a sample. All views of one of them show the same place."""
SCALE = (0.6, 0.8)
"""The share of the area that a crop keeps: two of them always overlap, and are never equal."""


def has_places(view: View, modality: Modality) -> bool:
    """Whether a crop of the view shows a part of the sample: of a picture, or of a time."""
    return modality.spatial or (modality.timed and view.crop.seconds is not None)


def cut_views(views: Mapping[str, View], cut: str) -> dict[str, View]:
    """The views on the crop `cut` (`query` or `gallery`), without mirroring.

    The place is the same for all views of a sample, and depends on the sample and `cut` only.
    """
    return {name: _on(view, cut) for name, view in views.items()}


def _on(view: View, cut: str) -> View:
    name = f"evaluation {cut} {view.crop.size} {view.crop.seconds}"
    crop = replace(view.crop, name=name, draw=f"evaluation {cut}", scale=SCALE, ratio=(3 / 4, 4 / 3), flip=0.0)
    return view.on(crop)
