"""The step at the end of a run that writes its page; a failure is a sentence and ends no run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multiview.distributed import rank, world
from multiview.files import replace_text
from multiview.report.page import write_page
from multiview.train.runfolder import COST, ENVIRONMENT

if TYPE_CHECKING:
    from multiview.trained import Trained


def write_at_end(trained: Trained, *, gallery: bool) -> list[str]:
    """Writes report.html and what it needs into the folder of a run; every process must call it.

    gallery: also compute pictures, neighbours and map from the data. Returns sentences to print.
    """
    if trained.folder is None:
        return []
    folder, said = trained.folder, list[str]()
    if gallery:
        said += _attempted("The pictures of the page were not made", lambda: _gallery(trained))
    if rank() != 0:
        return []
    said += _attempted("Seconds and memory were not written down", lambda: _write_cost(folder, trained))
    failed = _attempted("The page of the run was not written", lambda: write_page([folder]))
    return [*said, *failed] if failed else [*said, f"The page of the run: {folder / 'report.html'}"]


def _attempted(what: str, act: Callable[[], Any]) -> list[str]:
    try:
        act()
    except Exception as cause:  # whatever a plugin, a damaged file or a full disk raises
        return [f"Note: {what} ({type(cause).__name__}: {cause}). The run itself is complete."]
    return []


def _gallery(trained: Trained) -> None:
    from multiview.gallery.write import write_gallery

    write_gallery(trained)


def _write_cost(folder: Path, trained: Trained) -> None:
    """Seconds since training began, the most memory, the device, processes and threads."""
    started = (folder / ENVIRONMENT).stat().st_mtime
    cost = {
        "seconds": round(time.time() - started, 1),
        "memory": _memory(),
        "gpu": _device_memory(),
        **_device(trained),
    }
    (folder / COST).parent.mkdir(exist_ok=True)
    replace_text(folder / COST, json.dumps({name: x for name, x in cost.items() if x}) + "\n")


def _device(trained: Trained) -> dict[str, Any]:
    import torch

    device = next(trained.model.parameters()).device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {"device": name, "processes": world(), "threads": torch.get_num_threads()}


def _memory() -> int:
    try:
        import resource
        import sys
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _device_memory() -> int:
    import torch

    return int(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else 0
