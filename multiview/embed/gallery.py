"""A file of vectors that is searched: Parquet or `.npz`, as `multiview embed` writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.embed.tables import METADATA, arrow
from multiview.errors import MultiviewError, printable, suggestion, unknown_name
from multiview.parsing import parsing

REMEDY = "Give a file that `multiview embed` wrote."


@dataclass(frozen=True)
class Gallery:
    """Vectors of n samples.

    Args:
        about: what the file notes about itself.
        ids: n ids.
        paths: their files, "" where they are not known.
        values: column -> (n, width); rows of absent views are anything.
        present: view -> bool (n,).
    """

    about: Mapping[str, Any]
    ids: list[str]
    paths: list[str]
    values: Mapping[str, NDArray[Any]]
    present: Mapping[str, NDArray[np.bool_]]

    def row(self, identity: str) -> int:
        """The row of an id. Raises MultiviewError for an unknown id."""
        try:
            return self.ids.index(identity)
        except ValueError:
            raise self.unknown(identity) from None

    def unknown(self, word: str, remedy: str = "") -> MultiviewError:
        """The error for a word that is no id: shows 20 ids, and the most similar one of 20,000."""
        more = f", and {len(self.ids) - 20:,} more" if len(self.ids) > 20 else ""
        near = suggestion(Path(word).stem, self.ids[:20_000])
        listing = f"available: {', '.join(self.ids[:20])}{more}."
        return MultiviewError(f"'{printable(word)}' is not a file, and no id of the gallery; {listing}{near}{remedy}")

    @property
    def views(self) -> list[str]:
        """The views that have vectors, in the order of the file."""
        return list(dict.fromkeys(column["view"] for column in self.about["columns"]))

    def pair(self, query: str, found: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The columns of two views that can be compared.

        Raises MultiviewError when the vectors of the views have nothing in common.
        """
        columns = {view: [each for each in self.about["columns"] if each["view"] == view] for view in (query, found)}
        for view, own in columns.items():
            if not own:
                raise unknown_name("view of this gallery", view, self.views)
        if query == found:
            return columns[query][0], columns[query][0]
        if self.about["what"] != "z":
            raise self.no_common_space()
        return common_columns(columns[query], columns[found], query, found)

    def no_common_space(self) -> MultiviewError:
        """The error for two views in a gallery of features."""
        return MultiviewError(
            "the gallery holds features h, which only compare samples of one view. To find one view by another, "
            "embed the gallery with --what z."
        )


def common_columns(
    queries: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]], query: str, found: str
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The two columns of an edge that has both views, else those of projectors of one form."""
    pairs = [(a, b) for a in queries for b in others if a["width"] == b["width"]]
    joined = [(a, b) for a, b in pairs if set(a["edges"]) & set(b["edges"])]
    alike = [(a, b) for a, b in pairs if a["head"] == b["head"]]
    if not (joined or alike):
        raise MultiviewError(f"no edge gave '{query}' and '{found}' an embedding in common; search within one view.")
    return (joined or alike)[0]


def read_gallery(path: Path) -> Gallery:
    """Reads a file of vectors. Raises MultiviewError when it is none, or damaged."""
    if path.is_dir():
        raise MultiviewError(
            f"{path} is a folder, and no run; give a run, or a file of vectors: `multiview embed MODEL INPUT OUT.npz`."
        )
    if not path.is_file():
        raise MultiviewError(f"there is no file {path}; make one with `multiview embed MODEL INPUT {path}`.")
    with parsing(str(path), REMEDY):
        return _read_npz(path) if path.suffix == ".npz" else _read_parquet(path)


def _read_parquet(path: Path) -> Gallery:
    pa, parquet = arrow()
    try:
        table = parquet.read_table(path)
    except pa.ArrowInvalid as cause:
        raise MultiviewError(f"{path} is no Parquet file, or damaged: {cause}. {REMEDY}") from cause
    about = json.loads((table.schema.metadata or {})[METADATA.encode()])
    columns = {each["name"]: _vectors(table[each["name"]], each["width"]) for each in about["columns"]}
    present = {each["view"]: table[f"has_{each['view']}"].to_numpy() for each in about["columns"]}
    return Gallery(about, table["id"].to_pylist(), [x or "" for x in table["path"].to_pylist()], columns, present)


def _vectors(column: Any, width: int) -> NDArray[Any]:
    """A column of vectors as (n, width), with zeros where the view is absent."""
    out = np.zeros((len(column), width), np.float32)
    at = 0
    for chunk in column.chunks:
        there = ~chunk.is_null().to_numpy(zero_copy_only=False)
        # `flatten` leaves out absent rows and respects the offset of a slice, unlike `values`.
        out[at : at + len(chunk)][there] = chunk.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        at += len(chunk)
    return out


def _read_npz(path: Path) -> Gallery:
    with np.load(path) as arrays:
        about = json.loads(str(arrays[METADATA]))
        values = {each["name"]: arrays[each["name"]] for each in about["columns"]}
        present = {each["view"]: arrays[f"has_{each['view']}"] for each in about["columns"]}
        return Gallery(about, arrays["id"].tolist(), arrays["path"].tolist(), values, present)
