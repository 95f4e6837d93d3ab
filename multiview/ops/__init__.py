"""The arithmetic of the objectives, as functions of tensors.

The tests compare each with a version written by hand.

`from multiview import ops` imports no file of this folder; `ops.ntxent` imports that file at its
first use. So an objective names its arithmetic at the top of its file, and `--help` does not wait
for torch.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiview.ops import bank_scores as bank_scores
    from multiview.ops import bank_terms as bank_terms
    from multiview.ops import candidates as candidates
    from multiview.ops import counter as counter
    from multiview.ops import moments as moments
    from multiview.ops import multilinear as multilinear
    from multiview.ops import nce as nce
    from multiview.ops import nearest as nearest
    from multiview.ops import negatives as negatives
    from multiview.ops import ntxent as ntxent
    from multiview.ops import pair_sigmoid as pair_sigmoid
    from multiview.ops import precision as precision
    from multiview.ops import queue_loss as queue_loss
    from multiview.ops import same_class as same_class
    from multiview.ops import split_scores as split_scores
    from multiview.ops import split_terms as split_terms
    from multiview.ops import spread as spread
    from multiview.ops import strata as strata
    from multiview.ops import volume as volume
    from multiview.ops import weighting as weighting


def __getattr__(name: str) -> ModuleType:
    if find_spec(f"{__name__}.{name}") is None:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return importlib.import_module(f"{__name__}.{name}")
