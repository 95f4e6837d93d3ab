"""The tasks that are compared with a reference, with their target ratios.

The tensors of a task are made when its function is called.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal

import _floors
import _seeds
import torch
from _measure import Work
from torch import Tensor
from torch.nn.functional import normalize

from multiview import make_encoder
from multiview.memory.bank import MemoryBank
from multiview.memory.key_encoder import KeyEncoder
from multiview.memory.queue import KeyQueue
from multiview.objectives import CMC, EdgeInput, MoCo, Side, SimCLR
from multiview.objectives.base import Keys

DIM = 128

Loss = Callable[[Tensor, Tensor], Tensor]


def unit(rows: int) -> Tensor:
    """Random embeddings with gradient."""
    return normalize(torch.randn(rows, DIM), dim=1).requires_grad_()


def backward(loss: Loss, a: Tensor, b: Tensor) -> None:
    loss(a, b).backward()


def cmc_shared(draw: Literal["step", "all"], rows: int, batch: int = 128, negatives: int = 4096) -> Work:
    """Softmax CMC with negatives for all samples at once, against a draw for each sample."""
    generator = torch.Generator().manual_seed(0)
    banks = [MemoryBank(rows, DIM, 0.5, generator) for _ in range(2)]
    z, present, index = (unit(batch), unit(batch)), torch.ones(batch, dtype=torch.bool), torch.randperm(rows)[:batch]

    def step(objective: CMC) -> None:
        sides = [Side(z=x, memory=bank) for x, bank in zip(z, banks, strict=True)]
        objective.loss(EdgeInput(tuple(sides), index=index, present=present, generator=generator)).loss.backward()

    made = CMC(variant="softmax", draw=draw, negatives=negatives if draw == "step" else None)
    columns = negatives if draw == "step" else rows
    once = _floors.products(batch, columns, DIM)
    return Work(
        name=f"CMC draw={draw}, B {batch}, N {rows:,}, K {columns:,}, against draw=sample",
        ours=partial(step, made),
        reference=partial(step, CMC(variant="softmax", negatives=min(negatives, rows - 1))),
        peers={},
        floor=lambda: (once(), once()),
        repeats=7,
    )


def cmc(negatives: int, batch: int = 128, rows: int = 100_000) -> Work:
    """One CMC step: draws, both directions, backward, update of both banks."""
    generator = torch.Generator().manual_seed(0)
    banks = [MemoryBank(rows, DIM, 0.5, generator) for _ in range(2)]
    theirs = _seeds.CmcMemory(rows, DIM, negatives)
    z, objective = (unit(batch), unit(batch)), CMC(negatives=negatives)
    state = {"log_z": torch.log(torch.full((2,), 2.2 * rows))}
    present, index = torch.ones(batch, dtype=torch.bool), torch.randperm(rows)[:batch]

    def ours() -> None:
        sides = [Side(z=x, memory=bank) for x, bank in zip(z, banks, strict=True)]
        edge = EdgeInput(tuple(sides), index=index, present=present, state=state, generator=generator)
        objective.loss(edge).loss.backward()
        for x, bank in zip(z, banks, strict=True):
            bank.update(x.detach(), index)

    def reference() -> None:
        theirs.step(*z, index).backward()

    name = f"CMC step, B {batch}, N {rows:,}, K {negatives:,}"
    floor = _floors.gathers(batch, negatives, rows, DIM)
    return Work(name=name, ours=ours, reference=reference, time=5, memory=25, peers={}, floor=floor, repeats=7)


def nt_xent(batch: int) -> Loss:
    """Our NT-Xent; the index and the presence of the batch are made before."""
    index, present, objective = torch.arange(batch), torch.ones(batch, dtype=torch.bool), SimCLR(temperature=0.5)
    return lambda za, zb: objective.loss(EdgeInput((Side(z=za), Side(z=zb)), index=index, present=present)).loss


def nt_xent_broadcast(batch: int) -> Work:
    """Forward and backward, against the cosine of every pair by broadcasting."""
    a, b, name = unit(batch), unit(batch), f"NT-Xent, {batch:,} samples, against the broadcast"
    peers = {peer: partial(backward, loss, a, b) for peer, loss in peers_nt_xent()}
    reference = partial(backward, _seeds.NtXent(batch), a, b)
    ours = partial(backward, nt_xent(batch), a, b)
    floor = _floors.products(2 * batch, 2 * batch, DIM)
    return Work(name=name, ours=ours, reference=reference, time=100, memory=100, peers=peers, floor=floor)


def nt_xent_plain(batch: int) -> Work:
    """Forward and backward, against one matrix product and cross entropy.

    The reference may be at most 10 % faster.
    """
    a, b, name = unit(batch), unit(batch), f"NT-Xent, {batch:,} samples, against matmul + CE"
    reference = partial(backward, partial(_seeds.matmul_cross_entropy, temperature=0.5), a, b)
    ours = partial(backward, nt_xent(batch), a, b)
    floor = _floors.products(2 * batch, 2 * batch, DIM)
    return Work(name=name, ours=ours, reference=reference, time=1 / 1.1, peers={}, floor=floor, repeats=41)


def peers_nt_xent() -> Iterator[tuple[str, Loss]]:
    """The same loss in the libraries that are installed."""
    try:
        from lightly.loss import NTXentLoss

        yield "lightly", NTXentLoss(temperature=0.5)
    except ImportError:
        pass
    try:
        from pytorch_metric_learning import losses

        yield "pytorch-metric-learning", losses.SelfSupervisedLoss(losses.NTXentLoss(temperature=0.5))
    except ImportError:
        pass


def moco(batch: int = 256, size: int = 65_536) -> Work:
    """One direction: loss, backward, enqueue. A sample's own older keys are no negatives."""
    queue, theirs = KeyQueue(size, DIM), _seeds.MocoQueue(size, DIM)
    queue.update(unit(size).detach(), torch.arange(size))
    q, k, index = unit(batch), unit(batch).detach(), torch.arange(batch)
    edge = EdgeInput((Side(z=q), Side(key=k, memory=queue)), index=index, present=torch.ones(batch, dtype=torch.bool))
    objective = MoCo(queue=size, symmetric=False)

    def ours() -> None:
        objective.loss(edge).loss.backward()
        queue.update(k, index)

    def reference() -> None:
        theirs.step(q, k).backward()

    name = f"MoCo loss + enqueue, B {batch}, K {size:,}"
    peers = {peer: partial(backward, loss, q, k) for peer, loss in peers_moco(size)}
    floor = _floors.products(batch, size, DIM)
    return Work(name=name, ours=ours, reference=reference, time=3, memory=50, peers=peers, floor=floor)


def peers_moco(size: int) -> Iterator[tuple[str, Loss]]:
    """The same loss with the queue of lightly, if it is installed."""
    try:
        from lightly.loss import NTXentLoss
    except ImportError:
        return
    yield "lightly", NTXentLoss(temperature=0.07, memory_bank_size=(size, DIM))


def key_encoder() -> Work:
    """A momentum update of a resnet50 and its projector, in place."""
    query, projector = make_encoder("resnet50", 3), torch.nn.Linear(2048, DIM)
    ours = KeyEncoder(query, projector, Keys(momentum=0.999))
    both = torch.nn.ModuleList([query, projector])
    theirs = copy.deepcopy(both)
    return Work(
        name="key encoder update, resnet50",
        ours=partial(ours.follow, query, projector),
        reference=partial(_seeds.follow, both, theirs, 0.999),
        time=3.5,
        memory=1,
        peers={},
        floor=_floors.lerp(query, projector),
        repeats=25,
    )
