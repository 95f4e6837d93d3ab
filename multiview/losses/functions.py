"""Losses of the batch alone, as functions of embeddings. Each calls the objective of its name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from multiview import require
from multiview.counter_rng import Draws
from multiview.errors import MultiviewError
from multiview.losses.inputs import Present, full_precision_region, kept, made, masks, places, require_rows, with_extras
from multiview.objectives.barlow_twins import BarlowTwins
from multiview.objectives.base import Objective
from multiview.objectives.byol import BYOL
from multiview.objectives.edge import EdgeInput, Side
from multiview.objectives.needs import Head
from multiview.objectives.siglip import SigLIP
from multiview.objectives.simclr import SimCLR
from multiview.objectives.simsiam import SimSiam
from multiview.objectives.symile import Symile
from multiview.objectives.vicreg import VICReg
from multiview.ops.precision import full_precision
from multiview.plurals import counted

SPHERE, RAW = Head(), Head(unit=False)


def nt_xent(
    a: Tensor, b: Tensor, temperature: float | Tensor = 0.5, *, present: Present = None, **rows: Tensor
) -> Tensor:
    """NT-Xent of SimCLR (arXiv:2002.05709, Eq. 1): negatives are the other samples of both views.

    Args:
        a: (n, d) embeddings of one view, of any length.
        b: those of the other view.
        temperature: divides the cosines; a tensor is learned.
        present: which rows exist.
        rows: further numbers (n,) per row that the objective reads.

    Returns the mean over the rows of both views.
    """
    sides = _sides("nt_xent", {"a": a, "b": b}, present)
    objective = made("nt_xent", SimCLR, temperature=_fixed(temperature))
    return _of("nt_xent", objective, sides, present, rows, _learned(temperature))


def info_nce(
    a: Tensor, b: Tensor, temperature: float | Tensor = 0.07, *, present: Present = None, **rows: Tensor
) -> Tensor:
    """Symmetric InfoNCE of CLIP (arXiv:2103.00020): negatives are the other view's other samples.

    Arguments and result are those of `nt_xent`.
    """
    sides = _sides("info_nce", {"a": a, "b": b}, present)
    objective = made("info_nce", SimCLR, negatives="cross", temperature=_fixed(temperature))
    return _of("info_nce", objective, sides, present, rows, _learned(temperature))


def siglip(
    a: Tensor,
    b: Tensor,
    temperature: float | Tensor = 0.1,
    bias: float | Tensor = -10.0,
    *,
    present: Present = None,
    **rows: Tensor,
) -> Tensor:
    """The pairwise sigmoid loss of SigLIP (arXiv:2303.15343, Algorithm 1).

    Args:
        a: (n, d) embeddings of one view, of any length.
        b: those of the other view.
        temperature: divides the cosines (the paper's 1 / t); a tensor is learned.
        bias: is added to the scores; a tensor is learned. The paper starts it at -10.
        present: which rows exist.
        rows: further numbers (n,) per row that the objective reads.

    Returns:
        The mean over the rows of a.
    """
    sides = _sides("siglip", {"a": a, "b": b}, present)
    if not isinstance(temperature, Tensor):
        require.positive("siglip", temperature=temperature)
    scalars = {**_learned(_number(temperature, a)), "bias": _number(bias, a)}
    return _of("siglip", SigLIP(), sides, present, rows, scalars)


def symile(
    *views: Tensor,
    temperature: float | Tensor = 0.1,
    seed: int | None = None,
    present: Present = None,
    **rows: Tensor,
) -> Tensor:
    """Symile (arXiv:2411.01053): three views or more, contrasted together.

    Args:
        views: (n, d) embeddings per view, of any length.
        temperature: divides the products; a tensor is learned.
        seed: of the random orders that mix the negatives. Give another number at every step, the
            same in every process (None = a number from torch's generator).
        present: which rows exist.
        rows: further numbers (n,) per row that the objective reads.

    Returns:
        The mean over rows and over the views as anchor.
    """
    if len(views) < 3:
        raise MultiviewError(f"symile: {counted(len(views), 'view')} given; give embeddings of three views or more.")
    sides = _sides("symile", {f"view {number}": x for number, x in enumerate(views, 1)}, present)
    objective = made("symile", Symile, learn_temperature=False, temperature=_fixed(temperature))
    drawn = int(torch.randint(2**62, ())) if seed is None else seed
    draws = Draws(drawn, 0, places(views[0]).cpu().numpy(), "symile")
    return _of("symile", objective, sides, present, rows, _learned(temperature), draws)


def vicreg(
    a: Tensor,
    b: Tensor,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
    *,
    present: Present = None,
    **rows: Tensor,
) -> Tensor:
    """VICReg (arXiv:2105.04906, Algorithm 1): views agree, dimensions spread and do not correlate.

    a, b: (n, d) embeddings, which are not normalised. The other numbers weigh the three terms.
    """
    objective = made("vicreg", VICReg, invariance=invariance, variance=variance, covariance=covariance)
    return _of("vicreg", objective, _sides("vicreg", {"a": a, "b": b}, present, RAW), present, rows)


def barlow_twins(a: Tensor, b: Tensor, redundancy: float = 0.005, *, present: Present = None, **rows: Tensor) -> Tensor:
    """Barlow Twins (arXiv:2103.03230, Eq. 1): the views' cross-correlation is the identity matrix.

    a, b: (n, d) embeddings, which are not normalised. redundancy: lambda, the weight of the
    correlations between different dimensions.
    """
    objective = made("barlow_twins", BarlowTwins, redundancy=redundancy)
    return _of("barlow_twins", objective, _sides("barlow_twins", {"a": a, "b": b}, present, RAW), present, rows)


def simsiam(p_a: Tensor, p_b: Tensor, z_a: Tensor, z_b: Tensor, *, present: Present = None, **rows: Tensor) -> Tensor:
    """SimSiam (arXiv:2011.10566, Eq. 4): each prediction meets the other view's embedding.

    p_a, p_b: (n, d) predictions. z_a, z_b: (n, d) embeddings, whose gradient is stopped here. All
    of any length. The loss is in [-1, 1].
    """
    require_rows("simsiam", {"p_a": p_a, "p_b": p_b, "z_a": z_a, "z_b": z_b})
    p = _sides("simsiam", {"p_a": p_a, "p_b": p_b}, present)
    z = _sides("simsiam", {"z_a": z_a, "z_b": z_b}, present)
    sides = [Side(z=of_z.z, p=of_p.z) for of_z, of_p in zip(z, p, strict=True)]
    return _of("simsiam", SimSiam(), sides, present, rows)


def byol(p_a: Tensor, p_b: Tensor, k_a: Tensor, k_b: Tensor, *, present: Present = None, **rows: Tensor) -> Tensor:
    """BYOL (arXiv:2006.07733, Eq. 2, both ways): each prediction meets the other view's key.

    p_a, p_b: (n, d) predictions. k_a, k_b: (n, d) embeddings of the key encoder, which get no
    gradient (`KeyEncoder`). All of any length. The loss is in [0, 8].
    """
    require_rows("byol", {"p_a": p_a, "p_b": p_b, "k_a": k_a, "k_b": k_b})
    p = _sides("byol", {"p_a": p_a, "p_b": p_b}, present)
    keys = _sides("byol", {"k_a": k_a.detach(), "k_b": k_b.detach()}, present)
    sides = [Side(p=of_p.z, key=of_key.z) for of_p, of_key in zip(p, keys, strict=True)]
    return _of("byol", BYOL(), sides, present, rows)


def _fixed(temperature: float | Tensor) -> float:
    """The option of the objective; a tensor takes its place (`_learned`)."""
    return 1.0 if isinstance(temperature, Tensor) else temperature


def _learned(temperature: float | Tensor) -> dict[str, Tensor]:
    """What an edge learns when the temperature is a tensor."""
    return {"log_temperature": temperature.log()} if isinstance(temperature, Tensor) else {}


def _number(value: float | Tensor, like: Tensor) -> Tensor:
    """A scalar tensor on the device of the rows, in the precision of the loss."""
    if isinstance(value, Tensor):
        return value
    return torch.tensor(value, dtype=full_precision(like[:0]).dtype, device=like.device)


def _sides(owner: str, views: Mapping[str, Tensor], present: Present, head: Head = SPHERE) -> list[Side]:
    """The rows of each view. views: by their names in messages."""
    like = require_rows(owner, views)
    here = masks(owner, present, len(views), like)
    return [Side(z=kept(x, mask, head)) for x, mask in zip(views.values(), here, strict=True)]


def _options(owner: str) -> list[str]:
    """The keywords of a function of this file that have a default, such as `temperature`."""
    parameters = inspect.signature(globals()[owner]).parameters.values()
    return [each.name for each in parameters if each.default is not each.empty]


def _of(
    owner: str,
    objective: Objective,
    sides: Sequence[Side],
    present: Present,
    rows: Mapping[str, Tensor],
    scalars: Mapping[str, Tensor] | None = None,
    draws: Draws | None = None,
) -> Tensor:
    """The objective's loss of these sides."""
    like = next(x for x in (sides[0].z, sides[0].p) if x is not None)
    here = torch.stack(masks(owner, present, len(sides), like)).all(0)
    edge = EdgeInput(tuple(sides), places(like), here, scalars=scalars or {}, draws=draws)
    with full_precision_region(like):
        return objective.scored(with_extras(owner, edge, rows, _options(owner) if rows else ())).loss
