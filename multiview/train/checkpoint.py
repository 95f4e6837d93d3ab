"""Checkpoints in safetensors and JSON, hashed; a checkpoint is whole or it does not exist.

A draft folder is renamed when all its files are written. No file of a checkpoint is ever unpickled.
Only reading and writing tensors imports torch.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from safetensors import SafetensorError

from multiview.errors import MultiviewError
from multiview.files import refuse_link, sha256, sync
from multiview.parsing import MALFORMED, reason

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from multiview.model import MultiviewModel
    from multiview.train.bank_files import Written
    from multiview.view import View

Tensors = Mapping[str, Mapping[str, "Tensor"]]
"""File name -> named tensors."""

DAMAGE: tuple[type[Exception], ...] = (SafetensorError, *MALFORMED)
SCHEMA = 1
MANIFEST = "manifest.json"
STATE = "state.json"
VIEWS = "views.json"
BANKS = "banks-"
"""How the names of files begin that hold the rows of one process of split banks."""


class Checkpoint(NamedTuple):
    """A whole checkpoint. refused: a sentence for each newer checkpoint that is not whole."""

    path: Path
    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]
    refused: list[str]


def save(
    folder: Path,
    step: int,
    tensors: Tensors,
    state: Mapping[str, Any],
    keep: int,
    views: Mapping[str, Any] | None = None,
    banks: Written | None = None,
) -> Path:
    """Writes `folder/step-00000012`, then removes all older checkpoints but the newest `keep`.

    The folder gets its name by a rename after all files were synced, so that a kill at any moment
    leaves a whole checkpoint or none.

    state: everything else that training needs to go on, in JSON's types. views: the result of
    `view_records`; None writes no file. banks: the files that every process wrote, which are moved
    into the checkpoint. Raises MultiviewError when the checkpoint cannot be written; older
    checkpoints then stay.
    """
    final = folder / f"step-{step:08d}"
    if _loads(final):  # the run was stopped again before its next step, so the state is the same
        return final
    draft = folder / f".{final.name}.{os.getpid()}"
    documents = {STATE: {"schema": SCHEMA, "step": step, **state}} | ({} if views is None else {VIEWS: views})
    refuse_link(folder)
    try:
        _sweep(folder)
        draft.mkdir(parents=True)
        _write(draft, tensors, documents, banks)
        _discard(final)
        draft.rename(final)
        sync(folder)
    except (OSError, SafetensorError) as cause:
        shutil.rmtree(draft, ignore_errors=True)
        raise MultiviewError(
            f"the checkpoint of step {step} could not be written: {cause}. Earlier checkpoints in {folder} are as they "
            "were: make room, and go on with --resume."
        ) from cause
    # A later step was refused at the resume; counted here, it could push out the last whole one.
    for old in [path for path in _newest_first(folder) if path.name <= final.name][keep:]:
        _discard(old)
    return final


def remove_others(kept: Path) -> None:
    """Removes all checkpoints but one from its folder."""
    for path in _newest_first(kept.parent):
        if path.name != kept.name:
            _discard(path)


def load(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """(tensors by file, state) of one checkpoint, without the rows of split banks.

    Raises MultiviewError unless the checkpoint holds exactly the files of its manifest, unaltered.
    """
    from safetensors.torch import load_file

    _require_whole(path)
    state = _json(path, STATE)
    views_of(path)
    with _reading(path):
        _check_state(state, path)
        files = [file for file in sorted(path.glob("*.safetensors")) if not file.name.startswith(BANKS)]
        tensors = {file.stem: load_file(file) for file in files}
    return tensors, state


def view_records(views: Mapping[str, View], model: MultiviewModel) -> dict[str, Any]:
    """The content of `views.json`: records of all views, with mean and std, and of all encoders.

    A view that shares the encoder of another view has that view's name instead of a record.
    """
    own = {name: encoder.record() for name, encoder in model.own_encoders().items()}
    encoders = {view: own[owner] if owner == view else owner for view, owner in model.owners.items()}
    return {"views": {name: view.record() for name, view in views.items()}, "encoders": encoders}


def views(folder: Path) -> dict[str, Any]:
    """What `view_records` gave for the newest whole checkpoint; `{}` for one of an older version.

    Needs no torch. Raises MultiviewError when no checkpoint in `folder` is whole.
    """
    refused = []
    for path in _newest_first(folder):
        try:
            _require_whole(path)
            return views_of(path)
        except MultiviewError as error:
            refused.append(str(error))
    raise MultiviewError(f"there is no whole checkpoint in {folder}. " + " ".join(refused))


def views_of(path: Path) -> dict[str, Any]:
    """The records of views and encoders in one checkpoint; `{}` for one of an older version."""
    if not (path / VIEWS).exists():
        return {}
    records = _json(path, VIEWS)
    with _reading(path):
        if not all(isinstance(view, dict) for view in records.get("views", {}).values()):
            raise TypeError(f"{VIEWS} holds no records of views")
    return records


def newest(folder: Path) -> Checkpoint:
    """The newest whole checkpoint. Raises MultiviewError, with every fault, when none is whole."""
    refused: list[str] = []
    for path in _newest_first(folder):
        try:
            return Checkpoint(path, *load(path), refused)
        except MultiviewError as error:
            refused.append(f"{error} Using the one before.")
    raise MultiviewError(
        f"there is no whole checkpoint in {folder}; start again with --overwrite. " + " ".join(refused)
    )


def is_whole(path: Path) -> bool:
    """Whether a checkpoint holds exactly the files of its manifest, unaltered. Needs no torch."""
    try:
        _require_whole(path)
    except MultiviewError:
        return False
    return True


def any_saved(folder: Path) -> bool:
    """Whether a checkpoint, whole or not, has its name in `folder`."""
    return bool(_newest_first(folder))


def has_later(folder: Path, step: int) -> bool:
    """Whether `folder` has a whole checkpoint of a later step; damaged ones do not count."""
    steps = ((path, path.name.removeprefix("step-")) for path in _newest_first(folder))
    return any(name.isdigit() and int(name) > step and _loads(path) for path, name in steps)


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """An optimiser's state as named tensors and plain groups."""
    import torch
    from torch import Tensor

    state = optimiser.state_dict()
    tensors = {
        f"{number}/{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for number, slots in state["state"].items()
        for name, value in slots.items()
        if value is not None
    }
    return tensors, [
        {k: list(v) if isinstance(v, tuple) else v for k, v in group.items()} for group in state["param_groups"]
    ]


