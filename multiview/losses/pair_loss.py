"""`PairLoss`: one edge of a contrast graph as a module, for any training loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from multiview import require
from multiview.errors import MultiviewError
from multiview.graph import ContrastGraph, needs_of_edge
from multiview.losses.inputs import (
    Present,
    full_precision_region,
    group_codes,
    kept,
    masks,
    places,
    read_rows,
    require_index,
    require_rows,
    with_extras,
)
from multiview.memory.memories import FoundKeys, Memories
from multiview.model import Embeddings, Learned, Projection, onto_sphere
from multiview.objectives.base import Objective, Situation
from multiview.objectives.needs import Head, Needs
from multiview.plurals import counted

NAMES = "abcdefghijklmnopqrstuvwxyz"
MANY = 2**62
"""Stands for the number of samples, or of rows per process, that is not known."""


class _Call(NamedTuple):
    """What one call leaves for `update`: the arguments of `Memories.update`."""

    embeddings: Embeddings
    keys: FoundKeys
    rows: Tensor
    present: dict[str, Tensor]
    states: dict[str, dict[str, Tensor]]


class PairLoss(nn.Module):
    """The loss of an objective on embeddings that your own loop computes, with all that it keeps.

    Its memory bank, queue, Z and number of steps are in `state_dict`. Its predictors and learned
    temperatures are parameters: give them to the optimiser. It has no encoder and no projector. The
    numbers equal those of `mv.fit` for one edge.

    Args:
        objective: such as `mv.CMC()`, or any installed objective.
        samples: number of samples in the training data. An objective with a memory bank needs it.
        dim: width of the embeddings (None = the objective's `dim`).
        views: number of embeddings (None = 2, or 3 for an objective such as Symile).
        groups: the group of every sample of the training data, such as its patient: samples of one
            group are never each other's negatives (None = no groups).
        shared: one predictor for all views, when one encoder makes all embeddings.
        accumulate: number of calls that one `update` may follow.
        seed: of the first bank rows and of all draws; the same in every process.

    Raises:
        MultiviewError: the objective cannot work with `samples`, `dim` or `views`.

    Example:
        >>> import torch
        >>> pair = mv.PairLoss(mv.CMC(negatives=8), samples=40, dim=16)
        >>> photo, depth = torch.randn(2, 4, 16, requires_grad=True).unbind()
        >>> loss = pair(photo, depth, torch.tensor([3, 0, 14, 7]))
        >>> loss.backward()  # then optimizer.step()
        >>> pair.update()
        >>> sorted(pair.log)
        ['positive', 'rank', 'z_drift']
    """

    def __init__(
        self,
        objective: Objective,
        *,
        samples: int | None = None,
        dim: int | None = None,
        views: int | None = None,
        groups: Tensor | Sequence[Any] | None = None,
        shared: bool = False,
        accumulate: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        require.positive("PairLoss", accumulate=accumulate)
        codes = group_codes(groups, samples)
        samples = samples if codes is None else len(codes)
        graph = _graph(objective, samples, dim, views)
        ((self.name, self.edge),) = graph.named_edges().items()
        self.needs = dict(zip(self.edge.views, needs_of_edge(self.edge), strict=True))
        self.samples, self.dim = samples, next(iter(self.needs.values())).projector.dim
        self.accumulate, self.calls = accumulate, 0
        self.memories = Memories(None, graph, samples or 0, seed, groups=codes)
        self._require_groups()
        if self.memories.encoded_banks:
            raise MultiviewError(
                f"{objective.name}: start=encoded is for mv.fit, which sees all samples before the first step; give "
                "start=random in a loop of your own."
            )
        self.learned = Learned(self.edge.objective.scalars())
        self.predictors = _predictors(self.needs, shared)
        self.log: dict[str, Tensor] = {}
        """What the objective measured at the last call, such as the share of positives found."""
        self._waiting: list[_Call] = []

    @property
    def objective(self) -> Objective:
        """The objective, with the number of negatives and the like chosen."""
        return self.edge.objective

    def forward(
        self,
        *tensors: Tensor | None,
        index: Tensor | None = None,
        keys: Sequence[Tensor | None] | None = None,
        present: Present = None,
        **rows: Tensor,
    ) -> Tensor:
        """The loss, a scalar. Call it as `pair(z_a, z_b, index)`, with as many z as views.

        In evaluation mode or without gradient a call leaves nothing for `update`.

        Args:
            tensors: (n, dim) embeddings per view, of any length, before the predictor; then,
                optionally, the index. None for a view that the objective reads only keys of.
            index: (n,) position of each row's sample in the training data. Optional without a
                memory bank. A queue then does not know a sample's own older keys.
            keys: (n, dim) embeddings of the key encoder, per view, such as those of `KeyEncoder`.
            present: which rows exist: a bool tensor (n,), or one per view. Others are not read.
            rows: further numbers (n,) per row that the objective reads.
        """
        learns = self.training and torch.is_grad_enabled()
        if learns:
            self._refuse_forgotten()
        z, index = self._split(tensors, index)
        like = self._require(z, keys)
        here = dict(zip(self.needs, masks(self._owner, present, len(z), like), strict=True))
        index = self._index(index, like)
        if "group" in rows and self.memories.stores:
            raise MultiviewError(
                f"{self._owner} keeps earlier samples; give all groups once: PairLoss(..., groups=...)."
            )
        embeddings, found = self._embeddings(z, here), self._keys(keys, here)
        with full_precision_region(like):
            (edge,) = self.memories.edge_inputs(embeddings, found, index, here, self.calls + 1)
            out = self.objective.scored(with_extras(self._owner, edge, rows))
        self.log = out.log
        if learns:
            self._remember(_Call(_detached(embeddings), found, index, here, {self.name: out.state}))
        return out.loss

    @torch.no_grad()
    def update(self) -> None:
        """Writes the rows of the calls since the last update into bank or queue, in their order.

        Call it after `optimizer.step()`, in every process. It also clamps learned temperatures.
        Save `state_dict` afterwards, not between a call and its update.
        """
        calls, self._waiting = self._waiting, []
        for call in calls:
            self.memories.update(*call)
        self.learned.bound()

    def skip(self) -> None:
        """Forgets the rows of the calls since the last update, such as of a batch left out."""
        self._waiting = []

    @property
    def _owner(self) -> str:
        return f"PairLoss({self.objective.name})"

    def _split(
        self, tensors: Sequence[Tensor | None], index: Tensor | None
    ) -> tuple[list[Tensor | None], Tensor | None]:
        """The embeddings and the index, which may stand behind them."""
        views = len(self.needs)
        if len(tensors) == views + 1 and index is None:
            *tensors, index = tensors
        if len(tensors) != views:
            names = ", ".join(f"z_{name}" for name in self.needs)
            raise MultiviewError(
                f"{self._owner} takes {views} embeddings and the index, pair({names}, index), not "
                f"{counted(len(tensors), 'tensor')}."
            )
        return list(tensors), index

    def _require(self, z: Sequence[Tensor | None], keys: Sequence[Tensor | None] | None) -> Tensor:
        """Raises MultiviewError unless all that the objective reads is there. Returns one of it."""
        given = [None] * len(z) if keys is None else list(keys)
        if len(given) != len(z):
            raise MultiviewError(f"{self._owner}: keys holds {len(given)} tensors; give one per view, {len(z)}.")
        online = {f"z_{view}": x for (view, n), x in zip(self.needs.items(), z, strict=True) if n.online}
        keyed = {f"k_{view}": x for (view, n), x in zip(self.needs.items(), given, strict=True) if n.keys is not None}
        missing = [name for name, x in keyed.items() if x is None]
        if missing:
            names = ", ".join(f"k_{view}" if f"k_{view}" in keyed else "None" for view in self.needs)
            raise MultiviewError(
                f"{self._owner} reads {missing[0]}, the output of a key encoder such as mv.KeyEncoder; give "
                f"keys=({names})."
            )
        return require_rows(self._owner, {**online, **keyed}, self.dim)

    def _index(self, index: Tensor | None, like: Tensor) -> Tensor:
        """The sample of each row. Without an index, negative numbers that never come again."""
        if index is None:
            if self._looks_up:
                raise MultiviewError(
                    f"{self._owner} looks up the memory or group of each sample; give the position (n,) of each row's "
                    "sample in the training data: pair(z_a, z_b, index)."
                )
            return -1 - (self.calls * 2**31 + places(like))
        require_index(self._owner, index, len(like), self.samples if self._looks_up else None)
        return index.to(like.device)

    @property
    def _looks_up(self) -> bool:
        """Whether a sample is found by its position in the training data."""
        return self.memories.groups is not None or any(n.memory and n.memory.per_sample for n in self.needs.values())

    def _require_groups(self) -> None:
        if self.memories.groups is not None and self.objective.excludes_groups is False:
            raise MultiviewError(
                f"{self.objective.name} cannot leave out the negatives of a sample's group; leave groups out."
            )

    def _embeddings(self, z: Sequence[Tensor | None], present: dict[str, Tensor]) -> Embeddings:
        """What the objective reads of z: rows of length 1 or as they are, and predictions."""
        found = Embeddings({}, {}, {self.name: dict(self.learned.values.items())})
        for (view, needs), x in zip(self.needs.items(), z, strict=True):
            if not needs.online:
                continue
            heads = [self.predictors[name] for name in (view, "shared") if name in self.predictors]
            read = partial(_read, needs.projector, heads)
            made = read_rows(read, cast("Tensor", x), present[view], heads, needs.groups)
            found.z[view, needs.projector] = made["z"]
            if needs.predictor is not None:
                found.p[view, needs.projector, needs.predictor] = made["p"]
        return found

    def _keys(self, keys: Sequence[Tensor | None] | None, present: dict[str, Tensor]) -> FoundKeys:
        return {
            (view, needs.projector, needs.keys): kept(cast("Tensor", key).detach(), present[view], needs.projector)
            for (view, needs), key in zip(self.needs.items(), keys or (None,) * len(self.needs), strict=True)
            if needs.keys is not None
        }

    def _remember(self, call: _Call) -> None:
        """Counts the call, and keeps what `update` will write."""
        self.calls += 1
        if self.memories.stores or call.states[self.name] or self.learned.bounds:
            self._waiting.append(call)

    def _refuse_forgotten(self) -> None:
        if len(self._waiting) >= self.accumulate:
            raise MultiviewError(
                f"{self._owner} was called {counted(len(self._waiting), 'time')} without pair.update(); call it after "
                "every optimizer.step(), pair.skip() for a batch that you leave out, or make the loss with "
                "accumulate=K for K calls per step."
            )

    def get_extra_state(self) -> Tensor:
        """The number of training calls, from which draws are made."""
        return torch.tensor(self.calls)

    def set_extra_state(self, state: Any) -> None:
        """Sets the number of training calls."""
        self.calls, self._waiting = int(state), []


def _graph(objective: Objective, samples: int | None, dim: int | None, views: int | None) -> ContrastGraph:
    """One edge of the objective, resolved for the data."""
    if not isinstance(objective, Objective):
        raise MultiviewError(f"PairLoss: the objective is {objective!r}; give an objective such as mv.CMC().")
    if objective.fuses:
        raise MultiviewError(
            f"PairLoss: {objective.name} reads fused embeddings, which PairLoss does not make; train it as an edge of "
            "a graph, with mv.fit."
        )
    count = (2 if objective.pairwise else 3) if views is None else views
    if objective.pairwise and count != 2:
        raise MultiviewError(f"{objective.name} contrasts 2 views, not {count}; make one PairLoss for every pair.")
    least = 2 if objective.pairwise or objective.also_pairs else 3
    if not least <= count <= len(NAMES):
        raise MultiviewError(f"PairLoss: views is {count}; give {objective.name} {least} to {len(NAMES)} views.")
    sized = _with_dim(objective, dim)
    if samples is None and any(needs.memory and needs.memory.per_sample for needs in _needs(sized)):
        call = f"mv.PairLoss(mv.{objective.name}(), samples=len(dataset))"
        raise MultiviewError(f"{objective.name} keeps one row per training sample; say how many: {call}.")
    resolved = sized.resolved(Situation(samples=MANY if samples is None else samples, per_rank=MANY))
    return ContrastGraph.of("full" if count == 2 else "joint", NAMES[:count], resolved)


def _needs(objective: Objective) -> tuple[Needs, ...]:
    needs = objective.needs()
    return needs if isinstance(needs, tuple) else (needs,)


def _with_dim(objective: Objective, dim: int | None) -> Objective:
    """The objective for embeddings of `dim` numbers (None = as it is)."""
    if dim is not None and any(field.name == "dim" for field in fields(objective)):
        objective = replace(objective, dim=dim)  # type: ignore[call-arg]
    widths = {needs.projector.dim for needs in _needs(objective)}
    if dim is not None and widths != {dim}:
        raise MultiviewError(
            f"{objective.name} reads embeddings of {', '.join(map(str, sorted(widths)))} numbers with these options, "
            f"not {dim}; leave dim out."
        )
    return objective


def _predictors(needs: Mapping[str, Needs], shared: bool) -> nn.ModuleDict:
    """The predictor of every view that has one; `shared`: the first one for all."""
    wanted = {view: (n.projector.dim, n.predictor) for view, n in needs.items() if n.predictor is not None}
    if shared and wanted:
        wanted = {"shared": next(iter(wanted.values()))}
    return nn.ModuleDict({view: Projection(width, head) for view, (width, head) in wanted.items()})


def _read(head: Head, predictors: Sequence[nn.Module], u: Tensor) -> dict[str, Tensor]:
    """The embedding `z` and, with a predictor, the prediction `p` of a projector's output u."""
    read = {"z": onto_sphere(u, head)}
    return {**read, "p": predictors[0](u)} if predictors else read


def _detached(embeddings: Embeddings) -> Embeddings:
    return Embeddings({name: x.detach() for name, x in embeddings.z.items()}, {}, {})
