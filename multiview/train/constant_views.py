"""Views whose values are all alike: no edge with one can learn."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from multiview.data.load.dataset import Samples
from multiview.recipe import Setup
from multiview.viewlayer import ViewLayer, present_views

EXAMINED = 64
"""Training samples that are looked at, spread evenly."""
ALIKE = 1e-3
"""Standard deviation, after normalisation, below which a view counts as constant."""


def constant_views(samples: Samples, setup: Setup) -> list[str]:
    """The views whose every channel has one value in all examined samples."""
    chosen = torch.linspace(0, len(samples) - 1, min(EXAMINED, len(samples))).long().unique()
    batch = samples[0, chosen]
    present = present_views(setup.views, batch)
    found = []
    for name, x in ViewLayer(setup.views)(batch).items():
        values = x[present[name]].float().transpose(0, 1).flatten(1)
        if values.shape[1] > 1 and float(values.std(1).max()) < ALIKE:
            found.append(name)
    return found


def constant_note(names: Sequence[str]) -> str | None:
    """What a user should know of constant views."""
    if not names:
        return None
    listed = " and ".join(f"'{name}'" for name in names)
    subject, they = ("view", "it has") if len(names) == 1 else ("views", "they have")
    return (
        f"the {subject} {listed} cannot teach anything: {they} one value in all of {EXAMINED} examined samples (chroma "
        "of grey pictures, for example). Choose other views (--views, where the recipe has it; `multiview train auto` "
        "chooses them by the data), or data in which these views differ."
    )