def parameter_names(optimiser: torch.optim.Optimizer, model: nn.Module) -> list[str]:
    """The names of the optimiser's parameters, in the order in which its state numbers them."""
    names = {id(p): name for name, p in model.named_parameters()}
    return [names[id(p)] for group in optimiser.param_groups for p in group["params"]]


def restore_optimiser(
    optimiser: torch.optim.Optimizer,
    tensors: Mapping[str, Tensor],
    groups: Sequence[Mapping[str, Any]],
    before: Sequence[str] | None,
    now: Sequence[str],
) -> None:
    """Restores the state that `optimiser_tensors` gave; the optimiser keeps its options.

    Only `fused` is that of the checkpoint: a run keeps the kernel, and so the bits, of its start.

    Args:
        optimiser: with the options of the command, such as learning rate and weight decay.
        tensors: the state.
        groups: the parameter groups of the checkpoint.
        before: the names of its parameters; None for an older checkpoint, which has none.
        now: the names of the optimiser's parameters.

    Raises ValueError when the checkpoint has other parameters.
    """
    fused = {"fused": groups[0]["fused"]} if groups and "fused" in groups[0] else {}
    plain = [group | fused for group in optimiser.state_dict()["param_groups"]]
    if before is None:
        if [len(group["params"]) for group in groups] != [len(group["params"]) for group in plain]:
            raise ValueError("the optimiser has other parameter groups.")
        before = now
    if sorted(before) != sorted(now):
        other = sorted(set(before) ^ set(now))
        raise ValueError(f"other parameters are trained: {', '.join(other[:4])}{' ...' if len(other) > 4 else ''}.")
    place = {name: number for number, name in enumerate(now)}
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, slot = key.split("/", 1)
        state.setdefault(place[before[int(number)]], {})[slot] = value
    optimiser.load_state_dict({"state": state, "param_groups": plain})


def _write(draft: Path, tensors: Tensors, documents: Mapping[str, Mapping[str, Any]], banks: Written | None) -> None:
    from safetensors.torch import save_file

    for name, named in tensors.items():
        # Copies, because safetensors refuses tensors that share memory.
        copies = {key: value.detach().cpu().contiguous().clone() for key, value in named.items()}
        save_file(copies, draft / f"{name}.safetensors")
    for name, document in documents.items():
        (draft / name).write_text(json.dumps(document, indent=1), encoding="utf-8")
    hashes = {path.name: sha256(path) for path in sorted(draft.iterdir())} | _moved(draft, banks)
    (draft / MANIFEST).write_text(json.dumps(hashes, indent=1), encoding="utf-8")
    for path in [*draft.iterdir(), draft]:
        sync(path)


