"""First weights of encoders: from a published file, a run, or a model folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from multiview.encoder import Encoder
from multiview.errors import MultiviewError, unknown_name
from multiview.files import sha256
from multiview.parsing import parsing, read_json
from multiview.record import from_plain
from multiview.train.best import result_folder
from multiview.train.checkpoint import newest, views_of
from multiview.train.runfolder import CONFIG
from multiview.tuning import Tuning
from multiview.weights import Report, Stored, load_into, read_file
from multiview.weights.formats import Format, Scales, format_of, plain

SCALE = 2
"""Factor on the product of LoRA's matrices."""
MODEL, PARTS = "model.json", ("view.json", "model.safetensors")
REMEDY = "Copy the model folder again, or write it again from its run."


def load_first_weights(encoder: Encoder, view: str, tuning: Tuning) -> Report | None:
    """Loads the weights that a tuning names, and returns what became of every parameter.

    view: name of the view, which is read from a run when no other is named. An encoder of a plugin
    that reads files in its own way gives no report. Raises MultiviewError that says what is wrong.
    """
    assert tuning.weights is not None
    path, part = place_of(tuning.weights)
    if path.is_dir():
        stored, form = of_folder(path, part or view, named=part is not None)
        part = None
    elif type(encoder).load_weights is not Encoder.load_weights:
        encoder.load_weights(tuning.weights)
        return None
    else:
        stored = read_file(path)
        form = format_of(stored)
    return load_into(
        encoder.weights_target(),
        stored,
        tower=part,
        in_channels=tuning.in_channels,
        partial=tuning.partial,
        form=form,
    )


def opened(words: str) -> tuple[Stored, Format, str | None]:
    """What the words name, to look at: content, format, and the network that they name."""
    path, part = place_of(words)
    if not path.is_dir():
        stored = read_file(path)
        return stored, format_of(stored), part
    views = views_in(path)
    if part is None and len(views) > 1:
        raise MultiviewError(f"{path} has the views {', '.join(views)}: name one, as in {path}:{views[0]}.")
    return *of_folder(path, part or views[0], named=part is not None), None


def place_of(words: str) -> tuple[Path, str | None]:
    """The file or folder that the words name, and the network or view after a colon."""
    whole, (begin, colon, part) = Path(words), words.rpartition(":")
    if whole.exists() or not colon or not Path(begin).exists():
        return whole, None
    return Path(begin), part


def of_folder(folder: Path, view: str, *, named: bool = False) -> tuple[Stored, Format]:
    """The encoder of a view of a run or a model folder, with the mean and std of the view.

    named: whether the user named the view. Without a name, a folder of one view gives that view.
    """
    if (folder / MODEL).is_file():
        found, what = _of_model(folder, view, named), "a model folder of this package"
    elif (folder / CONFIG).is_file():
        found, what = _of_run(folder, view, named), "a run of this package"
    else:
        raise _no_folder(folder)
    stored, scales = found
    return stored, replace(plain(stored), name="own", title=what, scales=scales, scales_of=None)


def _no_folder(folder: Path) -> MultiviewError:
    return MultiviewError(
        f"{folder} is neither a run nor a model folder; give a file of weights, a run, or its folder `model`."
    )


def views_in(folder: Path) -> list[str]:
    """The views of a run or a model folder that have an encoder of their own."""
    if (folder / MODEL).is_file():
        return list(read_json(folder / MODEL, REMEDY)["views"])
    if not (folder / CONFIG).is_file():
        raise _no_folder(folder)
    return _own_views(newest(result_folder(folder)).tensors["model"])


def _own_views(tensors: Mapping[str, Tensor]) -> list[str]:
    return sorted({name.split(".")[1] for name in tensors if name.startswith("encoders.")})


def _chosen(folder: Path, view: str, views: list[str], named: bool) -> str:
    if view in views:
        return view
    if not named and len(views) == 1:
        return views[0]
    raise unknown_name(f"encoder of the run {folder}", view, views, f"Write {folder}:VIEW.")


def _of_run(folder: Path, view: str, named: bool) -> tuple[Stored, Scales]:
    saved = newest(result_folder(folder))
    tensors = saved.tensors["model"]
    chosen = _chosen(folder, view, _own_views(tensors), named)
    begin = f"encoders.{chosen}."
    state = with_lora_added({name.removeprefix(begin): x for name, x in tensors.items() if name.startswith(begin)})
    record = views_of(saved.path).get("views", {}).get(chosen, {})
    return Stored(f"{folder}:{chosen}", state, {}, (chosen,)), _scales(record)


def _of_model(folder: Path, view: str, named: bool) -> tuple[Stored, Scales]:
    content = read_json(folder / MODEL, REMEDY)
    with parsing(str(folder / MODEL), REMEDY):
        folders, digests = dict(content["views"]), dict(content["files"])
        chosen = _chosen(folder, view, sorted(folders), named)
        name = str(folders[chosen])
        if Path(name).name != name:
            raise ValueError(f"{name!r} is no name of a folder in this folder")
        record = read_json(_unaltered(folder, name, PARTS[0], digests), REMEDY)
        name = str(folders[record["encoder"].get("same", chosen)])
        file = _unaltered(folder, name, PARTS[1], digests)
    stored = read_file(file)
    return replace(stored, name=f"{folder}:{chosen}"), _scales(record["view"])


def _unaltered(folder: Path, view: str, file: str, digests: Mapping[str, str]) -> Path:
    """A file of a model folder. Raises MultiviewError when it is not as it was written."""
    path = folder / view / file
    if not path.is_file() or sha256(path) != digests.get(f"{view}/{file}"):
        raise MultiviewError(f"the model in {folder} is not whole: {view}/{file} is missing or damaged. {REMEDY}")
    return path


def _scales(record: Mapping[str, Any]) -> Scales:
    """Mean and std of a recorded view, by the name of its channels."""
    if not record.get("mean") or not record.get("std"):
        return {}
    return {str(record["channels"]["name"]): (from_plain(record["mean"]), from_plain(record["std"]))}


def with_lora_added(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of an encoder that learned with `lora`: W + scale B A in place of W, A and B."""
    found = {}
    for name, x in state.items():
        a, b = (name.replace("base_layer.weight", f"lora_{side}.default.weight") for side in "AB")
        if a != name and a in state:
            x = x + SCALE * (state[b].flatten(1) @ state[a].flatten(1)).view_as(x)
        if ".lora_" not in name:
            found[name.replace(".base_layer.", ".")] = x
    return found
