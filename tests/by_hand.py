"""The objectives as the papers write them, in float64 and loops. Does not import `multiview`."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def dot(a: Tensor, b: Tensor) -> Tensor:
    return sum((x * y for x, y in zip(a, b, strict=True)), start=torch.zeros((), dtype=a.dtype))


def cmc_z(z: Tensor, bank: Tensor, drawn: Tensor, temperature: float) -> float:
    """Z of a batch: mean of exp(score / T) over positives and negatives, times the bank's rows."""
    terms = [
        math.exp(float(dot(z[i].detach(), bank[k])) / temperature) for i in range(len(z)) for k in drawn[i].tolist()
    ]
    return sum(terms) / len(terms) * len(bank)


def cmc_nce(
    z: Tensor, bank: Tensor, drawn: Tensor, temperature: float, z_constant: float, sizes: list[int] | None = None
) -> Tensor:
    """Binary NCE against K uniform draws (arXiv:1906.05849 Sec. 3.4, arXiv:1805.01978 Eq. 4-8).

    sizes: of how many rows each sample's noise is (None = all rows of the bank).
    """
    negatives, total = drawn.shape[1] - 1, torch.zeros((), dtype=z.dtype)
    for i in range(len(z)):
        size = sizes[i] if sizes else len(bank)
        for position, k in enumerate(drawn[i].tolist()):
            p = torch.exp(dot(z[i], bank[k]) / temperature) / z_constant
            h = p / (p + negatives / size)
            total = total - (torch.log(h) if position == 0 else torch.log(1 - h))
    return total / len(z)


def shown(
    z: Tensor, bank: Tensor, index: Tensor, shared: Tensor, temperature: float, exclude: bool
) -> list[list[Tensor]]:
    """e^s of every sample's positive and of the shared negatives that it sees."""
    found = []
    for i, own in enumerate(index.tolist()):
        rows = [own, *(k for k in shared.tolist() if not (exclude and k == own))]
        found.append([torch.exp(dot(z[i], bank[k]) / temperature) for k in rows])
    return found


def cmc_shared_nce(scores: list[list[Tensor]], negatives: int, size: int, z_constant: float) -> Tensor:
    """Binary NCE with K negatives for all samples; an excluded negative adds nothing."""
    total = torch.zeros((), dtype=scores[0][0].dtype)
    for row in scores:
        h = [e / z_constant / (e / z_constant + negatives / size) for e in row]
        total = total - torch.log(h[0]) - sum(torch.log(1 - x) for x in h[1:])
    return total / len(scores)


def cmc_shared_softmax(scores: list[list[Tensor]]) -> Tensor:
    return -sum(torch.log(row[0] / sum(row)) for row in scores) / len(scores)


def cmc_softmax(z: Tensor, bank: Tensor, drawn: Tensor, temperature: float) -> Tensor:
    total = torch.zeros((), dtype=z.dtype)
    for i in range(len(z)):
        scores = [torch.exp(dot(z[i], bank[k]) / temperature) for k in drawn[i].tolist()]
        total = total - torch.log(scores[0] / sum(scores))
    return total / len(z)


def counter_word(key: int, sample: int, slot: int) -> int:
    """64 random bits of a sample's slot: SplitMix64 with a counter, in whole numbers."""
    golden, below = 0x9E3779B97F4A7C15, (1 << 64) - 1

    def mixed(z: int) -> int:
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & below
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & below
        return z ^ (z >> 31)

    return mixed((mixed((key + mixed(sample * golden & below)) & below) + (slot + 1) * golden) & below)


def counter_draw(key: int, sample: int, negatives: int, size: int, exclude: bool) -> list[int]:
    """Rows of a whole bank for one sample: each word u gives floor(u M / 2^64) of the M others."""
    found = [counter_word(key, sample, k) * (size - exclude) >> 64 for k in range(negatives)]
    return [row + (exclude and row >= sample) for row in found]


def split_draw(key: int, sample: int, negatives: int, size: int, exclude: bool) -> list[int]:
    """Rows of a split bank for one sample: slot k takes one of the samples k, k + 64, k + 128."""
    found = []
    for k in range(negatives):
        stratum = [i for i in range(k % 64, size, 64) if not (exclude and i == sample)]
        found.append(stratum[counter_word(key, sample, k) * len(stratum) >> 64])
    return found