def _moved(draft: Path, banks: Written | None) -> dict[str, str]:
    """Moves the files of all processes into the draft; their hashes, as each process found them."""
    hashes = {} if banks is None else banks.hashes()
    for name in hashes:
        banks.folder.joinpath(name).rename(draft / name)  # type: ignore[union-attr]
    return hashes


def _require_whole(path: Path) -> None:
    """Raises MultiviewError unless `path` holds exactly the files of its manifest, unaltered."""
    hashes = _manifest(path)
    with _reading(path):
        present = {file.name for file in path.iterdir()} - {MANIFEST}
        for name in sorted(present | set(hashes)):
            fault = _fault(path / name, hashes.get(name)) if Path(name).name == name else "is no name of a file"
            if fault:
                raise MultiviewError(f"checkpoint {path} is not whole: {name} {fault}.")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns every error of the block into `checkpoint PATH is not whole: REASON.`"""
    try:
        yield
    except DAMAGE as cause:
        raise MultiviewError(f"checkpoint {path} is not whole: {reason(cause)}.") from cause


def _json(path: Path, name: str) -> dict[str, Any]:
    with _reading(path):
        value = json.loads((path / name).read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise TypeError(f"{name} holds no JSON object")
    return value


def _whole_number(state: Mapping[str, Any], name: str) -> int:
    if type(state[name]) is not int:
        raise TypeError(f"{name} in {STATE} is {state[name]!r}, no whole number")
    return state[name]


def _check_state(state: Mapping[str, Any], path: Path) -> None:
    """Raises MultiviewError, TypeError or ValueError when the state cannot be used."""
    schema = _whole_number(state, "schema")
    if schema > SCHEMA:
        raise MultiviewError(
            f"checkpoint {path} has schema {schema}, this version reads up to {SCHEMA}: update multiview-cmc."
        )
    _check_types(state, path)


def _check_types(state: Mapping[str, Any], path: Path) -> None:
    """Raises TypeError or ValueError when a value that is read later has another type."""
    if _whole_number(state, "step") != int(path.name.removeprefix("step-")):
        raise ValueError(f"{STATE} is of step {state['step']}")
    for name in {"samples", "batch", "steps", "per_epoch"} & state.keys():
        _whole_number(state, name)
    kinds = {"groups": list, "parameters": list, "starts": dict, "ids": str, "contents": str, "optimizer": str}
    kinds |= {"group_codes": str, "mix": str}
    for name, kind in kinds.items():
        if name in state and not isinstance(state[name], kind):
            raise TypeError(f"{name} in {STATE} has another type than {kind.__name__}")
    if not all(isinstance(group, dict) for group in state.get("groups", ())):
        raise TypeError(f"groups in {STATE} are no mappings")


def _manifest(path: Path) -> dict[str, str]:
    try:
        hashes = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except MALFORMED as error:
        raise MultiviewError(
            f"checkpoint {path} is not whole: its {MANIFEST} cannot be read ({reason(error)})."
        ) from error
    if not isinstance(hashes, dict) or STATE not in hashes:
        raise MultiviewError(f"checkpoint {path} is not whole: its {MANIFEST} does not list {STATE}.")
    return hashes


def _fault(file: Path, expected: str | None) -> str | None:
    """What is wrong with one file of a checkpoint, in words."""
    if expected is None:
        return "does not belong to it"
    if not file.is_file():
        return "is missing"
    return None if sha256(file) == expected else "is altered"


def _loads(path: Path) -> bool:
    try:
        load(path)
    except (MultiviewError, OSError):
        return False
    return True


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"), reverse=True)


def _discard(path: Path) -> None:
    """Removes a checkpoint, if there is one; renamed first, so that a kill leaves no half."""
    if path.exists():
        gone = path.with_name(f".{path.name}.gone")
        shutil.rmtree(gone, ignore_errors=True)
        path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Removes checkpoints that a killed run left half written or half removed."""
    for draft in folder.glob(".step-*"):
        shutil.rmtree(draft, ignore_errors=True)
