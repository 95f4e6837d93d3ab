"""Tables with one row per sample, read as columns: CSV, JSON Lines and Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from multiview.errors import MultiviewError

ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")

Columns = dict[str, list[Any]]


def read_columns(path: Path) -> Columns:
    """Reads column -> one cell per row; empty cells are None.

    Cells of a CSV file are texts; cells of the other formats may also be numbers and lists. Raises
    MultiviewError with the number of the wrong line.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise MultiviewError(f"{path} is no table that can be read; give {', '.join(ENDINGS)}.")
    columns = (
        _parquet(path) if ending == ".parquet" else _csv(path) if ending in (".csv", ".tsv") else _json_lines(path)
    )
    if not any(columns.values()):
        raise MultiviewError(f"{path} has no rows.")
    return columns


def csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields line number and stripped cells of the header and of every line that is not blank.

    Reads CSV files in UTF-8 with comma, semicolon or tab. Raises MultiviewError with the number of
    the wrong line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            file.seek(0)
            lines = csv.reader(file, delimiter=max(",;\t", key=header.count), strict=True)
            columns = [cell.strip() for cell in next(lines, [])]
            yield 1, columns
            for cells in lines:
                if any(cells):
                    _require_cells(path, lines.line_num, len(cells), len(columns))
                    yield lines.line_num, [cell.strip() for cell in cells]
    except UnicodeDecodeError as cause:
        raise MultiviewError(f"{path} is not UTF-8 ({cause}); save it as UTF-8.") from cause
    except csv.Error as cause:
        raise MultiviewError(f"{path}, line {lines.line_num}: {cause}.") from cause


def _require_cells(path: Path, line: int, cells: int, columns: int) -> None:
    if cells != columns:
        raise MultiviewError(f"{path}, line {line}: {cells} cells under {columns} columns.")


def _csv(path: Path) -> Columns:
    lines = csv_lines(path)
    names = next(lines)[1]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise MultiviewError(f"{path} has the column '{min(repeated)}' twice; rename one.")
    columns: Columns = {name: [] for name in names if name}
    for _, cells in lines:
        for name, cell in zip(names, cells, strict=True):
            if name:
                columns[name].append(cell or None)
    return columns


def _json_lines(path: Path) -> Columns:
    rows: list[dict[str, Any]] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                rows.append(_parse_object(path, number, line))
    return {name: [_none_if_empty(row.get(name)) for row in rows] for name in _merged_names(rows)}


def _merged_names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of all rows in one order, as the header of a CSV file with these rows has them.

    The rows with most names come first; a further name follows the name before it in its own row.
    """
    names: list[str] = []
    for row in sorted(dict.fromkeys(tuple(row) for row in rows), key=len, reverse=True):
        place = 0
        for name in row:
            if name not in names:
                names.insert(place, name)
            place = names.index(name) + 1
    return names


def _parse_object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as cause:  # of JSON and of UTF-8
        raise MultiviewError(f"{path}, line {number}: {cause}.") from cause
    if not isinstance(found, dict):
        raise MultiviewError(f"{path}, line {number} is not a JSON object; write one {{...}} per line.")
    return found


def _parquet(path: Path) -> Columns:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as cause:
        raise MultiviewError(
            f"{path} needs pyarrow; install it with `pip install 'multiview-cmc[parquet]'`."
        ) from cause
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as cause:
        raise MultiviewError(f"{path} cannot be read: {cause}. Is it truncated?") from cause
    return {name: [_none_if_empty(cell) for cell in table[name].to_pylist()] for name in table.column_names}


def _none_if_empty(cell: Any) -> Any:
    return None if cell == "" else cell