def bank_update(bank: Tensor, z: Tensor, index: Tensor, momentum: float) -> Tensor:
    out = bank.clone()
    for row, i in zip(z, index.tolist(), strict=True):
        mixed = momentum * bank[i] + (1 - momentum) * row
        out[i] = mixed / math.sqrt(float(dot(mixed, mixed)))
    return out


def apart(i: int, k: int, groups: list[int] | None) -> bool:
    """Whether sample k may be a negative of sample i."""
    return groups is None or groups[i] != groups[k]


def nt_xent(za: Tensor, zb: Tensor, temperature: float, groups: list[int] | None = None) -> Tensor:
    """arXiv:2002.05709 Eq. 1 and Algorithm 1. groups: pairs of one group are no negatives."""
    n = len(za)
    everyone = [*za, *zb]
    total = torch.zeros((), dtype=za.dtype)
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        others = [
            torch.exp(dot(everyone[i], everyone[k]) / temperature)
            for k in range(2 * n)
            if k == partner or (k != i and apart(i % n, k % n, groups))
        ]
        total = total - torch.log(torch.exp(dot(everyone[i], everyone[partner]) / temperature) / sum(others))
    return total / (2 * n)


def info_nce(za: Tensor, zb: Tensor, temperature: float, groups: list[int] | None = None) -> Tensor:
    """Mean of both directions' cross entropy over the other view's samples (arXiv:2103.00020)."""
    total = torch.zeros((), dtype=za.dtype)
    for queries, keys in ((za, zb), (zb, za)):
        for i in range(len(za)):
            scores = [torch.exp(dot(queries[i], k) / temperature) for k in keys]
            shown = [score for k, score in enumerate(scores) if k == i or apart(i, k, groups)]
            total = total - torch.log(scores[i] / sum(shown))
    return total / (2 * len(za))


def weighted(
    positive: Tensor, negatives: list[Tensor], t: Tensor | float, decoupled: bool, beta: float, tau_plus: float
) -> Tensor:
    """-log of the positive's share: arXiv:2110.06848 Eq. 6, 2010.04592 Eq. 4, 2007.00224 Eq. 8."""
    if not negatives:
        return positive * 0
    count, own = len(negatives), torch.exp(positive / t)
    mean = sum(torch.exp(beta * s / t) for s in negatives) / count
    total = sum(torch.exp(beta * s / t) / mean * torch.exp(s / t) for s in negatives)
    lowest = count * torch.exp(torch.ones_like(own) * -1 / t)
    total = torch.maximum((total - tau_plus * count * own) / (1 - tau_plus), lowest)
    return -torch.log(own / (total if decoupled else own + total))


def nt_xent_weighted(
    za: Tensor, zb: Tensor, t: Tensor | float, *weighting: float, groups: list[int] | None = None
) -> Tensor:
    """`nt_xent` with the negatives weighted."""
    n, everyone = len(za), [*za, *zb]
    total = torch.zeros((), dtype=za.dtype)
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        others = [k for k in range(2 * n) if k not in (i, partner) and apart(i % n, k % n, groups)]
        negatives = [dot(everyone[i], everyone[k]) for k in others]
        total = total + weighted(dot(everyone[i], everyone[partner]), negatives, t, *weighting)
    return total / (2 * n)


def info_nce_weighted(
    za: Tensor, zb: Tensor, t: Tensor | float, *weighting: float, groups: list[int] | None = None
) -> Tensor:
    """`info_nce` with the negatives weighted."""
    total = torch.zeros((), dtype=za.dtype)
    for queries, keys in ((za, zb), (zb, za)):
        for i in range(len(za)):
            negatives = [dot(queries[i], k) for j, k in enumerate(keys) if j != i and apart(i, j, groups)]
            total = total + weighted(dot(queries[i], keys[i]), negatives, t, *weighting)
    return total / (2 * len(za))


def moco_weighted(q: Tensor, k: Tensor, queue: Tensor, t: float, *weighting: float) -> Tensor:
    """`moco` with the negatives weighted, against all keys of a queue."""
    terms = [weighted(dot(x, y), [dot(x, key) for key in queue], t, *weighting) for x, y in zip(q, k, strict=True)]
    return sum(terms) / len(q)


def cmc_weighted(z: Tensor, bank: Tensor, drawn: Tensor, t: float, *weighting: float) -> Tensor:
    """`cmc_softmax` with the negatives weighted."""
    scores = [[dot(z[i], bank[k]) for k in drawn[i].tolist()] for i in range(len(z))]
    return sum(weighted(row[0], row[1:], t, *weighting) for row in scores) / len(z)


