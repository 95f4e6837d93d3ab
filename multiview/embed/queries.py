"""What is searched for: ids of the gallery, files, folders, stores and texts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from multiview.embed.gallery import Gallery
from multiview.embed.late_fusion import LateFusion
from multiview.embed.search import nearest
from multiview.embed.texts import is_text, target_of_text, text_vector
from multiview.errors import MultiviewError, near_path, printable, unknown_name
from multiview.measure.retrieval import unit_rows
from multiview.portable.model import PortableModel
from multiview.portable.opening import open_for
from multiview.portable.vectors import collect


@dataclass(frozen=True)
class Answer:
    """The samples of a gallery that are nearest to one query, the nearest first."""

    name: str
    path: str
    view: str
    within: str
    similarities: NDArray[np.float32]
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class _Query:
    """One query: its vectors by column of the gallery, and its row when it is in the gallery.

    linear: its embedding by the linear model, with late fusion.
    """

    name: str
    path: str
    vectors: dict[str, NDArray[np.float32]]
    row: int | None = None
    linear: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class _Asked:
    """Where and how is searched, for all queries."""

    gallery: Gallery
    model: PortableModel | None
    view: str | None
    within: str | None
    k: int
    late: LateFusion | None


def answers(
    gallery: Gallery,
    words: Sequence[str],
    model: PortableModel | None,
    view: str | None,
    within: str | None,
    k: int,
    late: LateFusion | None = None,
) -> list[Answer]:
    """The answers to all queries. Raises MultiviewError for what is no id, file or text.

    late: the linear model whose similarities are added; `view` and `within` are its views.
    """
    if not words:
        raise MultiviewError("QUERY is missing; give ids of the gallery, or files or texts with --model MODEL.")
    if k < 1:
        raise MultiviewError(f"k is {k}; give 1 or more.")
    asked = _Asked(gallery, model, view, within, k, late)
    return [answer for word in words for answer in _answers(asked, word)]


def _answers(asked: _Asked, word: str) -> list[Answer]:
    if word not in asked.gallery.ids and not Path(word).exists() and asked.model is not None and is_text(word):
        if asked.late is not None:
            raise MultiviewError("late fusion takes ids and files as queries; leave --late_fusion out for a text.")
        _require_same(asked.gallery, asked.model)
        return [_answer_to_text(asked, word, asked.model)]
    return [_answer(asked, query) for query in _queries(asked, word)]


def _answer_to_text(asked: _Asked, text: str, model: PortableModel) -> Answer:
    gallery = asked.gallery
    target = target_of_text(gallery, model, asked.within)
    own, vector, column = text_vector(gallery, model, text, asked.view, target)
    best, rows = nearest(vector[None], gallery.values[column], asked.k, gallery.present[target])
    return Answer(f'"{text}"', "", own, target, best[0], rows[0])


def _answer(asked: _Asked, query: _Query) -> Answer:
    gallery, view = asked.gallery, asked.view
    names = {column["name"]: column["view"] for column in gallery.about["columns"]}
    there = list(dict.fromkeys(names[name] for name in query.vectors))
    if view is not None and view not in gallery.views:
        raise unknown_name("view of this gallery", view, gallery.views)
    if not there or (view is not None and view not in there):
        raise MultiviewError(f"the query '{query.name}' has no vector of {view or 'any view of the gallery'}.")
    own = view or there[0]
    target = asked.within or own
    ours, theirs = gallery.pair(own, target)
    present = gallery.present[target].copy()
    if query.row is not None and own == target:
        present[query.row] = False
    vector, values = query.vectors[ours["name"]], gallery.values[theirs["name"]]
    if asked.late is None:
        best, rows = nearest(vector[None], values, asked.k, present)
        return Answer(query.name, query.path, own, target, best[0], rows[0])
    assert query.linear is not None
    among = np.flatnonzero(present)
    cosines = unit_rows(values[among]) @ unit_rows(vector[None])[0]
    total = asked.late.similarities(cosines, query.linear, among)
    order = np.argsort(-total, kind="stable")[: asked.k]
    return Answer(query.name, query.path, own, target, total[order].astype(np.float32), among[order])


def _queries(asked: _Asked, word: str) -> Iterator[_Query]:
    gallery, model, late = asked.gallery, asked.model, asked.late
    if word in gallery.ids:
        row = gallery.row(word)
        columns = [each for each in gallery.about["columns"] if gallery.present[each["view"]][row]]
        vectors = {c["name"]: gallery.values[c["name"]][row] for c in columns}
        yield _Query(word, gallery.paths[row], vectors, row, late.of_row(row) if late else None)
        return
    if not Path(word).exists():
        raise _missing(gallery, word, model)
    if model is None:
        raise MultiviewError(f"the query {printable(word)} is a file: give the model of the gallery, --model MODEL.")
    _require_same(gallery, model)
    yield from _of_files(asked, Path(word), model)


def _missing(gallery: Gallery, word: str, model: PortableModel | None) -> MultiviewError:
    """The error for a word that is no id and no file."""
    if "/" in word and (near := near_path(word)):
        return MultiviewError(f"'{printable(word)}' does not exist.{near}")
    return gallery.unknown(word, " A text needs the model, --model MODEL." if model is None and is_text(word) else "")


def _require_same(gallery: Gallery, model: PortableModel) -> None:
    if model.digest != gallery.about["model"]:
        raise MultiviewError(
            f"{model.folder} is another model than the one that made the gallery; give that model, or embed the "
            "gallery again with this one."
        )


def _of_files(asked: _Asked, path: Path, model: PortableModel) -> Iterator[_Query]:
    """The queries of a folder, a store, a manifest, or one picture or sound."""
    gallery, view, late = asked.gallery, asked.view, asked.late
    what, views = gallery.about["what"], None if view is None else [view]
    with tempfile.TemporaryDirectory() as folder:
        spec = path
        if path.is_file() and path.suffix.lower() in _single():
            spec = Path(folder) / _folder_name(path, model, view)
            spec.mkdir()
            (spec / f"query{path.suffix}").symlink_to(path.absolute())
        try:
            found = collect(open_for(model, str(spec), what=what, views=views))
            linear = {} if late is None or found.rejected else late.of_files(str(spec))
        except MultiviewError as cause:  # names the query, and not the folder that was made for it
            text = str(cause).replace(str(spec / f"query{path.suffix}"), str(path)).replace(str(spec), str(path.parent))
            raise MultiviewError(text) from cause
    if found.rejected:
        raise MultiviewError(f"the query {found.rejected[0].id} cannot be read: {found.rejected[0].reason}")
    names = {(each["view"], each["head"]): each["name"] for each in gallery.about["columns"]}
    for row, identity in enumerate(found.ids):
        vectors = {
            names[column[:2]]: values[row]
            for column, values in found.values.items()
            if column[:2] in names and found.present[column.view][row]
        }
        single = spec != path
        named, place = (str(path), str(path)) if single else (identity, found.paths[row])
        yield _Query(named, place, vectors, linear=linear[identity] if late else None)


def _folder_name(path: Path, model: PortableModel, view: str | None) -> str:
    """The name of a folder that tells the modality: that of the named view, or the file's own."""
    if view is not None and view in model.parts:
        return model.parts[view].modality.name
    return path.absolute().parent.name or "query"


def _single() -> set[str]:
    """Endings of files that are one sample each."""
    from multiview.data.load.detect_source import TREES

    return {f".{ending}" for endings in TREES.values() for ending in endings}
