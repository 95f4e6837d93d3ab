"""Writes vectors as Parquet, `.npz` or CSV: one file, which is whole or does not exist."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.errors import MultiviewError
from multiview.files import partial_path, sync
from multiview.portable.model import Column
from multiview.portable.vectors import Vectors

Parts = Callable[[], Iterable[Vectors]]
ENDINGS = (".parquet", ".npz", ".csv")
METADATA = "multiview"
LARGEST_HALF = 65504.0


def table_names(columns: Sequence[Column]) -> dict[Column, str]:
    """The name of each vector: `h_VIEW`, `z_VIEW`, or `z_VIEW:HEAD` where a view has several."""
    views = [column.view for column in columns]
    many = {view for view in views if views.count(view) > 1}
    return {
        each: f"{'h' if each.head is None else 'z'}_{each.view}{f':{each.head}' if each.view in many else ''}"
        for each in columns
    }


def write_table(out: Path, parts: Parts, columns: Sequence[Column], views: Sequence[str], about: dict[str, Any]) -> int:
    """Writes all parts to `out`, in order, and returns the number of rows."""
    write = {".parquet": _write_parquet, ".npz": _write_npz, ".csv": _write_csv}[out.suffix.lower()]
    draft = partial_path(out)
    try:
        count = write(draft, parts, columns, views, about)
        sync(draft)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    return count


def require_writer(out: Path) -> None:
    """Raises MultiviewError for an ending without a format, and when pyarrow is not installed."""
    if out.suffix.lower() not in ENDINGS:
        raise MultiviewError(f"{out.name} has no known ending; end OUT in {', '.join(ENDINGS)}.")
    if out.suffix.lower() == ".parquet":
        arrow()


def arrow() -> tuple[Any, Any]:
    """pyarrow and its Parquet module. Raises MultiviewError when they are not installed."""
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError as cause:
        raise MultiviewError(
            "Parquet needs pyarrow; type: pip install 'multiview-cmc[parquet]', or end OUT in .npz."
        ) from cause
    return pyarrow, parquet


def cast(values: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    """The vectors in the dtype of the file. Raises MultiviewError when float16 cannot hold them."""
    if dtype == "float16" and values.size and float(np.abs(values).max()) > LARGEST_HALF:
        raise MultiviewError(
            f"a feature is {float(np.abs(values).max()):g}, and float16 holds numbers up to {LARGEST_HALF:g}; give "
            "--dtype float32."
        )
    return values.astype(dtype)


def _write_parquet(
    file: Path, parts: Parts, columns: Sequence[Column], _views: Sequence[str], about: dict[str, Any]
) -> int:
    pa, parquet = arrow()
    names, count, writer = table_names(columns), 0, None
    vectors = [f"{name}.list.element" for name in names.values()]
    how: dict[str, Any] = {"compression": "zstd", "use_dictionary": ["split", "label"]}
    how["column_encoding"] = dict.fromkeys(vectors, "BYTE_STREAM_SPLIT")
    try:
        for part in parts():
            table = _arrow_table(pa, part, names, about)
            writer = writer or parquet.ParquetWriter(file, table.schema, **how)
            if len(part):
                _write_rows(pa, writer, table)
            count += len(part)
    finally:
        if writer is not None:
            writer.close()
    return count


def _write_rows(pa: Any, writer: Any, table: Any) -> None:
    """Writes a part; an older pyarrow, which cannot write absent vectors, raises MultiviewError."""
    try:
        writer.write_table(table, row_group_size=len(table))
    except pa.ArrowNotImplementedError as cause:
        raise MultiviewError(
            f"pyarrow {pa.__version__} cannot write the vectors of samples that lack a view to Parquet: type "
            "pip install --upgrade pyarrow, or give OUT another ending: .npz or .csv."
        ) from cause


def _arrow_table(pa: Any, part: Vectors, names: dict[Column, str], about: dict[str, Any]) -> Any:
    """A part as a table of Arrow, with the description of the file in its schema."""
    text = {"id": part.ids, "path": part.paths, "split": part.splits, "label": part.labels}
    arrays = {name: pa.array([each or None for each in values], pa.string()) for name, values in text.items()}
    arrays |= {f"factor_{name}": pa.array(values, from_pandas=True) for name, values in part.factors.items()}
    arrays |= {f"has_{view}": pa.array(there) for view, there in part.present.items()}
    for column, name in names.items():
        flat = pa.array(cast(part.values[column], about["dtype"]).reshape(-1))
        absent = pa.array(~part.present[column.view])
        arrays[name] = pa.FixedSizeListArray.from_arrays(flat, column.width, mask=absent)
    table = pa.table(arrays)
    return table.replace_schema_metadata({METADATA: json.dumps(about)})


def _write_npz(file: Path, parts: Parts, columns: Sequence[Column], views: Sequence[str], about: dict[str, Any]) -> int:
    every, names = list(parts()), table_names(columns)
    arrays: dict[str, Any] = {
        name: np.array([x for part in every for x in getattr(part, key)], dtype=np.str_)
        for name, key in (("id", "ids"), ("path", "paths"), ("split", "splits"), ("label", "labels"))
    }
    for view in views:
        arrays[f"has_{view}"] = np.concatenate([part.present[view] for part in every])
    for column, name in names.items():
        values = cast(np.concatenate([part.values[column] for part in every]), about["dtype"])
        values[~arrays[f"has_{column.view}"]] = np.nan
        arrays[name] = values
    for name in every[0].factors:
        arrays[f"factor_{name}"] = np.concatenate([part.factors[name] for part in every])
    arrays[METADATA] = np.array(json.dumps(about))
    with file.open("wb") as handle:
        np.savez(handle, **arrays)
    return len(arrays["id"])


def _write_csv(file: Path, parts: Parts, columns: Sequence[Column], views: Sequence[str], about: dict[str, Any]) -> int:
    names, count = table_names(columns), 0
    with file.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        head = [f"{name}_{place}" for column, name in names.items() for place in range(column.width)]
        writer.writerow(["id", "path", "split", "label", *(f"has_{view}" for view in views), *head])
        for part in parts():
            writer.writerows(_csv_rows(part, names, about["dtype"]))
            count += len(part)
    return count


def _csv_rows(part: Vectors, names: dict[Column, str], dtype: str) -> Iterator[list[object]]:
    values = {column: cast(part.values[column], dtype) for column in names}
    for row, about in enumerate(zip(part.ids, part.paths, part.splits, part.labels, strict=True)):
        there = {view: bool(present[row]) for view, present in part.present.items()}
        cells = [x if there[each.view] else "" for each in names for x in values[each][row].tolist()]
        yield [*about, *(int(x) for x in there.values()), *cells]
