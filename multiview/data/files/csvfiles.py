"""CSV files of measurements: one line per time, one column per channel, read by pyarrow."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.data.files.failures import name_failures
from multiview.data.source import BadSample
from multiview.errors import MultiviewError

ENDINGS = frozenset(["csv", "tsv"])
LOOKED_AT = 1 << 16
"""Bytes at the beginning of a file that tell separator, header and encoding."""
COMMA_NUMBER = re.compile(r"\s*[-+]?\d+,\d+\s*")
MISSING = ("", "-", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "#N/A", "?")
"""Cells that mean that there is no value."""


@dataclass(frozen=True)
class Measurements:
    """The columns of one CSV file.

    Args:
        names: the columns in order; their numbers from 0 when the file has no header.
        header: whether the first line names the columns.
        numbers: column -> float64 (rows,); NaN where a cell is empty or no number. Dates are
            seconds.
        texts: column -> cells of a column whose cells are mostly no numbers.
        dates: columns of dates.
        odd: column -> row and text of the first cell that is no number.
        scales: seconds of one unit of a column of times, as far as they were asked for.
    """

    names: tuple[str, ...]
    header: bool
    numbers: dict[str, NDArray[np.float64]]
    texts: dict[str, list[str | None]]
    dates: tuple[str, ...]
    odd: dict[str, tuple[int, str]]
    scales: dict[str, float] = field(default_factory=dict, repr=False, compare=False)

    @property
    def rows(self) -> int:
        """The number of lines below the header."""
        numbers, texts = self.numbers.values(), self.texts.values()
        return max([*map(len, numbers), *map(len, texts)])


@dataclass(frozen=True)
class _Form:
    """How the cells of a file are separated, and which lines stand above them."""

    delimiter: str
    decimal: str
    encoding: str
    names: tuple[str, ...]
    header: bool
    above: int


def require_reader() -> None:
    """Raises MultiviewError when pyarrow is not installed."""
    try:
        import pyarrow.csv  # noqa: F401
    except ImportError as cause:
        raise MultiviewError(
            "CSV files of sensors need pyarrow; install it with `pip install 'multiview-cmc[sensors]'`."
        ) from cause


def read_measurements(path: Path, name: str) -> Measurements:
    """Reads a CSV file; `name` names it in errors. The last few files are kept in memory.

    Raises BadSample for a damaged file, such as one whose lines differ in their number of cells.
    """
    with name_failures(name):
        facts = path.stat()
        return _read(path, facts.st_size, facts.st_mtime_ns)


def header_of(path: Path) -> tuple[str, ...]:
    """The names of the columns; () for a file without a header, and for one that is no text."""
    try:
        form = _form(path)
    except (OSError, ValueError, BadSample):
        return ()
    return form.names if form.header else ()


@lru_cache(maxsize=8)
def _read(path: Path, _size: int, _time: int) -> Measurements:
    import pyarrow.csv as arrow

    form = _form(path)
    how: dict[str, Any] = {
        "read_options": arrow.ReadOptions(
            column_names=form.names, skip_rows=form.above + form.header, encoding=form.encoding, use_threads=False
        ),
        "parse_options": arrow.ParseOptions(delimiter=form.delimiter),
        "convert_options": arrow.ConvertOptions(
            null_values=MISSING, strings_can_be_null=True, decimal_point=form.decimal
        ),
    }
    try:
        table = arrow.read_csv(path, **how)
    except OSError:
        raise
    except Exception as cause:  # Arrow's errors are ValueErrors, KeyErrors and others
        raise BadSample(_plain(str(cause))) from cause
    if not table.num_rows:
        raise BadSample("has no line of numbers")
    return _sorted(form, {name: table[place] for place, name in enumerate(form.names)})


def _plain(reason: str) -> str:
    """Arrow's reason without its beginning; its rows are lines of the file."""
    match = re.search(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+)", reason)
    if match is None:
        return reason.removeprefix("CSV parse error: ")
    line = f"line {match[1]}: " if match[1] else ""
    return f"{line}{match[3]} cells under {match[2]} columns"


