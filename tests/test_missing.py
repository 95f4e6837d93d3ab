"""Batch norm on several processes: with absent views, and with MoCo's shuffled keys."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from trials import trial

import multiview as mv
from multiview.check.parity import Trace, traces
from multiview.errors import MultiviewError
from multiview.masked_forward import masked_forward
from multiview.model import MultiviewModel
from multiview.objectives.base import Situation
from multiview.train.checks import check_synchronised
from multiview.train.prepare import prepare

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
    """In step 1 one process has no row of `b`; in step 2 no process has a row of `a`."""
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
    """Losses, gradients, parameters and queues agree.

    Running statistics differ: groups keep their mean, processes keep the first one's.
    """
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


def synchronised() -> mv.Setup:
    """Two views of pictures, the second with batch norm over all processes."""
    crop = mv.Crop(size=16)
    views = {name: mv.make_view(name, crop) for name in ("L", "depth")}
    encoders = {name: mv.make_encoder("convnet", 1, width=0.25) for name in views}
    encoders["depth"] = nn.SyncBatchNorm.convert_sync_batchnorm(encoders["depth"])
    return mv.Setup(views, encoders, mv.ContrastGraph.full(views, mv.SimCLR(dim=8)))


@pytest.mark.parametrize(
    ("ranks", "missing", "refused"),
    [(2, {"L": 0, "depth": 3}, True), (2, {"L": 3, "depth": 0}, False), (1, {"L": 0, "depth": 3}, False)],
)
def test_batch_norm_over_processes_is_refused_where_one_could_wait(
    ranks: int, missing: dict[str, int], refused: bool
) -> None:
    setup, situation = synchronised(), Situation(samples=40, per_rank=8, ranks=ranks)
    model = MultiviewModel(setup.encoders, setup.graph)
    said = r"view 'depth' has batch norm over all processes.* 3 of 40"
    with pytest.raises(MultiviewError, match=said) if refused else nullcontext():
        check_synchronised(model, missing, situation)


def test_that_is_looked_at_before_a_run_begins(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("multiview.train.prepare.check_synchronised", lambda *given: asked.append(given[1]))
    prepare(mv.Recipe(data=str(scenes), train=mv.Train(batch=8)), synchronised())
    assert asked == [{"L": 0, "depth": 0}]


def test_a_process_that_finds_too_few_rows_stops_instead_of_keeping_others_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    norm = nn.SyncBatchNorm(3)
    present = torch.tensor([True, False, False, False])
    masked_forward(lambda x: {"h": norm(x)}, torch.randn(4, 3), present, [norm])
    monkeypatch.setattr("multiview.masked_forward.world", lambda: 2)
    with pytest.raises(MultiviewError, match="needs two rows or more in each, but this process has 1"):
        masked_forward(lambda x: {"h": norm(x)}, torch.randn(4, 3), present, [norm])
    norm.eval()
    masked_forward(lambda x: {"h": norm(x)}, torch.randn(4, 3), present, [norm])
