"""Which of the loose options of a view belong to its view, and which to its encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from multiview.errors import MultiviewError, unknown_name
from multiview.graphs.kinds import fitting, hints_of, keywords_of
from multiview.graphs.yamlfile import At, Document
from multiview.plugins import load
from multiview.view import Crop

Options = dict[str, Any]


def split_options(
    document: Document,
    at: At,
    name: str,
    view: str,
    encoder: str | None,
    share: str | None,
    given: Mapping[str, Any],
) -> tuple[Options, Options]:
    """The options of the view, and of its encoder, from those that stand beside each other.

    Raises MultiviewError for an option that both have, or neither.
    """
    try:
        factory = load("views", view)
    except MultiviewError as error:
        document.fail((*at, "view") if (*at, "view") in document.places else at, f"view '{name}': {error}")
    seen, any_seen = keywords_of(factory)
    kinds = hints_of(factory)
    of_view = {
        key: _typed(document, (*at, key), name, value, kinds.get(key, Any))
        for key, value in given.items()
        if key in seen
    }
    maker = None if share else _encoder(document, at, name, factory, encoder, of_view)
    made, any_made = keywords_of(maker) if maker else (set(), False)
    of_encoder: Options = {}
    for key, value in given.items():
        if key in seen and key in made:
            document.fail((*at, key), _both(name, key, view, encoder))
        if any_seen and key not in {*seen, *made}:
            of_view[key] = _typed(document, (*at, key), name, value, Any)
        elif key in made or (any_made and key not in seen):
            of_encoder[key] = _typed(document, (*at, key), name, value, hints_of(maker).get(key, Any) if maker else Any)
        elif key not in seen:
            _unknown(document, (*at, key), name, key, {*seen, *made})
    return of_view, of_encoder


def _encoder(document: Document, at: At, name: str, view: Any, encoder: str | None, options: Options) -> Any:
    """The factory of the encoder, which may follow from the view."""
    from multiview.graphs.building import ENCODERS

    try:
        if encoder is None:
            encoder = ENCODERS.get(view(Crop(), **options).axes, "convnet")
        return load("encoders", encoder.partition(":")[0])
    except (MultiviewError, TypeError, ValueError) as error:
        where = (*at, "encoder") if (*at, "encoder") in document.places else at
        document.fail(where, f"view '{name}': {error}")


def _both(name: str, key: str, view: str, encoder: str | None) -> str:
    return (
        f"view '{name}': both the view and its encoder have an option {key}; write it where it belongs: "
        f"`view: {{name: {view}, {key}: ...}}` or `encoder: {{name: {encoder or '...'}, {key}: ...}}`."
    )


def _typed(document: Document, at: At, name: str, value: Any, kind: Any) -> Any:
    try:
        return fitting(value, kind)
    except (ValueError, MultiviewError) as error:
        document.fail(at, f"view '{name}': {at[-1]} is {value!r}; {error}")


def _unknown(document: Document, at: At, name: str, key: str, known: set[str]) -> NoReturn:
    from multiview.graphs.reading import OWN

    document.fail(at, f"view '{name}': {unknown_name('option of a view, or of its encoder', key, {*OWN, *known})}")
