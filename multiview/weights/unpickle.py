"""Reads a pickled file of weights in a process of its own: `python -m multiview.weights.unpickle`.

PyTorch reads the file with `weights_only=True`, which runs no code of the file. Classes of known
libraries that a checkpoint may hold beside its weights become stand-ins that do nothing. Every
other class or function ends the reading. The tensors are written as safetensors, and all plain
values are printed as JSON.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

HARMLESS = re.compile(
    r"(argparse\.Namespace|pathlib\.[\w.]*Path|collections\.defaultdict|functools\.partial|_codecs\.encode|types\.\w+|"
    r"(torch\.(nn|optim|utils|distributed|cuda\.amp|amp)|torch\._C\._nn|torchvision|timm|lightly|lightly_train|"
    r"lightning|lightning_fabric|pytorch_lightning|omegaconf|yacs|numpy|solo|apex|typing|datetime|uuid|"
    r"mmengine|easydict|ml_collections|dinov2)\.[\w.]+)"
)
"""Names of which a stand-in is made. The classes themselves are never imported or called."""
GLOBAL = re.compile(r"GLOBAL (\S+)")
SKIPPED = re.compile(r"optim|lr_sched|scaler|^amp$|callbacks|loops|rng|scheduler")
"""Entries at the top that hold no weights of a network."""
DEEPEST = 12
"""Levels of dictionaries that are searched for tensors."""
PLAIN = 400
"""Plain values that are reported at most."""
LONGEST = 200
"""Characters of a reported text."""
NEEDED = 4
"""Bytes of memory for each byte of the file, beside `SPARE`."""
SPARE = 1 << 30


class StandIn:
    """In the place of an object of another class; keeps the state, runs nothing."""

    state: Any = None

    def __init__(self, *args: Any, **options: Any) -> None:
        del args, options

    def __setstate__(self, state: Any) -> None:
        self.state = state


class PlainDict:
    """In the place of a class of dictionaries; its instances are plain dictionaries."""

    def __new__(cls, *args: Any) -> Any:
        """An empty dictionary."""
        del args
        return {}


def content_of(path: Path) -> Any:
    """What the file holds. Raises UnpicklingError for a class that is not known to be harmless."""
    import pickle

    names: list[str] = []
    while True:
        allowed: list[Any] = [(_stand_in(name), name) for name in names]
        try:
            with torch.serialization.safe_globals(allowed):
                return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as cause:
            found = GLOBAL.search(str(cause))
            if found is None or found[1] in names or not HARMLESS.fullmatch(found[1]):
                raise
            names.append(found[1])
            names += [name for name in _all_classes(path) if name not in names and HARMLESS.fullmatch(name)]


def _all_classes(path: Path) -> list[str]:
    """The classes of a file that PyTorch does not allow by itself; none for the old file format."""
    try:
        return list(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # the old format, which cannot be listed
        return []


def _stand_in(name: str) -> type:
    kind = PlainDict if name.lower().endswith("dict") else StandIn
    return type(name.rpartition(".")[2], (kind,), {})


def named_tensors(content: Any, begin: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of nested dictionaries and pickled modules, by its dotted name."""
    if isinstance(content, Tensor):
        if begin and content.layout is torch.strided:
            yield begin, content
    elif depth < DEEPEST:
        for key, value in _children(content):
            if depth or not SKIPPED.search(key):
                yield from named_tensors(value, f"{begin}.{key}" if begin else key, depth + 1)


def _children(content: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(content, Mapping):
        yield from ((str(key), value) for key, value in content.items())
    elif isinstance(content, StandIn) and isinstance(content.state, dict):
        for part in ("_parameters", "_buffers", "_modules"):
            held = content.state.get(part)
            hidden = content.state.get("_non_persistent_buffers_set") or ()
            yield from ((str(key), x) for key, x in (held or {}).items() if key not in hidden)


def plain_values(content: Any, begin: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Numbers, texts and short lists of numbers, by their dotted names."""
    if isinstance(content, StandIn):
        content = content.state
    if isinstance(content, (str, bool, int)) or (isinstance(content, float) and math.isfinite(content)):
        yield begin, content[:LONGEST] if isinstance(content, str) else content
    elif isinstance(content, (list, tuple)) and 0 < len(content) <= 8:
        if all(isinstance(x, (int, float)) for x in content):
            yield begin, list(content)
    elif isinstance(content, Mapping) and depth < 4:
        for key, value in content.items():
            if isinstance(key, str) and not key.startswith("_") and (depth or not SKIPPED.search(key)):
                yield from plain_values(value, f"{begin}.{key}" if begin else key, depth + 1)


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with memory of their own, as safetensors needs them."""
    found, taken = {}, set()
    for name, x in tensors.items():
        x = x.detach()
        storage = x.untyped_storage()
        own = x.is_contiguous() and storage.nbytes() == x.nbytes and storage.data_ptr() not in taken
        taken.add(storage.data_ptr())
        found[name] = x if own else x.contiguous().clone()
    return found


def read_into(path: Path, out: Path) -> dict[str, Any]:
    """Writes the tensors of `path` to `out`; returns what else it holds, or why it is refused."""
    from safetensors.torch import save_file

    try:
        content = content_of(path)
        tensors = whole(dict(named_tensors(content)))
        save_file(tensors, out)
    except Exception as cause:  # whatever the readers of damaged and hostile files raise
        return {"refused": reason_of(cause)}
    entries = [str(key) for key in content] if isinstance(content, Mapping) else [type(content).__name__]
    facts = dict(list(plain_values(content))[:PLAIN]) if isinstance(content, (Mapping, StandIn)) else {}
    return {"entries": entries[:PLAIN], "facts": facts}


def reason_of(cause: Exception) -> str:
    """Why the file is refused, in words."""
    text = str(cause)
    if "TorchScript" in text:
        return "it is a TorchScript archive, which holds a program; save the state_dict of the module"
    if found := GLOBAL.search(text):
        return f"it would run or build {found[1]}, which is no tensor; nothing of it was run"
    if isinstance(cause, (MemoryError, RecursionError)) or "allocate memory" in text:
        return "it needs more memory than a file of its size may"
    line = next((line.strip() for line in text.splitlines() if line.strip()), "").rstrip(".")
    return f"{type(cause).__name__}: {line[:LONGEST]}" if line else type(cause).__name__


def limit_memory(size: int) -> None:
    """Limits what this process may add to its memory for a file of `size` bytes, where possible."""
    try:
        import resource

        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = used + NEEDED * size + SPARE
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(words: list[str]) -> None:
    """Reads the file of the first word, and writes the tensors to the second."""
    path, out = map(Path, words)
    torch.set_num_threads(1)
    limit_memory(path.stat().st_size)
    print(json.dumps(read_into(path, out)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
