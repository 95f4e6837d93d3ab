"""NT-Xent and InfoNCE, chunked or not, equal the dense form with autograd in float64."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch.nn.functional import normalize

from multiview.memory.queue import KeyQueue
from multiview.ops import ntxent, queue_loss
from multiview.ops.ntxent import Terms, info_nce_one_way, nt_xent
from multiview.ops.queue_loss import info_nce
from multiview.ops.softmax import softmax_of

DIM = 8


def unit(rows: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    z = torch.randn(rows, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return normalize(z, dim=1).to(dtype).requires_grad_()


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


def dense(scores: torch.Tensor, positives: torch.Tensor) -> Terms:
    """Cross entropy of whole rows of scores."""
    own = scores.gather(1, positives[:, None])
    return Terms(F.cross_entropy(scores, positives, reduction="none"), (scores <= own).all(1).to(scores.dtype))


def dense_ntxent(a, b, all_a, all_b, columns, offset, temperature) -> Terms:
    """Rows of a then b among all of both views."""
    m, n = len(all_a), len(a)
    scores = torch.cat([a, b]) @ torch.cat([all_a, all_b]).T / temperature
    own = torch.arange(offset, offset + n)
    itself, positives = torch.cat([own, own + m]), torch.cat([own + m, own])
    hidden = (~columns).repeat(2).expand(2 * n, -1).clone()
    hidden[torch.arange(2 * n), positives] = False
    hidden[torch.arange(2 * n), itself] = True
    return dense(scores.masked_fill(hidden, -math.inf), positives)


def dense_cross(z, other, columns, offset, temperature) -> Terms:
    positives = torch.arange(offset, offset + len(z))
    hidden = (~columns).expand(len(z), -1).clone()
    hidden[torch.arange(len(z)), positives] = False
    return dense((z @ other.T / temperature).masked_fill(hidden, -math.inf), positives)


def assert_equal(found: Terms, expected: Terms, inputs: list[torch.Tensor], tolerance: float = 1e-12) -> None:
    """Compares loss, found and the gradient of each input; the rows have different weights."""
    weights = torch.linspace(0.5, 1.5, len(found.loss), dtype=found.loss.dtype)
    assert torch.allclose(found.loss, expected.loss, rtol=tolerance, atol=tolerance)
    assert torch.equal(found.found, expected.found)
    gradients = [torch.autograd.grad((t.loss * weights).sum(), inputs, retain_graph=True) for t in (found, expected)]
    for ours, theirs in zip(*gradients, strict=True):
        assert torch.allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.fixture(params=["whole", "chunks"])
def chunks(request, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "chunks":
        monkeypatch.setattr(ntxent, "HELD_FLOATS", 3 * 18)
        monkeypatch.setattr(queue_loss, "HELD_FLOATS", 5 * 7)


COLUMNS = {"all": [True] * 9, "some": [True, False, True, True, False, True, True, True, False]}


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_ntxent_equals_the_dense_form(chunks: None, rows: int, columns: str) -> None:
    """As one of several ranks: `rows` local rows among nine, from the second on. All are leaves."""
    inputs = [unit(rows, 1), unit(rows, 2), unit(9, 3), unit(9, 4)]
    temperature = number(0.3)
    rest = torch.tensor(COLUMNS[columns]), 1, temperature
    assert_equal(nt_xent(*inputs, *rest), dense_ntxent(*inputs, *rest), [*inputs, temperature])


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("columns", [None, *COLUMNS])
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_a_batch_that_is_whole_here_equals_the_dense_form(
    chunks: None, rows: int, columns: str | None, learned: bool
) -> None:
    """One process; where the scores are not held, in chunks of rows."""
    a, b, temperature = unit(rows, 1), unit(rows, 2), number(0.3) if learned else 0.3
    seen = None if columns is None else torch.tensor(COLUMNS[columns][:rows])
    everything = torch.ones(rows, dtype=torch.bool) if seen is None else seen
    found = nt_xent(a, b, a, b, seen, 0, temperature)
    leaves = [a, b, temperature] if isinstance(temperature, torch.Tensor) else [a, b]
    assert_equal(found, dense_ntxent(a, b, a, b, everything, 0, temperature), leaves)


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_cross_view_negatives_equal_the_dense_form(chunks: None, rows: int, columns: str) -> None:
    inputs, temperature = [unit(rows, 1), unit(9, 3)], number(0.3)
    rest = torch.tensor(COLUMNS[columns]), 2, temperature
    assert_equal(info_nce_one_way(*inputs, *rest), dense_cross(*inputs, *rest), [*inputs, temperature])


def test_gradcheck_of_both(chunks: None) -> None:
    columns = torch.tensor([True, False, True, True])
    leaves = unit(2, 1), unit(2, 2), unit(4, 3), unit(4, 4), number(0.3)
    assert torch.autograd.gradcheck(lambda a, b, c, d, t: nt_xent(a, b, c, d, columns, 1, t).loss, leaves)
    assert torch.autograd.gradcheck(
        lambda a, d, t: info_nce_one_way(a, d, columns, 1, t).loss, [leaves[i] for i in (0, 3, 4)]
    )


def test_chunks_are_as_accurate_as_the_dense_form_in_float32() -> None:
    """1,536 samples: 9 million scores are more than are held."""
    generator = torch.Generator().manual_seed(0)
    a, b = (normalize(torch.randn(1536, 32, generator=generator), dim=1) for _ in range(2))
    assert len(a) * 2 * len(b) * 2 > ntxent.HELD_FLOATS
    results = []
    for form, dtype in ((dense_ntxent, torch.float64), (dense_ntxent, torch.float32), (nt_xent, torch.float32)):
        x, y = (z.to(dtype).requires_grad_() for z in (a, b))
        terms = form(x, y, x, y, torch.ones(1536, dtype=torch.bool), 0, 0.07).loss
        results.append((terms.detach().double(), torch.autograd.grad(terms.mean(), x)[0].double()))
    for exact, plain, ours in zip(*results, strict=True):
        assert (ours - exact).norm() <= 1.05 * (plain - exact).norm()  # rounding either way


@pytest.mark.parametrize("temperature", [1e-3, 0.07, 10.0])
def test_no_temperature_overflows(temperature: float) -> None:
    """Cosines of 1 and -1 over 1e-3 are 2,000 apart."""
    results = []
    for dtype in (torch.float64, torch.float32):
        a, b = unit(5, 1, dtype), unit(5, 2, dtype)
        x, y = torch.cat([a, -b]), torch.cat([b, -b])
        terms = nt_xent(x, y, x, y, torch.ones(10, dtype=torch.bool), 0, temperature).loss
        results.append([terms.detach().double(), *(g.double() for g in torch.autograd.grad(terms.sum(), [a, b]))])
    for exact, found in zip(*results, strict=True):
        assert torch.isfinite(found).all()
        assert torch.allclose(found, exact, rtol=1e-3, atol=1e-3 * float(exact.abs().max()))


def filled(keys: int, ids: list[int], size: int = 20) -> KeyQueue:
    queue = KeyQueue(size, DIM).double()
    queue.update(unit(keys, 7).detach(), torch.tensor(ids))
    return queue


def held(queue: KeyQueue) -> tuple[torch.Tensor, torch.Tensor]:
    """The keys of a queue and their samples."""
    return queue.filled_keys(), queue.filled_ids()


def dense_queue(q, k, keys, samples, own, temperature) -> Terms:
    scores = torch.cat([(q * k).sum(1, keepdim=True), q @ keys.T], dim=1) / temperature
    if own is not None:
        scores[:, 1:] = scores[:, 1:].masked_fill(samples == own[:, None], -math.inf)
    return dense(scores, torch.zeros(len(q), dtype=torch.int64))


@pytest.mark.parametrize("exclude", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_the_queue_equals_the_dense_form(chunks: None, rows: int, exclude: bool) -> None:
    """The queue holds a query's id twice, once or never; queries 0 and 5 are the same sample."""
    queue = filled(13, [4, 9, 4, 30, 31, 2, 32, 33, 9, 34, 35, 36, 2])
    q, k, temperature = unit(rows, 1), unit(rows, 2).detach(), number(0.3)
    ids = torch.tensor([4, 9, 77, 2, 5, 4, 6])[:rows] if exclude else None
    args = q, k, *held(queue), ids, temperature
    assert_equal(info_nce(*args), dense_queue(*args), [q, temperature])
    assert torch.autograd.gradcheck(lambda q, t: info_nce(q, k, *held(queue), ids, t).loss, (q, temperature))


