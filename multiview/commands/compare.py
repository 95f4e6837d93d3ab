"""`multiview compare`: the evaluations of several runs in one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from multiview.errors import MultiviewError
from multiview.measure.files import EVALUATION
from multiview.measure.rows import LINEAR
from multiview.measure.table import compare
from multiview.runs import read
from multiview.terminal import SafeConsole


def compare_runs(folders: Sequence[Path], console: Console | None = None) -> None:
    """Prints the evaluations of several runs; raises MultiviewError for a run without one."""
    tables = {}
    for folder in folders:
        rows = read(folder).evaluation or ()
        if not any(row.measure == LINEAR for row in rows):
            raise MultiviewError(f"{folder} has no {EVALUATION}; run `multiview evaluate {folder}` first.")
        tables[folder.name if folder.name not in tables else str(folder)] = rows
    compare(tables, console or SafeConsole())
