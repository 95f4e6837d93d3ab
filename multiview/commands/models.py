"""The model that a command is given: a model folder, a run, or a model of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiview.portable.model import PortableModel


def model_of(folder: Path) -> PortableModel:
    """The model in a folder, of a run, or of the hub.

    A run without a model, or with the model of an earlier checkpoint, gets its model first. So an
    unfinished run gives what it has learned until then; a note says so.
    """
    from multiview.load_run import load
    from multiview.portable.hub import cached, is_on_hub
    from multiview.portable.layout import FOLDER, is_model
    from multiview.portable.read import read_model
    from multiview.portable.write import write_model
    from multiview.train.best import result_folder
    from multiview.train.checkpoint import has_later

    if is_on_hub(folder):
        return read_model(cached(str(folder)))
    run = run_of(folder)
    if run is None and is_model(folder):
        return read_model(folder)
    run = run or folder
    if is_model(run / FOLDER):
        model = read_model(run / FOLDER)
        if not has_later(result_folder(run), int(model.layout.run.get("steps", 0))):  # not continued since
            return model
    write_model(load(run))
    return read_model(run / FOLDER)


def run_of(folder: Path) -> Path | None:
    """The run that a folder is, or of which it is the folder `model`; None when there is none."""
    from multiview.portable.layout import FOLDER
    from multiview.train.runfolder import ENVIRONMENT

    above = [folder.parent] if folder.name == FOLDER else []
    return next((each for each in (folder, *above) if (each / ENVIRONMENT).is_file()), None)
