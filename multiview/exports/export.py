"""Writes one view of a model in another format, and compares both before the file gets its name."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from multiview.errors import MultiviewError, unknown_name
from multiview.exports.compare import BATCHES, Difference, Vectors, differences
from multiview.exports.folders import LOADED, write_folder
from multiview.exports.graphs import run_onnx, run_torch_export, write_onnx, write_torch_export
from multiview.exports.network import StoredToVectors, outputs_of, stored_dtype, stored_shape
from multiview.exports.samples import random_values
from multiview.files import partial_path, refuse_link
from multiview.portable.layout import MODEL, VIEW
from multiview.portable.model import PortableModel, ViewPart
from multiview.portable.read import read_model

ENDINGS = {"onnx": ".onnx", "torch-export": ".pt2", "timm": "-timm", "hf": "-hf"}
"""Format -> what follows the view in the name of the result."""
RUN_ONNX = 'onnxruntime.InferenceSession("{path}").run(None, {{"values": values}})'
RUN_TORCH = 'torch.export.load("{path}").module()(values)'
GRAPHS = {
    "onnx": (write_onnx, run_onnx, RUN_ONNX),
    "torch-export": (write_torch_export, run_torch_export, RUN_TORCH),
}
"""Format -> how it is written, run for the comparison, and run by the user."""


@dataclass(frozen=True)
class Exported:
    """What `export_view` wrote.

    Args:
        path: the file or folder.
        to: its format.
        differences: of each output, over batches of several sizes of random values.
        takes: what the network takes, in words.
        load: Python that loads and runs it.
    """

    path: Path
    to: str
    differences: tuple[Difference, ...]
    takes: str
    load: str


def export_view(
    model: PortableModel | str | Path,
    view: str,
    to: str = "onnx",
    out: str | Path | None = None,
    *,
    force: bool = False,
) -> Exported:
    """Writes one view of a model for other programs, and compares it with the model.

    ONNX and torch.export hold conversion and normalisation: stored values of the size of the crop
    in, h and z out, for any number of samples. timm and hf hold the encoder alone, which takes the
    normalised view; mean and std are in its files.

    Args:
        model: a portable model or its folder.
        view: one of its views.
        to: onnx, torch-export, timm or hf.
        out: file or folder to write (None = named after the view).
        force: replace `out`.

    Raises:
        MultiviewError: when an operator of the network does not exist in that format, when the
            results differ, and when `out` exists.

    Example:
        >>> import torch
        >>> done = mv.export_view("runs/lab/model", "L", to="torch-export", out="L.pt2")
        >>> network = torch.export.load("L.pt2").module()
        >>> [len(x) for x in network(torch.zeros(5, 16, 16, 3, dtype=torch.uint8))]
        [5, 5]
        >>> max(each.largest for each in done.differences) < 1e-4
        True
    """
    if to not in ENDINGS:
        raise unknown_name("format", to, ENDINGS)
    known = model if isinstance(model, PortableModel) else read_model(Path(model))
    known.part(view)
    path = Path(out) if out is not None else Path(f"{known.layout.folders[view]}{ENDINGS[to]}")
    _require_free(path, force)
    return _written(known, view, to, path)


def _written(known: PortableModel, view: str, to: str, path: Path) -> Exported:
    """Writes a draft, compares it, and gives it its name."""
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    draft = partial_path(path)
    try:
        found, takes, load = (_graph if to in GRAPHS else _folder)(known, view, to, draft)
        _put(draft, path)
    except OSError as cause:
        raise MultiviewError(f"{path} could not be written: {cause}.") from cause
    finally:
        _remove(draft)
    return Exported(path, to, found, takes, load.format(path=path, view=view))


def _require_free(path: Path, force: bool) -> None:
    refuse_link(path)
    if path.is_dir() and not any((path / name).is_file() for name in (MODEL, VIEW)):
        raise MultiviewError(f"{path} is a folder that no export wrote; choose another name.")
    if path.exists() and not force:
        raise MultiviewError(f"{path} exists already; give --overwrite to replace it, or choose another name.")


def _put(draft: Path, path: Path) -> None:
    """Gives the finished draft its name."""
    if path.is_dir():
        _remove(path)
    draft.replace(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


Made = tuple[tuple[Difference, ...], str, str]
"""Differences, what the network takes, and the Python that loads it, with {path} and {view}."""


def _graph(model: PortableModel, view: str, to: str, draft: Path) -> Made:
    """Writes and compares a file of ONNX or torch.export."""
    part, outputs = model.part(view), outputs_of(model, view)
    write, run_of, load = GRAPHS[to]
    about = _about(model, view, list(outputs))
    write(StoredToVectors(part), random_values(part, 2), about, draft)
    run = run_of(draft, list(outputs))
    values = {count: random_values(part, count, seed=1) for count in BATCHES}
    found = differences(partial(_of_model, model, view, values), lambda count: run(values[count]))
    return found, about["takes"], load


def _of_model(model: PortableModel, view: str, values: Mapping[int, NDArray], count: int) -> Vectors:
    """What the model itself makes of stored values, by output."""
    outputs, name = outputs_of(model, view), model.part(view).modality.name
    found = model.of_values({name: values[count]}, tuple(outputs.values()))
    return {key: found[column].cpu().numpy() for key, column in outputs.items()}


def _about(model: PortableModel, view: str, outputs: list[str]) -> dict[str, Any]:
    """Facts for the reader of the file."""
    part = model.part(view)
    shape = ", ".join(map(str, ("batch", *stored_shape(part.modality, part.view.crop))))
    unit = part.modality.unit or "stored units"
    takes = f"{stored_dtype(part.modality)} ({shape}), {part.modality.kind} in {unit}"
    record = part.encoder.record()
    encoder = record.get("name") or type(part.encoder).__name__
    facts = {"view": view, "encoder": encoder, "takes": takes, "outputs": outputs, "digest": model.digest}
    return facts | {"record": part.view.record(), "multiview-cmc": version("multiview-cmc")}


def _folder(model: PortableModel, view: str, to: str, draft: Path) -> Made:
    """Writes and compares a folder of timm or of Hugging Face."""
    part = model.part(view)
    library = write_folder(model, view, to, draft)
    load = LOADED[library]
    values = {count: random_values(part, count, seed=1) for count in BATCHES}
    network, run = StoredToVectors(part), load.run(draft, view)

    def of_model(count: int) -> Vectors:
        return {"h": _of_model(model, view, values, count)["h"]}

    def of_folder(count: int) -> Vectors:
        return {"h": run(values[count] if load.stored else network.converted(torch.from_numpy(values[count])))}

    found = differences(of_model, of_folder)
    takes = _about(model, view, ["h"])["takes"] if load.stored else _normalised(part)
    return found, takes, load.how


def _normalised(part: ViewPart) -> str:
    """What an encoder alone takes."""
    mean, std = (", ".join(f"{x:g}" for x in values or ()) for values in (part.view.mean, part.view.std))
    axes = ", ".join(part.view.axes)
    return f"the converted view (batch, {axes}), minus {mean}, divided by {std}"
