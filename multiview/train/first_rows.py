"""The first rows of banks that start encoded: one pass over the samples, without learning."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch

from multiview.batch import Batch
from multiview.counter_rng import Draws
from multiview.train.gradcache import encoded, micro_batches
from multiview.train.step import Parts, seen_views


def encode_first_rows(parts: Parts, batches: Iterable[Batch], seed: int, stopped: Callable[[], bool]) -> None:
    """Gives the banks that start encoded their first rows; every process must call it.

    The samples are seen as in training: with crops, augmentation and statistics of the batch. A
    sample that lacks the view keeps its random row. The model does not change. A stop ends the pass
    after its batch; the run that resumes begins it again.

    Args:
        parts: of the training step.
        batches: of this process, which together hold every sample.
        seed: of the run.
        stopped: asks, in all processes at once, whether the run was stopped.
    """
    before = [(buffer, buffer.clone()) for buffer in parts.model.buffers()]
    parts.wrapped.train()
    with torch.no_grad():
        for number, batch in enumerate(batches):
            draws = Draws(seed, number, batch.index.numpy(), "first rows")
            on_device = batch.to(parts.accelerator.device, non_blocking=True)
            views, present, known = seen_views(parts, on_device, draws)
            micro = micro_batches(views, known, parts.micro_batch)
            embeddings, _ = encoded(parts.accelerator, parts.model, parts.wrapped, micro, draws)
            parts.memories.begin(embeddings, on_device.index, present)
            if stopped():
                break
        for buffer, values in before:
            buffer.copy_(values)