def _sorted(form: _Form, columns: dict[str, Any]) -> Measurements:
    """The columns as numbers, dates and texts."""
    numbers: dict[str, NDArray[np.float64]] = {}
    texts: dict[str, list[str | None]] = {}
    odd: dict[str, tuple[int, str]] = {}
    kinds = {name: str(column.type) for name, column in columns.items()}
    dates = [name for name, kind in kinds.items() if kind.startswith(("timestamp", "date", "time"))]
    for name, column in columns.items():
        if name in dates:
            numbers[name] = _seconds(column)
        elif kinds[name] != "string":
            numbers[name] = np.asarray(column.cast("float64", safe=False).to_numpy(), np.float64)
        else:
            _sort_texts(name, column.to_pylist(), numbers, texts, odd)
    return Measurements(form.names, form.header, numbers, texts, tuple(dates), odd)


def _seconds(column: Any) -> NDArray[np.float64]:
    """Dates or times of a day as seconds, with NaN where there is none."""
    wide = "timestamp[us]" if str(column.type).startswith(("timestamp", "date")) else "time64[us]"
    micros = column.cast(wide, safe=False).cast("int64")
    return np.asarray(micros.cast("float64", safe=False).to_numpy(), np.float64) / 1e6


def _sort_texts(
    name: str,
    cells: Sequence[str | None],
    numbers: dict[str, NDArray[np.float64]],
    texts: dict[str, list[str | None]],
    odd: dict[str, tuple[int, str]],
) -> None:
    """Puts a column with texts among the numbers, when most of its cells are numbers."""
    values = np.array([np.nan if cell is None else _number(cell) for cell in cells])
    words = [row for row, cell in enumerate(cells) if cell is not None and np.isnan(values[row])]
    if 2 * len(words) > sum(cell is not None for cell in cells):
        texts[name] = list(cells)
        return
    numbers[name] = values
    if words:
        odd[name] = words[0], str(cells[words[0]])


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan


def _form(path: Path) -> _Form:
    """Looks at the first lines. Raises BadSample when there are none."""
    with path.open("rb") as file:
        head = file.read(LOOKED_AT)
    text, encoding = _decoded(head)
    lines = text.removeprefix("\ufeff").splitlines()
    above = next((place for place, line in enumerate(lines) if line.strip() and not line.startswith("#")), None)
    if above is None:
        raise BadSample("is an empty file")
    rows = [line for line in lines[above:] if line.strip()]
    delimiter = next((each for each in ";\t" if each in rows[0]), ",")  # commas may be decimal
    first = [cell.strip() for cell in next(csv.reader([rows[0]], delimiter=delimiter))]
    header = any(cell not in MISSING and np.isnan(_number(cell.replace(",", "."))) for cell in first)
    header = header and not _is_dated(rows, delimiter)
    decimal = "," if delimiter != "," and any(map(_has_comma_number, rows[1:3], [delimiter] * 2)) else "."
    names = _unique(first) if header else tuple(map(str, range(len(first))))
    return _Form(delimiter, decimal, encoding, names, header, above)


def _decoded(head: bytes) -> tuple[str, str]:
    """The text, and its encoding: UTF-8, or Latin-1 for bytes that are no UTF-8."""
    cut = head[: head.rfind(b"\n") + 1] or head  # a cut within a character is no mistake of the file
    if b"\0" in cut:
        raise BadSample("is no text")
    try:
        return cut.decode("utf-8"), "utf8"
    except UnicodeDecodeError:
        return cut.decode("latin-1"), "latin-1"


def _is_dated(rows: Sequence[str], delimiter: str) -> bool:
    """Whether the first line has words only where the second has them too, as dates are."""
    if len(rows) < 2:
        return False
    first, second = (next(csv.reader([row], delimiter=delimiter)) for row in rows[:2])
    words = [[np.isnan(_number(cell.replace(",", "."))) for cell in row] for row in (first, second)]
    return words[0] == words[1] and not all(words[0])


def _has_comma_number(row: str, delimiter: str) -> bool:
    return any(COMMA_NUMBER.fullmatch(cell) for cell in row.split(delimiter))


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """The names of columns; an empty one is called by its number. Raises BadSample for a pair."""
    filled = tuple(name or f"column {place}" for place, name in enumerate(names))
    twice = next((name for name in filled if filled.count(name) > 1), None)
    if twice is not None:
        raise BadSample(f"has the column '{twice}' twice; rename one")
    return filled
