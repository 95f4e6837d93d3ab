"""Saves and resumes a run: when to save, which state, and whether it fits the resumed run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from multiview.config import Train
from multiview.data.load.identity import Identity
from multiview.data.load.sampler import Batches
from multiview.distributed import on_first
from multiview.errors import MultiviewError
from multiview.train import bank_files, checkpoint
from multiview.train.deferred import Deferred
from multiview.train.resumable import check_resumable, refuse_earlier_end, starts, unused_starts
from multiview.train.runfolder import CHECKPOINTS
from multiview.train.step import Parts
from multiview.train.window import Rows


@dataclass(frozen=True)
class Saved:
    """The newest checkpoint: its step, and when it was written, by the monotonic clock."""

    step: int = 0
    at: float = field(default_factory=time.monotonic)


FIRST_MINUTES = 3.0
"""Most minutes before the first checkpoint of a run, when `save_minutes` is not 0."""


class Saver:
    """Writes the checkpoints of a run, and restores the newest.

    A checkpoint holds everything that the next step and the next line of metrics depend on. Random
    numbers depend on the seed and the step only, so that no generator is saved.

    Args:
        parts: the model, memories and optimiser.
        out: the run folder.
        train: how often to save and how many checkpoints to keep.
        samples: the training samples.
        batches: the order of the samples.
        steps: the number of steps of the whole run.

    unlogged: after `resume`, the steps of the checkpoint that no line of metrics has yet.
    """

    def __init__(self, parts: Parts, out: Path, train: Train, samples: Identity, batches: Batches, steps: int) -> None:
        self.parts, self.out, self.train = parts, out, train
        self.samples, self.batches, self.steps = samples, batches, steps
        self.saved = Saved()
        self.unlogged: Rows | None = None

    def is_due(self, step: int) -> bool:
        """Whether `save_every` epochs or `save_minutes` have passed since the last checkpoint."""
        if step <= self.saved.step:
            return False
        between, minutes = self.train.save_every * len(self.batches), self.train.save_minutes
        if step // between > self.saved.step // between:
            return True
        if self.saved.step == 0:  # a run shows early that it can save, and loses little
            minutes = min(minutes, FIRST_MINUTES)
        return bool(minutes) and time.monotonic() - self.saved.at >= 60 * minutes

    def save(self, step: int, unlogged: Rows | None = None) -> None:
        """Writes the checkpoint of `step`; every process calls it, and the first makes the folder.

        unlogged: the steps that no line of metrics has yet.
        """
        said = {"unlogged": unlogged.to_json() if unlogged else None}
        folder = self.out / CHECKPOINTS
        banks = bank_files.write(folder, step, self.parts.memories)
        on_first(lambda: self._write(folder, step, self.train.checkpoints, said, banks))
        self.saved = Saved(step)

    def save_best(self, folder: Path, step: int, best: Mapping[str, Any]) -> None:
        """Writes the checkpoint of `step` in another folder, and then removes all others there.

        best: what the state says about it.
        """
        said = {"unlogged": None, "best": dict(best)}
        banks = bank_files.write(folder, step, self.parts.memories)
        on_first(lambda: checkpoint.remove_others(self._write(folder, step, 1, said, banks)))

    def resume(self) -> tuple[int, list[str]]:
        """Restores the newest whole checkpoint; the number of processes may have changed.

        Returns:
            The step, and messages for the user: checkpoints that are not whole, and where the run
            continues. A run that ended before its first checkpoint begins at step 0.
        """
        folder = self.out / CHECKPOINTS
        if not checkpoint.any_saved(folder):
            return 0, [f"{self.out} has no checkpoint yet: the run begins at its first step"]
        newest = checkpoint.newest(folder)
        notes = check_resumable(newest.state, self.samples, self.batches.batch, self.train, self.batches.order)
        try:
            self._restore(newest)
        except (RuntimeError, ValueError, LookupError, TypeError) as error:
            raise MultiviewError(
                f"{newest.path} does not fit this run: {str(error).splitlines()[-1].strip()} Resume with the options "
                "that the run was started with, or start a new run."
            ) from error
        step = newest.state["step"]
        refuse_earlier_end(step, self.steps, len(self.batches))
        self.saved = Saved(step)
        notes += unused_starts(newest.state, self.parts.graph)
        return step, [*newest.refused, *notes, f"resumed {self.out} at step {step} of {self.steps}"]

    def _write(
        self, folder: Path, step: int, keep: int, said: Mapping[str, Any], banks: bank_files.Written | None
    ) -> Path:
        """Writes one checkpoint and keeps the newest `keep` there. said: joins its state."""
        inner = _unwrapped(self.parts.optimiser)
        optimiser, groups = checkpoint.optimiser_tensors(inner)
        tensors = {
            "model": self.parts.model.state_dict(),
            "memory": self.parts.memories.common_state(),
            "optimiser": optimiser,
        }
        scaler = self.parts.accelerator.scaler
        state = {
            "groups": groups,
            "optimizer": self.train.optimizer.name,
            "parameters": checkpoint.parameter_names(inner, self.parts.model),
            "starts": starts(self.parts.graph),
            "scaler": scaler.state_dict() if scaler is not None else None,
            "samples": self.samples.count,
            "ids": self.samples.ids,
            "contents": self.samples.contents,
            "group_codes": self.samples.groups,
            **({"mix": self.samples.mix} if self.samples.mix else {}),
            "batch": self.batches.batch,
            "order": self.batches.order,
            "steps": self.steps,
            "per_epoch": len(self.batches),
            **said,
        }
        views = checkpoint.view_records(self.parts.views, self.parts.model)
        made = checkpoint.save(folder, step, tensors, state, keep, views, banks)
        bank_files.remove(folder)
        return made

    def _restore(self, saved: checkpoint.Checkpoint) -> None:
        parts, tensors, state = self.parts, saved.tensors, saved.state
        self.unlogged = Rows.from_json(state["unlogged"]) if state.get("unlogged") else None
        parts.model.load_state_dict(tensors["model"])
        parts.memories.load_common_state(tensors["memory"])
        bank_files.read(saved.path, parts.memories)
        inner = _unwrapped(parts.optimiser)
        names = checkpoint.parameter_names(inner, parts.model)
        checkpoint.restore_optimiser(inner, tensors["optimiser"], state["groups"], state.get("parameters"), names)
        parts.deferred = Deferred.for_device(inner, parts.accelerator.device, parts.accelerator.scaler)
        if parts.accelerator.scaler is not None and state["scaler"]:
            parts.accelerator.scaler.load_state_dict(state["scaler"])


def _unwrapped(optimiser: Any) -> torch.optim.Optimizer:
    """The optimiser inside Accelerate's wrapper."""
    return getattr(optimiser, "optimizer", optimiser)