def moco(q: Tensor, k: Tensor, queue: list[tuple[int, Tensor]], ids: list[int] | None, temperature: float) -> Tensor:
    """arXiv:1911.05722 Eq. 1. queue: (sample, key) pairs. ids: leave out own older keys."""
    total = torch.zeros((), dtype=q.dtype)
    for i in range(len(q)):
        positive = torch.exp(dot(q[i], k[i]) / temperature)
        shown = [key for sample, key in queue if ids is None or sample != ids[i]]
        negatives = sum(
            (torch.exp(dot(q[i], key) / temperature) for key in shown), start=torch.zeros((), dtype=q.dtype)
        )
        total = total - torch.log(positive / (positive + negatives))
    return total / len(q)


def simsiam(pa: Tensor, za: Tensor, pb: Tensor, zb: Tensor) -> Tensor:
    """arXiv:2011.10566 Eq. 1-4, with the stop-gradient."""
    total = torch.zeros((), dtype=pa.dtype)
    for p, z in ((pa, zb.detach()), (pb, za.detach())):
        for i in range(len(p)):
            cosine = dot(p[i], z[i]) / torch.sqrt(dot(p[i], p[i])) / math.sqrt(float(dot(z[i], z[i])))
            total = total - cosine / 2
    return total / len(pa)


def cmc_original(
    light: Tensor, ab: Tensor, memories: list[Tensor], y: Tensor, idx: Tensor, constants: list[float | None]
) -> tuple[Tensor, list[Tensor], list[float]]:
    """One step of the original code (NCEAverage, NCECriterion) with its defaults; idx: negatives.

    Returns the loss of both directions, both memories after the step, and both values of Z, which
    the first step sets from its mean.
    """
    temperature, momentum, rows, negatives = 0.07, 0.5, len(memories[0]), idx.shape[1] - 1
    loss, kept = torch.zeros((), dtype=light.dtype), []
    for feature, memory, constant in ((light, memories[1], constants[0]), (ab, memories[0], constants[1])):
        scores = [
            [torch.exp(dot(feature[i], memory[k]) / temperature) for k in idx[i].tolist()] for i in range(len(feature))
        ]
        total = sum(float(s.detach()) for row in scores for s in row)
        z = constant if constant is not None else total / idx.numel() * rows
        for row in scores:
            p = [s / z for s in row]
            loss = loss - torch.log(p[0] / (p[0] + negatives / rows)) / len(feature)
            for noise in p[1:]:
                loss = loss - torch.log((negatives / rows) / (noise + negatives / rows)) / len(feature)
        kept.append(z)
    after = [bank_update(memory, x.detach(), y, momentum) for memory, x in zip(memories, (light, ab), strict=True)]
    return loss, after, kept


def siglip(za: Tensor, zb: Tensor, t: Tensor, bias: Tensor, groups: list[int] | None = None) -> Tensor:
    """arXiv:2303.15343, Sec. 3.2: every pair is a binary question; t is the inverse temperature."""
    total = torch.zeros((), dtype=za.dtype)
    for i in range(len(za)):
        for j in range(len(zb)):
            if i != j and not apart(i, j, groups):
                continue
            sign = 1 if i == j else -1
            total = total - torch.log(1 / (1 + torch.exp(-sign * (t * dot(za[i], zb[j]) + bias))))
    return total / len(za)


def byol(pa: Tensor, ka: Tensor, pb: Tensor, kb: Tensor) -> Tensor:
    """arXiv:2006.07733 Eq. 2, both ways: the squared distance of what is normalised."""
    total = torch.zeros((), dtype=pa.dtype)
    for p, k in ((pa, kb), (pb, ka)):
        for x, y in zip(p, k, strict=True):
            unit_x, unit_y = x / torch.sqrt(dot(x, x)), y / torch.sqrt(dot(y, y))
            total = total + dot(unit_x - unit_y, unit_x - unit_y)
    return total / len(pa)


def byol_momentum(base: float, step: int, steps: int) -> float:
    """arXiv:2006.07733, Sec. 3.2."""
    return 1 - (1 - base) * (math.cos(math.pi * step / steps) + 1) / 2


