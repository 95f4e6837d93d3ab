"""Every objective against the paper, written by hand in float64."""

from __future__ import annotations

import by_hand
import pytest
import torch
from torch.nn.functional import normalize

from multiview.errors import MultiviewError
from multiview.memory.bank import MemoryBank
from multiview.memory.queue import KeyQueue
from multiview.objectives import CMC, EdgeInput, MoCo, Side, SimCLR, SimSiam, Situation

DIM, SAMPLES = 8, 23


def unit(rows: int, seed: int) -> torch.Tensor:
    z = torch.randn(rows, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return normalize(z, dim=1).requires_grad_()


def bank(seed: int) -> MemoryBank:
    made = MemoryBank(SAMPLES, DIM, 0.5, torch.Generator().manual_seed(seed))
    return made.double()


def everyone(rows: int) -> torch.Tensor:
    return torch.ones(rows, dtype=torch.bool)


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("negatives", ["both", "cross"])
def test_simclr_equals_the_paper(rows: int, negatives: str) -> None:
    za, zb = unit(rows, 1), unit(rows, 2)
    out = SimCLR(temperature=0.3, negatives=negatives).loss(
        EdgeInput((Side(z=za), Side(z=zb)), index=torch.arange(rows), present=everyone(rows))
    )
    expected = (by_hand.nt_xent if negatives == "both" else by_hand.info_nce)(za, zb, 0.3)
    assert out.loss.item() == pytest.approx(expected.item(), rel=1e-12, abs=1e-14)
    assert_same_gradients(out.loss, expected, [za, zb])


def test_simclr_leaves_out_rows_that_miss_a_view() -> None:
    za, zb = unit(6, 1), unit(6, 2)
    present = torch.tensor([True, False, True, True, False, True])
    out = SimCLR(temperature=0.3).loss(EdgeInput((Side(z=za), Side(z=zb)), index=torch.arange(6), present=present))
    assert out.loss.item() == pytest.approx(by_hand.nt_xent(za[present], zb[present], 0.3).item(), rel=1e-12)
    out.loss.backward()
    assert (za.grad[~present] == 0).all()


@pytest.mark.parametrize("exclude", [True, False])
@pytest.mark.parametrize("symmetric", [True, False])
def test_moco_equals_the_paper(exclude: bool, symmetric: bool) -> None:
    queues = KeyQueue(9, DIM).double(), KeyQueue(9, DIM).double()
    pairs: list[list[tuple[int, torch.Tensor]]] = [[], []]
    for seed, (queue, pair) in enumerate(zip(queues, pairs, strict=True)):
        for step in range(
            3
        ):  # 15 keys into 9 places: the first six fall out, the ring wraps in the middle of an update
            keys, ids = unit(5, 10 * seed + step).detach(), torch.arange(5) + step
            queue.update(keys, ids)
            pair.extend(zip(ids.tolist(), keys, strict=True))
    q, k = (unit(5, 31), unit(5, 32)), (unit(5, 33).detach(), unit(5, 34).detach())
    sides = tuple(Side(z=q[i], key=k[i], memory=queues[i]) for i in range(2))
    index = torch.arange(5) + 2
    objective = MoCo(queue=9, temperature=0.2, dim=DIM, symmetric=symmetric, exclude=exclude)
    out = objective.loss(EdgeInput(sides, index=index, present=everyone(5)))
    ids = index.tolist() if exclude else None
    expected = by_hand.moco(q[0], k[1], pairs[1][-9:], ids, 0.2)
    if symmetric:
        expected = (expected + by_hand.moco(q[1], k[0], pairs[0][-9:], ids, 0.2)) / 2
    assert out.loss.item() == pytest.approx(expected.item(), rel=1e-12)
    assert_same_gradients(out.loss, expected, [q[0]])


def test_moco_with_an_empty_queue_has_no_loss() -> None:
    queue = KeyQueue(4, DIM)
    side = Side(z=unit(3, 1), key=unit(3, 2).detach(), memory=queue)
    out = MoCo(queue=4, dim=DIM).loss(EdgeInput((side, side), index=torch.arange(3), present=everyone(3)))
    assert out.loss.item() == 0


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_simsiam_equals_the_paper(rows: int) -> None:
    za, zb, pa, pb = (unit(rows, seed) for seed in (1, 2, 3, 4))
    out = SimSiam().loss(
        EdgeInput((Side(z=za, p=pa), Side(z=zb, p=pb)), index=torch.arange(rows), present=everyone(rows))
    )
    expected = by_hand.simsiam(pa, za, pb, zb)
    assert out.loss.item() == pytest.approx(expected.item(), rel=1e-12)
    out.loss.backward()
    assert za.grad is None
    assert pa.grad is not None


def test_spread_is_one_over_root_d_on_the_sphere_and_zero_in_collapse() -> None:
    z = normalize(torch.randn(4000, 64, generator=torch.Generator().manual_seed(0)), dim=1)
    for z_now, expected in ((z, 1 / 8), (z[:1].expand(4000, 64), 0.0)):
        side = Side(z=z_now, p=z_now)
        out = SimSiam(dim=64).loss(EdgeInput((side, side), index=torch.arange(4000), present=everyone(4000)))
        assert out.log["spread"].item() == pytest.approx(expected, abs=1e-3)


def all_objectives() -> list:
    return [
        pytest.param(CMC(negatives=11, temperature=0.2, dim=DIM), id="CMC"),
        pytest.param(CMC(negatives=11, temperature=0.2, dim=DIM, variant="softmax"), id="CMC-softmax"),
        pytest.param(MoCo(queue=9, temperature=0.2, dim=DIM), id="MoCo"),
        pytest.param(SimCLR(temperature=0.2, dim=DIM), id="SimCLR"),
        pytest.param(SimCLR(temperature=0.2, dim=DIM, negatives="cross"), id="SimCLR-cross"),
        pytest.param(SimSiam(dim=DIM), id="SimSiam"),
    ]


def full_input(rows: torch.Tensor, agreement: float) -> EdgeInput:
    """Two views of the samples `rows`, the second the first plus noise that falls with `agreement`."""
    first = unit(SAMPLES, 1).detach()
    second = normalize(agreement * first + (1 - agreement) * unit(SAMPLES, 2).detach(), dim=1)
    banks = bank(3), bank(4)
    sides = []
    for z, other in ((first, banks[0]), (second, banks[1])):
        queue = KeyQueue(9, DIM).double()
        queue.update(unit(9, 7).detach(), torch.arange(100, 109))
        other.rows.copy_(z)
        sides.append((z, other, queue))

    def side(number: int, objective_memory: str) -> Side:
        z, rows_bank, queue = sides[number]
        chosen = queue if objective_memory == "MoCo" else rows_bank
        return Side(z=z[rows], p=z[rows], key=z[rows], memory=chosen)

    return EdgeInput(
        (side(0, full_input.kind), side(1, full_input.kind)),
        index=rows,
        present=everyone(len(rows)),
        state={"log_z": torch.tensor([3.0, 3.0], dtype=torch.float64)},
        generator=torch.Generator().manual_seed(9),
    )


full_input.kind = ""


@pytest.mark.parametrize("objective", all_objectives())
def test_agreement_is_better(objective) -> None:
    full_input.kind = objective.name
    rows = torch.arange(8)
    losses = [objective.loss(full_input(rows, agreement)).loss.item() for agreement in (0.0, 0.5, 1.0)]
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("objective", [o for o in all_objectives() if o.id not in ("CMC", "CMC-softmax")])
def test_the_order_of_the_batch_means_nothing(objective) -> None:
    """CMC draws its negatives by position and is left out here; its draw is tested above."""
    full_input.kind = objective.name
    rows = torch.arange(8)
    turned = rows[torch.randperm(8, generator=torch.Generator().manual_seed(0))]
    a, b = (objective.loss(full_input(r, 0.5)).loss.item() for r in (rows, turned))
    assert a == pytest.approx(b, rel=1e-5)


@pytest.mark.parametrize("objective", all_objectives())
def test_no_present_row_gives_a_finite_loss_without_gradient(objective) -> None:
    full_input.kind = objective.name
    edge = full_input(torch.arange(4), 0.5)
    edge.present = torch.zeros(4, dtype=torch.bool)
    for side in (edge.a, edge.b):
        side.z, side.p = side.z.requires_grad_(), side.z.detach().clone().requires_grad_()
    out = objective.loss(edge)
    assert out.loss.item() == 0
    out.loss.backward()
    for side in (edge.a, edge.b):
        for grad in (side.z.grad, side.p.grad):
            assert grad is None or (grad == 0).all()
    for value in out.state.values():
        assert torch.isfinite(value).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CMC(temperature=0), "temperature is 0"),
        (lambda: CMC(momentum=1.0), "momentum is 1.0"),
        (lambda: CMC(negatives=50).fitted(Situation(samples=50, per_rank=8)), "negatives 49 or fewer"),
        (lambda: SimCLR().fitted(Situation(samples=50, per_rank=1, ranks=4)), "--batch 8 or more"),
        (lambda: SimSiam().fitted(Situation(samples=50, per_rank=1)), "--batch 2 or more"),
        (lambda: MoCo(queue=0), "queue is 0"),
    ],
)
def test_what_cannot_work_is_said(make, words: str) -> None:
    with pytest.raises(MultiviewError, match=words):
        make()


def test_open_choices_are_settled_by_the_data() -> None:
    few, many = Situation(samples=300, per_rank=8), Situation(samples=10**6, per_rank=8)
    assert (CMC().fitted(few).negatives, CMC().fitted(many).negatives) == (299, 4096)
    assert (MoCo().fitted(few).queue, MoCo().fitted(many).queue) == (300, 65536)


def test_the_original_preset_is_the_original() -> None:
    original = CMC.original()
    assert (original.negatives, original.temperature, original.momentum, original.z, original.exclude) == (
        16384,
        0.07,
        0.5,
        "first-batch",
        False,
    )


def assert_same_gradients(ours: torch.Tensor, theirs: torch.Tensor, inputs: list[torch.Tensor]) -> None:
    found = torch.autograd.grad(ours, inputs, retain_graph=True, allow_unused=True)
    expected = torch.autograd.grad(theirs, inputs, retain_graph=True, allow_unused=True)
    for f, e in zip(found, expected, strict=True):
        zero = torch.zeros_like(inputs[0])
        assert torch.allclose(zero if f is None else f, zero if e is None else e, rtol=1e-10, atol=1e-13)
