"""A view whose modality the data does not hold: what it reads in its place, or the message."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from multiview.data.modality import KINDS, Modality
from multiview.data.sources.aligned import KINDS as ALIGNED
from multiview.errors import MultiviewError, suggestion
from multiview.view import View

if TYPE_CHECKING:
    from multiview.data.store.reading import Store

PAIRED = ("first", "second")
"""The modalities that the source `pairs` makes."""
SECOND = re.compile(r"_\d+$")
"""End of the name of a second crop."""
AUTO = "The recipe `auto` chooses views by what the data hold."


def require_modalities(views: Iterable[View], store: Store) -> dict[str, Modality]:
    """The modalities of a store by name. Raises MultiviewError when a view reads another one."""
    stored = {modality.name: modality for modality in store.manifest.modalities}
    for view in views:
        if view.modality not in stored:
            raise absent_modality(view, stored.values(), store.name)
    return stored


def reading_others(views: Mapping[str, View], stored: Mapping[str, Modality]) -> dict[str, View]:
    """The views by name; one whose modality is not stored reads the only modality of its kind.

    `rgb` reads `image`, else the one stored modality of the kind image, such as `picture`. A
    modality that another view reads by its own name is not read twice.
    """
    read = {view.modality for view in views.values()}
    free = [each for each in stored.values() if each.name not in read]

    def other(view: View) -> View:
        alike = [each.name for each in free if each.kind == view.modality]
        return view.of(alike[0]) if view.modality not in stored and len(alike) == 1 else view

    return {name: other(view) for name, view in views.items()}


def other_notes(asked: Mapping[str, View], found: Mapping[str, View]) -> list[str]:
    """A line for the first view of each modality that `reading_others` chose."""
    first: dict[str, str] = {}
    for name, view in found.items():
        if view.modality != asked[name].modality:
            first.setdefault(view.modality, f"view '{name}' reads '{view.modality}', the only {asked[name].modality}")
    return [f"{each} of these data." for each in first.values()]


def absent_modality(
    view: View,
    stored: Iterable[Modality],
    place: str,
    called: str | None = None,
    views: Mapping[str, View] | None = None,
) -> MultiviewError:
    """Says what the view reads, what there is, and what to type.

    Args:
        called: the name of the view in the graph (None = that of its channels).
        views: all views of the graph by name.
    """
    held = {each.name: each.kind for each in stored}
    listing = (
        ", ".join(name if name == kind else f"{name} ({kind})" for name, kind in sorted(held.items())) or "nothing"
    )
    return MultiviewError(
        f"view '{called or view.channels.name}' reads '{view.modality}', which {place} does not hold; it holds "
        f"{listing}."
        f"{_remedy(view, held, called, views or {})}"
    )


def _word(view: View, called: str | None) -> str:
    """The view as `--views` takes it: `L`, or `left=rgb`."""
    name = _installed(view)
    return name if called in (None, name) else f"{called}={name}"


def _installed(view: View) -> str:
    return view.made.factory.rpartition(":")[2] if view.made else view.channels.name


def _remedy(view: View, held: dict[str, str], called: str | None, views: Mapping[str, View]) -> str:
    name, word = _installed(view), _word(view, called)
    alike = [other for other, kind in held.items() if kind == view.modality]
    near = suggestion(view.modality, held)
    auto = f" {AUTO}" if called else ""
    if alike or near:
        first, given = (alike[0], repr(alike[0])) if len(alike) == 1 else ("NAME", "NAME")
        return (
            f"{near} A view reads a modality of another name by mv.make_view('{name}', crop, modality={given}), and "
            f"where the recipe has --views by {word}:modality={first}.{auto}"
        )
    return f"{_without(views, held)} {_made(view, held)}{auto}"


def _without(views: Mapping[str, View], held: Mapping[str, str]) -> str:
    """How to leave the views out that the data lack, where two others remain; else ''."""
    first = {
        name: view for name, view in views.items() if SECOND.sub("", name) == name or SECOND.sub("", name) not in views
    }
    rest = [_word(view, name) for name, view in first.items() if view.modality in held]
    return f" Where the recipe has --views, type --views '[{', '.join(rest)}]'." if len(rest) > 1 else ""


def _made(view: View, held: Mapping[str, str]) -> str:
    """How a store is made that holds the modality."""
    if view.modality in PAIRED:
        return (
            f"The modality '{view.modality}' is one of two sounds of a class: make a store of class folders of sounds "
            "by `multiview preprocess pairs FOLDER STORE`, and give --data STORE."
        )
    if view.modality in ALIGNED:
        return f"Where you have '{view.modality}' ({KINDS[view.modality]}), make a store by {_aligned(view, held)}."
    return (
        f"Or make a store that holds '{view.modality}': the sources `aligned` and `manifest` take several files per "
        "sample."
    )


def _aligned(view: View, held: Mapping[str, str]) -> str:
    """The command that makes a store of what is held and the modality of the view."""
    kinds = {name: kind for name, kind in held.items() if kind in ALIGNED} | {view.modality: view.modality}
    named = {name if name == kind else f"'{name}:{kind}'": name for name, kind in kinds.items()}
    places = ", ".join(f"{word}: FOLDER_OF_{name.upper()}" for word, name in named.items())
    return f'`multiview preprocess aligned FOLDER STORE --modalities "{{{places}}}"`, and give --data STORE'
