"""A text as a query: a view of texts of the model encodes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.data.listing.tables import ENDINGS as TABLES
from multiview.data.load.detect_source import TREES
from multiview.embed.gallery import Gallery, common_columns
from multiview.errors import MultiviewError, printable, unknown_name
from multiview.portable.model import Column, PortableModel

FILES = frozenset().union(*TREES.values(), (ending[1:] for ending in TABLES), ["npy", "npz", "h5"])
"""Endings of words that name a file, and are no texts."""
TEXT = "text"


def is_text(word: str) -> bool:
    """Whether a query that is no id and no file is a text, and not the name of a missing file."""
    named = PurePath(word).suffix[1:].casefold() in FILES or ("/" in word and " " not in word)
    return bool(word.strip()) and not named


def text_views(model: PortableModel) -> tuple[str, ...]:
    """The views of a model that read texts."""
    return tuple(view for view, part in model.parts.items() if part.modality.kind == TEXT)


def target_of_text(gallery: Gallery, model: PortableModel, within: str | None) -> str:
    """The view that a text is searched in: `within`, or the first view that holds no texts."""
    if within is not None:
        if within not in gallery.views:
            raise unknown_name("view of this gallery", within, gallery.views)
        return within
    others = [view for view in gallery.views if view not in text_views(model)]
    return (others or gallery.views)[0]


def text_vector(
    gallery: Gallery, model: PortableModel, text: str, view: str | None, within: str
) -> tuple[str, NDArray[np.float32], str]:
    """The view that reads the text, its vector, and the column of the gallery to compare it with.

    Raises MultiviewError when the model reads no texts, or when texts and `within` have no
    embedding in common.
    """
    own = _view_of_texts(gallery, model, text, view)
    what = "h" if own == within and gallery.about["what"] == "h" else "z"
    if gallery.about["what"] != what:
        raise gallery.no_common_space()
    named = {f"{each.head}": each for each in model.columns(what, [own])}
    described = [_described(model, each) for each in named.values()]
    theirs = [each for each in gallery.about["columns"] if each["view"] == within]
    ours, found = common_columns(described, theirs, own, within)
    return own, _encoded(model, named[f"{ours['head']}"], text), found["name"]


def _view_of_texts(gallery: Gallery, model: PortableModel, text: str, view: str | None) -> str:
    found = text_views(model)
    if not found:
        raise gallery.unknown(text, f" The model has no view that reads texts; its views: {', '.join(model.views)}.")
    if view not in (None, *found):
        raise MultiviewError(
            f"'{printable(text)}' is not a file, and no id of the gallery, and the view '{view}' reads no texts; views "
            f"that do: {', '.join(found)}."
        )
    return view or found[0]


def _described(model: PortableModel, column: Column) -> Mapping[str, Any]:
    edges = model.part(column.view).edges
    return {**column._asdict(), "edges": [edge for edge, head in edges.items() if head == column.head]}


def _encoded(model: PortableModel, column: Column, text: str) -> NDArray[np.float32]:
    modality = model.part(column.view).modality
    vector = model.of_values({modality.name: [text]}, [column])[column][0]
    return np.asarray(vector.cpu().numpy(), np.float32)
