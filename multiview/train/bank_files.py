"""The rows of split banks in checkpoints: each process writes and reads those that it owns.

A checkpoint has one file `banks-R-of-W.safetensors` for each of the W processes that wrote it, with
one tensor (rows, dim) per bank and stratum. A process reads the strata that it owns now from
whichever files hold them, so that a run may be resumed on another number of processes.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from multiview.distributed import any_rank, rank, world
from multiview.errors import MultiviewError
from multiview.files import sha256
from multiview.memory.memories import Memories
from multiview.memory.split_bank import SplitBank
from multiview.train.checkpoint import BANKS


class Written(NamedTuple):
    """The files that all processes wrote beside the checkpoints, before rank 0 makes one of them.

    folder: where they lie. hashes: the file that holds the SHA-256 of each file, by the file.
    """

    folder: Path
    files: tuple[str, ...]

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file. Raises OSError when a file is not there."""
        return {name: (self.folder / f"{name}.sha256").read_text(encoding="ascii") for name in self.files}


def write(checkpoints: Path, step: int, memories: Memories) -> Written | None:
    """Writes the own rows of all split banks; None when there are none.

    Every process calls it. Raises MultiviewError in each when one could not write.
    """
    banks = memories.split_banks()
    if not banks:
        return None
    names = tuple(f"{BANKS}{number}-of-{world()}.safetensors" for number in range(world()))
    written, failure = Written(checkpoints / f".banks-{step:08d}", names), ""
    try:
        _write_own(written, banks)
    except (OSError, SafetensorError) as cause:
        failure = f": {cause}"
    if any_rank([bool(failure)], next(iter(banks.values())).rows.device)[0]:
        raise MultiviewError(
            f"the rows of the memory banks of step {step} could not be written by every process{failure}. Earlier "
            f"checkpoints in {checkpoints} are as they were: make room, and go on with --resume."
        )
    return written


def _write_own(written: Written, banks: Mapping[str, SplitBank]) -> None:
    written.folder.mkdir(parents=True, exist_ok=True)
    file = written.folder / written.files[rank()]
    save_file(dict(_named(banks)), file)
    file.with_name(f"{file.name}.sha256").write_text(sha256(file), encoding="ascii")


def _named(banks: Mapping[str, SplitBank]) -> list[tuple[str, Tensor]]:
    """The rows of each own stratum, without unused ones."""
    own = [(name, bank, number) for name, bank in banks.items() for number in bank.own.numbers]
    return [(f"{name}:{number}", bank.of(number).detach().cpu()) for name, bank, number in own]


def remove(checkpoints: Path) -> None:
    """Removes what was written and did not become a checkpoint."""
    for folder in checkpoints.glob(".banks-*"):
        shutil.rmtree(folder, ignore_errors=True)


@torch.no_grad()
def read(checkpoint: Path, memories: Memories) -> None:
    """Reads the own rows of every split bank from a checkpoint.

    Raises LookupError when it does not hold them, and ValueError when they have another size.
    """
    with ExitStack() as opened:
        files = [opened.enter_context(safe_open(file, "pt")) for file in sorted(checkpoint.glob(f"{BANKS}*"))]
        held = {name: file for file in files for name in file.keys()}  # noqa: SIM118
        for name, bank in memories.split_banks().items():
            for number in bank.own.numbers:
                _read_stratum(held, f"{name}:{number}", bank.of(number))


def _read_stratum(held: Mapping[str, safe_open], name: str, rows: Tensor) -> None:
    if name not in held:
        raise LookupError(f"the checkpoint holds no rows {name} of a bank that is split over processes.")
    found = held[name].get_tensor(name)
    if found.shape != rows.shape:
        raise ValueError(f"the rows {name} are {tuple(found.shape)}, not {tuple(rows.shape)}.")
    rows.copy_(found)
