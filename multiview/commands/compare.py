"""`multiview compare`: the evaluations of several runs, with replicates of one setting together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from multiview.measure.table import compare
from multiview.settings import evaluated, paired_tests, settings
from multiview.terminal import SafeConsole


def compare_runs(folders: Sequence[Path], console: Console | None = None) -> None:
    """Prints the evaluations of several runs.

    Runs that differ in the seed alone are replicates of one setting: mean and deviation are taken
    over them. Settings are compared in pairs over their common seeds. A folder may hold nothing but
    evaluation.json. Raises MultiviewError for a run without an evaluation.
    """
    console = console or SafeConsole()
    names = [folder.name for folder in folders]
    runs = [evaluated(folder, folder.name if names.count(folder.name) == 1 else str(folder)) for folder in folders]
    found = settings(runs)
    for setting in found:
        if len(found) > 1:
            console.print(f"\n{setting.title}", markup=False, highlight=False, soft_wrap=True, style="bold")
        compare({run.name: run.rows for run in setting.runs}, console)
    if len(found) == 1 and runs:
        return
    if not runs:
        compare({}, console)
    console.print("\nRuns are replicates when they differ in the seed alone. Between settings:", highlight=False)
    for sentence in paired_tests(found):
        console.print(f"  {sentence}", markup=False, highlight=False, soft_wrap=True)
