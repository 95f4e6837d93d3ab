"""Batch norm on several processes: where views are missing, and where MoCo deals keys out among them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from trials import trial

import multiview as mv
from multiview.check.parity import Trace, traces

KINDS = {
    "cmc": mv.CMC(negatives=7, dim=5),
    "moco": mv.MoCo(queue=11, dim=5, momentum=0.9),
    "simclr": mv.SimCLR(dim=5, learn_temperature=True),
    "simsiam": mv.SimSiam(dim=5, predictor=4),
    "siglip": mv.SigLIP(dim=5),
    "byol": mv.BYOL(dim=5, hidden=6),
    "vicreg": mv.VICReg(dim=5, hidden=6),
    "symile": mv.Symile(dim=5),
}
MISSING = {
    name: partial(trial, objective, missing=True, normed=True, joint=not objective.pairwise)
    for name, objective in KINDS.items()
}
DEALT = mv.MoCo(queue=11, dim=5, momentum=0.9)
SHUFFLED = {
    "together": partial(trial, DEALT, normed=True),
    "two groups": partial(trial, replace(DEALT, split_bn=2), normed=True),
    "two groups, views missing": partial(trial, replace(DEALT, split_bn=2), normed=True, missing=True),
    "in place": partial(trial, replace(DEALT, shuffle_bn=False), normed=True),
}


@pytest.fixture(scope="module")
def found() -> dict[str, dict[int, list[Trace]]]:
    return traces({**MISSING, **SHUFFLED}, worlds=(1, 2))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("world", [1, 2])
def test_a_step_in_which_a_view_is_missing_neither_hangs_nor_raises(
    name: str, world: int, found: dict[str, dict[int, list[Trace]]]
) -> None:
    """In step 1 a process has no row of `b`, in step 2 none has a row of `a`; others have a few or one."""
    for trace in found[name][world]:
        assert all(x.isfinite().all() for key, x in trace.items() if not key.endswith("/log_z"))
        gradients = {key: x for key, x in trace.items() if key.startswith("gradient/encoders.a")}
        assert gradients
        assert all((x[2] == 0).all() for x in gradients.values())
        assert any((x != 0).any() for x in gradients.values())


@pytest.mark.parametrize("name", [*KINDS, *SHUFFLED])
def test_all_processes_hold_the_same(name: str, found: dict[str, dict[int, list[Trace]]]) -> None:
    """Also the batch statistics of key encoders, of which each process saw others."""
    first, second = found[name][2]
    for key, x in first.items():
        assert torch.equal(x.nan_to_num(), second[key].nan_to_num()), key


def test_two_groups_on_one_process_are_two_processes_batch_norm_included(
    found: dict[str, dict[int, list[Trace]]],
) -> None:
    """Losses, gradients, parameters and queues; running statistics are the mean of the groups' here and the first process's there."""
    (split,) = found["two groups"][1]
    dealt, _ = found["together"][2]
    assert split.keys() == dealt.keys()
    for key, x in split.items():
        if "running_" not in key and "num_batches" not in key:
            assert torch.allclose(x, dealt[key], rtol=1e-9, atol=1e-12), key


def test_shuffling_changes_what_keys_are_normalised_by(found: dict[str, dict[int, list[Trace]]]) -> None:
    queue = next(key for key in found["together"][2][0] if key.endswith("keys"))
    dealt, in_place = (found[name][2][0] for name in ("together", "in place"))
    assert not torch.allclose(dealt[queue], in_place[queue.replace("_shuffle", "")])
    assert torch.equal(found["together"][1][0][queue], found["in place"][1][0][queue.replace("_shuffle", "")])
