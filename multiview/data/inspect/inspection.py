"""`multiview inspect`: prints the summary of a store and draws its contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from multiview.data.inspect.contact_sheet import contact_sheet, render_view
from multiview.data.inspect.summary import print_summary
from multiview.data.load.absent import reading_others, require_modalities
from multiview.data.load.viewstatistics import usable_views
from multiview.data.store.reading import Store
from multiview.errors import MultiviewError
from multiview.plugins import load
from multiview.view import Crop, View, make_view


def inspect_store(
    path: Path | str, out: Path | None = None, samples: int = 8, views: Sequence[str] | None = None
) -> Path:
    """Prints the summary of a store and draws its contact sheet; returns the picture's path.

    Args:
        path: the folder of the store, or its address.
        out: the PNG file; by default `contact-sheet.png` in the store, or in the working folder
            when the store is at an address.
        samples: number of samples on the sheet.
        views: names of installed views, with options where a view needs them (`bands:bands=8`);
            by default all views whose modality is in the store.

    Raises MultiviewError when there is no store, for an unknown view or option, and for a view
    whose modality the store lacks.
    """
    from multiview.terminal import SafeConsole

    store = Store.open(path)
    drawn = _choose_views(store, views)
    console = SafeConsole(highlight=False)
    print_summary(store, console)
    picture = contact_sheet(
        store, out or (Path() if store.cache else store.path) / "contact-sheet.png", drawn, render_view, samples
    )
    console.print(f"contact sheet: {picture}", soft_wrap=True)
    return picture


def _choose_views(store: Store, names: Sequence[str] | None) -> dict[str, View]:
    if names is None:
        return usable_views(store)
    stored = {each.name: each for each in store.manifest.modalities}
    views = reading_others({name: _parse_view(name) for name in names}, stored)
    require_modalities(views.values(), store)
    return views


def _parse_view(words: str) -> View:
    """The view that `NAME` or `NAME:OPTION=VALUE:OPTION=VALUE` names.

    Raises MultiviewError like `make_view`, and says how options are written.
    """
    name = words.partition(":")[0]
    load("views", name)
    try:
        return make_view(words, Crop())
    except MultiviewError as error:
        raise MultiviewError(f"{error} Options follow the name: --views '[\"{name}:OPTION=VALUE\"]'.") from error