def test_a_queue_of_nothing_but_the_samples_own_keys_has_no_loss(chunks: None) -> None:
    q, k = unit(4, 1), unit(4, 2).detach()
    for queue in (filled(9, [3] * 9), KeyQueue(9, DIM).double()):
        found = info_nce(q, k, *held(queue), torch.tensor([3, 3, 3, 3]), 1e-3)
        assert found.loss.abs().max() == 0
        assert torch.autograd.grad(found.loss.sum(), q)[0].abs().max() < 1e-12


def test_the_queue_may_move_before_the_backward_pass() -> None:
    queue, q, k = filled(13, list(range(13)), size=13), unit(4, 1), unit(4, 2).detach()
    found = info_nce(q, k, *held(queue), None, 0.1)
    before = torch.autograd.grad(found.loss.sum(), q, retain_graph=True)[0]
    queue.update(unit(13, 50).detach(), torch.arange(13))
    assert torch.equal(torch.autograd.grad(found.loss.sum(), q)[0], before)


def test_log_sum_exp_is_exact_far_apart() -> None:
    scores = torch.tensor([[0.0, -2000.0, -2001.0], [1e30, -1e30, 0.0], [-math.inf, 3.0, 3.0]], dtype=torch.float64)
    share, top, excess = softmax_of(scores)
    assert torch.allclose(top + excess, torch.logsumexp(scores, dim=1), rtol=1e-15)
    assert torch.equal(share, torch.softmax(scores, dim=1))