def vicreg(za: Tensor, zb: Tensor, invariance: float, variance: float, covariance: float) -> Tensor:
    """arXiv:2105.04906, Algorithm 1."""
    n, d = za.shape
    loss = invariance * sum(dot(x - y, x - y) for x, y in zip(za, zb, strict=True)) / (n * d)
    for z in (za, zb):
        means = [sum(z[i, j] for i in range(n)) / n for j in range(d)]
        for j in range(d):
            for k in range(d):
                cov = sum((z[i, j] - means[j]) * (z[i, k] - means[k]) for i in range(n)) / (n - 1)
                hinge = torch.clamp(1 - torch.sqrt(cov + 1e-4), min=0)
                loss = loss + (variance * hinge if j == k else covariance * cov**2) / d
    return loss


def barlow_twins(za: Tensor, zb: Tensor, redundancy: float) -> Tensor:
    """arXiv:2103.03230 Eq. 1 and 2, with the authors' 1e-5 under each root."""
    n, d = za.shape
    columns = []
    for z in (za, zb):
        centred = [z[:, j] - sum(z[:, j]) / n for j in range(d)]
        columns.append([c / torch.sqrt(dot(c, c) / n + 1e-5) for c in centred])
    loss = torch.zeros((), dtype=za.dtype)
    for i in range(d):
        for j in range(d):
            c = dot(columns[0][i], columns[1][j]) / n
            loss = loss + ((1 - c) ** 2 if i == j else redundancy * c**2)
    return loss


def supcon(za: Tensor, zb: Tensor, labels: list[int], t: Tensor | float, groups: list[int] | None = None) -> Tensor:
    """arXiv:2004.11362 Eq. 2 (L_out); a sample without a label (-1) has its partner alone.

    groups: a sample of the own group stays a positive, and is no negative.
    """
    n, everyone = len(za), [*za, *zb]
    total = torch.zeros((), dtype=za.dtype)
    for i in range(2 * n):
        others = [k for k in range(2 * n) if k != i]
        same = [k for k in others if k % n == i % n or labels[k % n] == labels[i % n] >= 0]
        shown = [k for k in others if k in same or apart(i % n, k % n, groups)]
        whole = sum(torch.exp(dot(everyone[i], everyone[k]) / t) for k in shown)
        logs = [torch.log(torch.exp(dot(everyone[i], everyone[p]) / t) / whole) for p in same]
        total = total - sum(logs) / len(same)
    return total / (2 * n)


def supcon_cross(
    za: Tensor, zb: Tensor, labels: list[int], t: Tensor | float, groups: list[int] | None = None
) -> Tensor:
    """`supcon` against the other view only."""
    n, total = len(za), torch.zeros((), dtype=za.dtype)
    for queries, keys in ((za, zb), (zb, za)):
        for i in range(n):
            same = [k for k in range(n) if k == i or labels[k] == labels[i] >= 0]
            shown = [k for k in range(n) if k in same or apart(i, k, groups)]
            whole = sum(torch.exp(dot(queries[i], keys[k]) / t) for k in shown)
            logs = [torch.log(torch.exp(dot(queries[i], keys[p]) / t) / whole) for p in same]
            total = total - sum(logs) / len(same)
    return total / (2 * n)


def nnclr(
    za: Tensor,
    pa: Tensor,
    zb: Tensor,
    pb: Tensor,
    queues: list[Tensor],
    t: float,
    groups: list[int] | None = None,
) -> Tensor:
    """arXiv:2104.14548 Eq. 2 and 4, both ways: neighbours of one view, predictions of the other."""
    total = torch.zeros((), dtype=pa.dtype)
    for z, p, queue in ((za, pb, queues[0]), (zb, pa, queues[1])):
        for i in range(len(z)):
            near = max(queue, key=lambda row, of=z[i]: float(dot(of.detach(), row)))
            scores = [torch.exp(dot(near, other) / t) for other in p]
            shown = [score for k, score in enumerate(scores) if k == i or apart(i, k, groups)]
            total = total - torch.log(scores[i] / sum(shown))
    return total / (2 * len(pa))


def matryoshka(za: Tensor, zb: Tensor, widths: tuple[int, ...], t: float) -> Tensor:
    """arXiv:2205.13147 Eq. 1 with `nt_xent`: the mean over prefixes, each of length 1 again."""
    total = nt_xent(za, zb, t)  # the whole width, of length 1 already
    for width in widths[:-1]:
        a, b = (torch.stack([row[:width] / torch.sqrt(dot(row[:width], row[:width])) for row in z]) for z in (za, zb))
        total = total + nt_xent(a, b, t)
    return total / len(widths)
