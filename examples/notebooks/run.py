"""Runs notebooks in an empty folder and writes their outputs back into them.

python examples/notebooks/run.py [NAME.ipynb ...]; needs `pip install 'multiview-cmc[notebooks]'`.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SECONDS = 1200
"""The longest time of one cell."""
LONGEST = 60
"""Lines of text that a cell keeps; the middle of a longer text is left out."""
UNSTABLE = re.compile(r"/tmp/[\w./-]*?(?=stores|runs|data)|\x1b\[[0-9;]*m")
"""Parts of outputs that differ from run to run: the temporary folder, and colours."""


def executed(path: Path, folder: Path) -> Any:
    """The notebook with the outputs of a run in `folder`.

    Raises CellExecutionError for a cell that fails.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # for `!multiview`
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # of tqdm, with a path of this machine
    NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def lightened(notebook: Any) -> Any:
    """The notebook without times of execution, without bars of progress, and with short texts."""
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
    return notebook


def _joined(outputs: list[Any]) -> list[Any]:
    """The outputs, with the text of neighbours as one output."""
    kept: list[Any] = []
    for output in outputs:
        if output.output_type == "stream" and kept and kept[-1].get("name") == output.name:
            kept[-1].text += output.text
        else:
            kept.append(output)
    for output in kept:
        if output.output_type == "stream":
            output.text = _short(output.text)
    return kept


def _short(text: str) -> str:
    lines = [UNSTABLE.sub("", line.rpartition("\r")[2]) for line in text.splitlines()]
    if len(lines) > LONGEST:
        half = LONGEST // 2
        lines = [*lines[:half], f"... {len(lines) - LONGEST} lines ...", *lines[-half:]]
    return "\n".join(lines) + "\n"


def main(names: list[str]) -> None:
    """Runs the named notebooks, or all."""
    import nbformat

    for path in [FOLDER / Path(name).name for name in names] or sorted(FOLDER.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(lightened(executed(path, Path(folder))), path)
        print(f"{path.name}: run")


if __name__ == "__main__":
    main(sys.argv[1:])
