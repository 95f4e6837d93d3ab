"""The original implementations of losses and updates, which the benchmarks compare with."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class CmcMemory:
    """CMC's NCEAverage and NCECriterion.

    Gathers (B, K + 1, D) from both memories, scores, divides by Z, then updates both memories.
    """

    def __init__(self, rows: int, dim: int, negatives: int, momentum: float = 0.5, temperature: float = 0.07) -> None:
        bound = 1 / math.sqrt(dim / 3)
        self.light, self.ab = (torch.rand(rows, dim).mul_(2 * bound).add_(-bound) for _ in range(2))
        self.negatives, self.momentum, self.temperature = negatives, momentum, temperature
        self.constants = [-1.0, -1.0]

    def step(self, light: Tensor, ab: Tensor, y: Tensor) -> Tensor:
        rows, batch = len(self.light), len(y)
        idx = torch.randint(rows, (batch * (self.negatives + 1),)).view(batch, -1)
        idx.select(1, 0).copy_(y)
        out_ab, out_l = self.scores(self.light, ab, idx), self.scores(self.ab, light, idx)
        loss = self.criterion(self.scaled(out_l, 0), rows) + self.criterion(self.scaled(out_ab, 1), rows)
        with torch.no_grad():
            self.update(self.light, light, y)
            self.update(self.ab, ab, y)
        return loss

    def scores(self, memory: Tensor, z: Tensor, idx: Tensor) -> Tensor:
        weight = torch.index_select(memory, 0, idx.view(-1)).detach().view(*idx.shape, -1)
        return torch.exp(torch.div(torch.bmm(weight, z[:, :, None]), self.temperature))

    def scaled(self, out: Tensor, side: int) -> Tensor:
        if self.constants[side] < 0:
            self.constants[side] = float(out.detach().mean() * len(self.light))
        return torch.div(out, self.constants[side]).contiguous()

    def criterion(self, x: Tensor, rows: int) -> Tensor:
        negatives, noise = x.shape[1] - 1, 1 / rows
        positive, others = x.select(1, 0), x.narrow(1, 1, negatives)
        log_d1 = torch.div(positive, positive.add(negatives * noise + 1e-7)).log()
        log_d0 = torch.div(others.clone().fill_(negatives * noise), others.add(negatives * noise + 1e-7)).log()
        return -(log_d1.sum(0) + log_d0.view(-1, 1).sum(0)) / len(x)

    def update(self, memory: Tensor, z: Tensor, y: Tensor) -> None:
        mixed = torch.index_select(memory, 0, y).mul_(self.momentum).add_(torch.mul(z, 1 - self.momentum))
        memory.index_copy_(0, y, mixed.div(mixed.pow(2).sum(1, keepdim=True).pow(0.5)))


class NtXent:
    """SimCLR's NT_Xent: the cosine of every pair, by broadcasting to (2B, 2B, D)."""

    def __init__(self, batch: int, temperature: float = 0.5) -> None:
        self.batch, self.temperature = batch, temperature
        pairs = torch.arange(2 * batch)
        self.mask = (pairs[:, None] % batch) != (pairs[None, :] % batch)
        self.criterion, self.similarity = nn.CrossEntropyLoss(reduction="sum"), nn.CosineSimilarity(dim=2)

    def __call__(self, za: Tensor, zb: Tensor) -> Tensor:
        z = torch.cat([za, zb])
        sim = self.similarity(z[:, None], z[None]) / self.temperature
        positive = torch.cat([torch.diag(sim, self.batch), torch.diag(sim, -self.batch)]).reshape(len(z), 1)
        logits = torch.cat([positive, sim[self.mask].reshape(len(z), -1)], dim=1)
        return self.criterion(logits, torch.zeros(len(z), dtype=torch.int64)) / len(z)


def matmul_cross_entropy(za: Tensor, zb: Tensor, temperature: float) -> Tensor:
    """NT-Xent as one matrix product and torch's cross entropy; memory is quadratic in the batch."""
    z = torch.cat([za, zb])
    sim = (z @ z.T / temperature).masked_fill(torch.eye(len(z), dtype=torch.bool), -math.inf)
    return nn.functional.cross_entropy(sim, torch.arange(len(z)).roll(len(za)))


class MocoQueue:
    """MoCo's logits against a clone of the (D, K) queue, and the update of the queue."""

    def __init__(self, size: int, dim: int, temperature: float = 0.07) -> None:
        self.queue, self.pointer = nn.functional.normalize(torch.randn(dim, size), dim=0), 0
        self.temperature = temperature

    def step(self, q: Tensor, k: Tensor) -> Tensor:
        positive = torch.einsum("nc,nc->n", [q, k]).unsqueeze(-1)
        negative = torch.einsum("nc,ck->nk", [q, self.queue.clone().detach()])
        logits = torch.cat([positive, negative], dim=1)
        logits /= self.temperature
        loss = nn.functional.cross_entropy(logits, torch.zeros(len(q), dtype=torch.int64))
        self.queue[:, self.pointer : self.pointer + len(k)] = k.T
        self.pointer = (self.pointer + len(k)) % self.queue.shape[1]
        return loss


def follow(query: nn.Module, key: nn.Module, momentum: float) -> None:
    """MoCo's momentum update, parameter by parameter."""
    for param_q, param_k in zip(query.parameters(), key.parameters(), strict=True):
        param_k.data = param_k.data * momentum + param_q.data * (1.0 - momentum)
