"""The check, and the message, about a view whose modality the data does not hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from multiview.data.modality import KINDS, Modality
from multiview.errors import MultiviewError, suggestion
from multiview.view import View

if TYPE_CHECKING:
    from multiview.data.store.reading import Store


def require_modalities(views: Iterable[View], store: Store) -> dict[str, Modality]:
    """The modalities of a store by name. Raises MultiviewError when a view reads another one."""
    stored = {modality.name: modality for modality in store.manifest.modalities}
    for view in views:
        if view.modality not in stored:
            raise absent_modality(view, stored.values(), store.name)
    return stored


def absent_modality(view: View, stored: Iterable[Modality], place: str, called: str | None = None) -> MultiviewError:
    """Says what the view reads, what there is, and how a modality of another name is read.

    called: the name of the view in the graph (None = that of its channels).
    """
    held = {each.name: each.kind for each in stored}
    listing = (
        ", ".join(name if name == kind else f"{name} ({kind})" for name, kind in sorted(held.items())) or "nothing"
    )
    name = view.made.factory.rpartition(":")[2] if view.made else view.channels.name
    return MultiviewError(
        f"view '{called or view.channels.name}' reads '{view.modality}', which {place} does not hold; it holds "
        f"{listing}."
        f"{_remedy(view, name, held, called)}"
    )


def _remedy(view: View, name: str, held: dict[str, str], called: str | None) -> str:
    word = name if called in (None, name) else f"{called}={name}"
    alike = [other for other, kind in held.items() if kind == view.modality]
    near = suggestion(view.modality, held)
    if len(alike) == 1:
        return (
            f" If '{alike[0]}' is meant, name it: --views '{word}:modality={alike[0]}', or in Python "
            f"mv.make_view('{name}', crop, modality='{alike[0]}')."
        )
    if alike or near:
        return (
            f"{near} A view reads a modality of another name by mv.make_view('{name}', crop, modality=NAME), and in "
            f"--views by {word}:modality=NAME."
        )
    kind = f" ({KINDS[view.modality]})" if view.modality in KINDS else ""
    return (
        f" Leave the view out, such as with --views and the names of the others, or make a store that holds "
        f"'{view.modality}'{kind}: the sources `aligned` and `manifest` take several files per sample."
    )
