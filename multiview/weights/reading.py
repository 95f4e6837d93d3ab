"""Reads a file of weights: safetensors here, pickled files in a process of their own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from multiview.child import start_module
from multiview.errors import MultiviewError
from multiview.files import size_text
from multiview.parsing import read_json

if TYPE_CHECKING:
    from torch import Tensor

SECONDS = 180.0
"""How long the reading of a pickled file may take, beside `PER_BYTE`."""
PER_BYTE = 1e-7


@dataclass(frozen=True)
class Stored:
    """What a file of weights holds.

    Args:
        name: the file, in the words of the user.
        tensors: by dotted name; the names of dictionaries around them come first.
        facts: numbers and texts beside the tensors, by dotted name.
        entries: the names at the top.
    """

    name: str
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any] = field(default_factory=dict)
    entries: tuple[str, ...] = ()


def read_file(path: Path) -> Stored:
    """The tensors of a file (.safetensors; every other ending is read as PyTorch's).

    Raises MultiviewError for a missing, damaged or hostile file, and for one without tensors.
    """
    if not path.is_file():
        raise MultiviewError(f"there is no file {path} with weights; {_hint(path)}")
    stored = _safe(path) if path.suffix == ".safetensors" else _pickled(path)
    if not stored.tensors:
        raise MultiviewError(
            f"{path} cannot be read as weights: it holds more than a state_dict, or other things, but no tensors with "
            "names. Give a file that torch.save(network.state_dict(), FILE) or safetensors wrote."
        )
    return replace(stored, facts={**stored.facts, **_beside(path)})


def _beside(path: Path) -> dict[str, Any]:
    """Mean and std in the configuration that transformers or timm writes beside the weights."""
    found: dict[str, Any] = {}
    for name, keys in (("config.json", ("mean", "std")), ("preprocessor_config.json", ("image_mean", "image_std"))):
        file = path.with_name(name)
        about = read_json(file, "Remove it, or copy it again.") if file.is_file() else {}
        about = about.get("pretrained_cfg", about) if isinstance(about, dict) else {}
        for key in keys:
            value = about.get(key) if isinstance(about, dict) else None
            if isinstance(value, list) and value and all(isinstance(x, (int, float)) for x in value):
                found[f"beside.{key.removeprefix('image_')}"] = value
    return found


def _hint(path: Path) -> str:
    if path.with_name(f"{path.name}.index").is_file() or path.with_name("checkpoint").is_file():
        return (
            "it is a checkpoint of TensorFlow. Convert it to PyTorch first, as github.com/tonylins/simclr-converter "
            "does for SimCLR."
        )
    return "give the path of a file on this machine."


def _safe(path: Path) -> Stored:
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = {f"metadata.{key}": value for key, value in (file.metadata() or {}).items()}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except Exception as cause:  # safetensors raises its own error and those of the file system
        raise _unreadable(
            path, f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}"
        ) from cause
    return Stored(str(path), tensors, facts, tuple(dict.fromkeys(name.partition(".")[0] for name in tensors)))


def _pickled(path: Path) -> Stored:
    from safetensors.torch import load_file

    with TemporaryDirectory(prefix="multiview-weights-", ignore_cleanup_errors=True) as folder:
        out = Path(folder) / "tensors.safetensors"
        answer = in_child(path, out)
        if "refused" in answer:
            raise _unreadable(path, answer["refused"])
        tensors = load_file(out)
    return Stored(str(path), tensors, answer["facts"], tuple(answer["entries"]))


def in_child(path: Path, out: Path) -> dict[str, Any]:
    """What `unpickle.read_into` returns, from a process with limits on time and memory."""
    seconds = SECONDS + PER_BYTE * path.stat().st_size
    words = (str(path.absolute()), str(out))
    child = start_module(
        "multiview.weights.unpickle", *words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with child:  # its pipes are closed at the end, also when it is killed
        try:
            said, errors = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return {"refused": f"reading it takes more than {seconds:.0f} s"}
        finally:
            child.kill()
    if child.returncode != 0 or not said.endswith(b"\n"):
        return {"refused": _ending(path, child.returncode, errors)}
    return dict(json.loads(said.splitlines()[-1]))


def _ending(path: Path, code: int, errors: bytes) -> str:
    """Why the process ended without an answer."""
    text = errors.decode(errors="replace").strip()
    if "MemoryError" in text or "bad_alloc" in text or "allocate memory" in text or code == -9:
        return f"reading its {size_text(path.stat().st_size)} needs more memory than a file of its size may"
    last = text.splitlines()[-1:] or [f"exit code {code}"]
    return f"reading it ends the process ({last[0][:200]})"


def _unreadable(path: Path, why: str) -> MultiviewError:
    return MultiviewError(
        f"{path} cannot be read as weights: {why.rstrip('.: ')}. Give a .safetensors file, or one that "
        "torch.save(network.state_dict(), FILE) wrote."
    )
