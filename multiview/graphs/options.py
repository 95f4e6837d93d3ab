"""Which of the loose options of a view belong to its view, and which to its encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from multiview.errors import MultiviewError, unknown_name
from multiview.graphs.kinds import fitting, hints_of, keywords_of
from multiview.graphs.yamlfile import At, Document
from multiview.plugins import load
from multiview.view import Crop

Options = dict[str, Any]


@dataclass(frozen=True)
class _Taker:
    """The options that a factory takes: their names and kinds, and whether it takes any other."""

    names: set[str]
    anything: bool
    kinds: Options

    @classmethod
    def of(cls, factory: Any) -> _Taker:
        return cls(*keywords_of(factory), hints_of(factory)) if factory else cls(set(), False, {})


def split_options(
    document: Document, at: At, name: str, view: str, encoder: str | None, share: str | None, given: Mapping[str, Any]
) -> tuple[Options, Options]:
    """The options of the view, and of its encoder, from those that stand beside each other.

    Raises MultiviewError for an option that both have, or neither.
    """
    factory = _view(document, at, name, view)
    seen = _Taker.of(factory)
    of_view = _all_typed(document, at, name, seen, {key: given[key] for key in given if key in seen.names})
    made = _Taker.of(None if share else _encoder(document, at, name, factory, encoder, of_view))
    whose = {key: _whose(key, seen, made) for key in given}
    for key, owner in whose.items():
        if owner == "both":
            document.fail((*at, key), _both(name, key, view, encoder))
        if not owner:
            _unknown(document, (*at, key), name, key, seen.names | made.names)
    rest = {key: given[key] for key in given if whose[key] == "view"}
    own = {key: given[key] for key in given if whose[key] == "encoder"}
    return _all_typed(document, at, name, seen, rest), _all_typed(document, at, name, made, own)


def _whose(key: str, seen: _Taker, made: _Taker) -> str:
    """Whose option it is: `view`, `encoder`, `both`, or "" for neither."""
    if key in seen.names:
        return "both" if key in made.names else "view"
    if key in made.names:
        return "encoder"
    return "view" if seen.anything else "encoder" if made.anything else ""


def _all_typed(document: Document, at: At, name: str, taker: _Taker, given: Mapping[str, Any]) -> Options:
    """The values as the annotations of the factory have them."""
    return {key: _typed(document, (*at, key), name, x, taker.kinds.get(key, Any)) for key, x in given.items()}


def _view(document: Document, at: At, name: str, view: str) -> Any:
    """The factory of the view."""
    try:
        return load("views", view)
    except MultiviewError as error:
        document.fail((*at, "view") if (*at, "view") in document.places else at, f"view '{name}': {error}")


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
