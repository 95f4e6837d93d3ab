"""What a run remembers besides its weights: banks, queues, key encoders, states of edges.

All of it lives outside the wrapped model, because DDP would overwrite its buffers with those of
rank 0. Updates come from gathered embeddings, so that every process holds the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from multiview.batch import sent
from multiview.counter_rng import Draws, draw_seed, permutation
from multiview.distributed import gather, world
from multiview.errors import MultiviewError
from multiview.graph import AnyEdge, ContrastGraph, halves, needs_of_edge
from multiview.masked_forward import KnownRows, Present
from multiview.memory.bank import MemoryBank
from multiview.memory.key_encoder import KeyEncoder
from multiview.memory.queue import KeyQueue
from multiview.memory.split_bank import SplitBank
from multiview.model import Embeddings, MultiviewModel, fused_name, needs_of
from multiview.objectives.edge import EdgeInput, Gathered, Side
from multiview.objectives.needs import FLOAT, INDEX, Bank, Head, Keys, Needs, Queue
from multiview.ops.negatives import GroupRows

Memory = MemoryBank | KeyQueue

FoundKeys = Mapping[tuple[str, Head, Keys], Tensor]
"""Keys (n, dim) by view, projector and key encoder."""


class Memories(nn.Module):
    """The banks, queues and key encoders that a graph's edges ask for; edges share what is equal.

    Args:
        model: whose encoders and projectors the key encoders follow (None = keys come from
            elsewhere).
        graph: the edges.
        samples: length of the training split: the number of rows of a bank.
        seed: of the banks' first rows and of every draw of negatives.
        steps: of the whole run, for a key encoder whose momentum rises (None = it does not rise).
        groups: (samples,) int64, the group of each training sample, numbered from 0: samples of one
            group are never each other's negatives (None = no groups).
        labels: (samples,) int64 class of each training sample, -1 where it is unknown; read by
            edges that need labels (None = no labels).
    """

    labels: Tensor | None

    def __init__(
        self,
        model: MultiviewModel | None,
        graph: ContrastGraph,
        samples: int,
        seed: int,
        steps: int | None = None,
        groups: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.groups = None if groups is None else GroupRows.of(groups)
        self.register_buffer("labels", labels, persistent=False)
        self.graph = graph
        self.seed, self.steps = seed, steps
        self.owners = {} if model is None else model.owners
        self.stores, self.key_encoders = nn.ModuleDict(), nn.ModuleDict()
        self.states = nn.ModuleDict(
            {name: _State(edge.objective.initial_state()) for name, edge in graph.named_edges().items()}
        )
        generator = torch.Generator().manual_seed(seed)
        self.wanted = needs_of(graph)
        self.encoded_banks = {
            needs.store_name(view): (view, needs) for view, needs in self.wanted if _starts_encoded(needs)
        }
        for view, needs in self.wanted:
            self._add(model, view, needs, samples, generator)

    def _add(
        self, model: MultiviewModel | None, view: str, needs: Needs, samples: int, generator: torch.Generator
    ) -> None:
        name = needs.store_name(view)
        if needs.memory is not None and name not in self.stores:
            self.stores[name] = self._store(name, needs.memory, samples, needs.projector.dim, generator)
        if needs.keys is not None and model is not None:
            key = self._key_name(view, needs)
            if key not in self.key_encoders:
                projector = model.projector(view, needs.projector)
                self.key_encoders[key] = KeyEncoder(model.encoder(view), projector, needs.keys)
            made = cast("KeyEncoder", self.key_encoders[key])
            made.groups = max(made.groups, needs.groups)

    def _store(self, name: str, asked: Bank | Queue, samples: int, dim: int, generator: torch.Generator) -> Memory:
        """The bank or queue that was asked for: only here is the kind of a memory asked for."""
        if isinstance(asked, Queue):
            return KeyQueue(asked.size, dim, grouped=self.groups is not None)
        dtype = getattr(torch, asked.dtype)
        if not asked.split:
            return MemoryBank(samples, dim, asked.momentum, generator, dtype)
        if self.groups is not None:
            raise MultiviewError(
                "bank=split cannot leave out the negatives of a sample's group; give bank=whole, or leave group out."
            )
        return SplitBank(samples, dim, asked.momentum, self.seed, name, dtype)

    def _key_name(self, view: str, needs: Needs) -> str:
        return f"{self.owners[view]}/{needs.projector.name}/{needs.keys.name}" if needs.keys else ""

    def follow(self, model: MultiviewModel, step: int = 1) -> None:
        """One momentum step of every key encoder towards the model, before step `step` (from 1)."""
        for key, query in self._queries(model):
            key.follow(*query, self.done(step))

    @contextmanager
    def followed(self, model: MultiviewModel, step: int) -> Iterator[None]:
        """The key encoders as after `follow`. If the block raises, they step back.

        A step that raises has changed nothing else. The key encoders are restored to within
        rounding error (`KeyEncoder.step_back`). The running statistics of batch norms, here and in
        the model, are not restored. With gradient accumulation only the first step moves the key
        encoders, so that a later step that is refused does not restore them.
        """
        self.follow(model, step)
        try:
            yield
        except BaseException:
            self.step_back(model, step)
            raise

    def step_back(self, model: MultiviewModel, step: int) -> None:
        """Undoes `follow` of the same step, to within rounding error."""
        for key, query in self._queries(model):
            key.step_back(*query, self.done(step))

    def _queries(self, model: MultiviewModel) -> Iterator[tuple[KeyEncoder, tuple[nn.Module, nn.Module]]]:
        """Every key encoder with the encoder and projector that it follows."""
        for key, (view, needs) in self._keyed().items():
            yield (
                cast("KeyEncoder", self.key_encoders[key]),
                (model.encoder(view), model.projector(view, needs.projector)),
            )

    def done(self, step: int) -> float:
        """The share of the run that is done before step `step`."""
        return (step - 1) / self.steps if self.steps else 0.0

    def keys(self, views: Mapping[str, Tensor], present: Present, step: int) -> FoundKeys:
        """Keys of each view whose keys an edge reads, for the `present` rows; zeros elsewhere."""
        found: dict[tuple[str, Head, Keys], Tensor] = {}
        for view, needs in self.wanted:
            if needs.keys is not None and (view, needs.projector, needs.keys) not in found:
                encoder = cast("KeyEncoder", self.key_encoders[self._key_name(view, needs)])
                order = self._order(view, needs, encoder, len(views[view]), step)
                found[view, needs.projector, needs.keys] = encoder(views[view], present[view], order)
        return found

    def _order(self, view: str, needs: Needs, encoder: KeyEncoder, rows: int, step: int) -> Tensor | None:
        """The order in which all rows are encoded; None where all share batch statistics anyway."""
        if needs.keys is None or not needs.keys.shuffle or world() * encoder.groups == 1:
            return None
        drawn = permutation(self.seed, step, f"shuffle {view}", rows * world())
        return sent(torch.from_numpy(drawn), next(encoder.parameters()).device)

    def edge_inputs(
        self,
        embeddings: Embeddings,
        keys: FoundKeys,
        index: Tensor,
        present: Mapping[str, Tensor],
        step: int,
        known: Tensor | None = None,
    ) -> list[EdgeInput]:
        """The input of each edge of the graph at this step. present: which rows exist, per view.

        known: `index` on the CPU; without it, a step on a device waits for a copy.
        Raises MultiviewError in every process when one process has an index outside the banks.
        """
        everyone = gather(index) if self.stores else None
        if everyone is not None and world() > 1:
            self._check_index(everyone)
        numbers = (index.cpu() if known is None else known).numpy()
        made = partial(self._edge_input, embeddings, keys, index, present, Draws(self.seed, step, numbers))
        edges = self.graph.named_edges().items()
        return [replace(made(name, edge), gathered=Gathered(index=everyone)) for name, edge in edges]

    def _check_index(self, index: Tensor) -> None:
        for store in self._memories():
            store.require(index)

    def _memories(self) -> Iterator[Memory]:
        return (cast("Memory", store) for store in self.stores.values())

    def _edge_input(
        self,
        embeddings: Embeddings,
        keys: FoundKeys,
        index: Tensor,
        present: Mapping[str, Tensor],
        draws: Draws,
        name: str,
        edge: AnyEdge,
    ) -> EdgeInput:
        sides = [self._side(v, n, embeddings, keys) for v, n in zip(edge.views, needs_of_edge(edge), strict=True)]
        there = torch.stack([present[view] for view in edge.views])
        if edge.objective.fuses:
            sides = _with_fused(edge, sides, embeddings, present)
        return EdgeInput(
            tuple(sides),
            index=index,
            present=there.any(0) if edge.objective.fuses else there.all(0),
            state=dict(self.states[name].named_buffers()),
            begun=cast("_State", self.states[name]).begun,
            scalars=embeddings.scalars.get(name, {}),
            generator=torch.Generator().manual_seed(draw_seed(self.seed, draws.step, f"edge {name}")),
            draws=replace(draws, purpose=f"edge {name}"),
            group=self._groups_of(index),
            bank_groups=self.groups,
            labels=None if self.labels is None else self.labels[index],
        )

    @property
    def codes(self) -> Tensor | None:
        """(samples,) the group of each training sample; None without groups."""
        return None if self.groups is None else self.groups.codes

    def _groups_of(self, index: Tensor) -> Tensor | None:
        """The groups of samples (n,), on their device; None without groups."""
        if self.groups is None:
            return None
        if self.groups.codes.device != index.device:
            self.groups = self.groups.to(index.device)
        return self.groups.codes[index]

    def _side(self, view: str, needs: Needs, embeddings: Embeddings, keys: FoundKeys) -> Side:
        return Side(
            z=embeddings.z.get((view, needs.projector)),
            p=embeddings.p.get((view, needs.projector, needs.predictor)) if needs.predictor else None,
            key=keys.get((view, needs.projector, needs.keys)) if needs.keys else None,
            memory=self.stores[needs.store_name(view)] if needs.memory else None,  # type: ignore[arg-type]
        )

    @torch.no_grad()
    def update(
        self,
        embeddings: Embeddings,
        keys: FoundKeys,
        index: Tensor,
        present: Mapping[str, Tensor],
        states: Mapping[str, Mapping[str, Tensor]],
        valid: Tensor | None = None,
        known: KnownRows | None = None,
        everyone: Tensor | None = None,
    ) -> None:
        """Writes the rows of all processes into every memory, and stores the edges' new states.

        valid: a bool tensor; where it is False nothing changes (None = True). known: `present` as
        far as it is on the CPU. everyone: `index` of all processes (None = it is gathered).
        """
        everyone = gather(index) if everyone is None and self.stores else everyone
        written: set[str] = set()
        for view, needs in self.wanted:
            name = needs.store_name(view)
            if needs.memory is None or name in written:
                continue
            written.add(name)
            rows = keys[view, needs.projector, needs.keys] if needs.keys else embeddings.z[view, needs.projector]
            exists = gather(present[view]) if valid is None else gather(present[view]) & valid
            whole = known is not None and world() == 1 and bool(known[view].all())
            assert everyone is not None
            store = cast("Memory", self.stores[name])
            store.take(gather(rows), everyone, exists, self._groups_of(everyone), whole=whole)
        for name, state in states.items():
            cast("_State", self.states[name]).commit(state, valid)

    def begin(self, embeddings: Embeddings, index: Tensor, present: Mapping[str, Tensor]) -> None:
        """Writes the embeddings of all processes as first rows of the banks that start encoded."""
        everyone = gather(index)
        for name, (view, needs) in self.encoded_banks.items():
            z, exists = gather(embeddings.z[view, needs.projector]), gather(present[view])
            cast("MemoryBank", self.stores[name]).begin(z, everyone, exists)

    def notes(self, samples: int) -> list[str]:
        """Sentences about memories that may not be meant with so many training samples."""
        notes = [cast("Memory", store).note(name, samples) for name, store in self.stores.items()]
        return [note for note in notes if note]

    def forget_lengths(self) -> None:
        """The lengths of queues are asked of the device again, after a step that was left out."""
        for store in self._memories():
            store.forget_length()

    def _keyed(self) -> dict[str, tuple[str, Needs]]:
        return {self._key_name(v, n): (v, n) for v, n in self.wanted if n.keys is not None}

    def whole_state(self) -> dict[str, Tensor]:
        """`state_dict` with all rows of split banks; every process calls it. For small banks."""
        whole = {f"stores.{name}.rows": x.whole() for name, x in self.split_banks().items()}
        return {**self.state_dict(), **whole}

    def common_state(self) -> dict[str, Tensor]:
        """`state_dict` without the rows of split banks: what is the same in every process."""
        return {name: x for name, x in self.state_dict().items() if name not in self._own_rows()}

    def load_common_state(self, state: Mapping[str, Tensor]) -> None:
        """Loads what `common_state` gave; the rows of split banks stay."""
        self.load_state_dict({**state, **self._own_rows()})

    def _own_rows(self) -> dict[str, Tensor]:
        return {f"stores.{name}.rows": bank.rows for name, bank in self.split_banks().items()}

    def split_banks(self) -> dict[str, SplitBank]:
        """The banks of which this process has a part, by the name of the store."""
        return {name: cast("SplitBank", bank) for name, bank in self.stores.items() if bank.is_split}

    def sizes(self) -> dict[str, int]:
        """Bytes of every bank and queue in this process, by view."""
        return {name: sum(b.numel() * b.element_size() for b in store.buffers()) for name, store in self.stores.items()}


def received_rows(wanted: Iterable[Needs]) -> int:
    """Bytes that `Memories` receives in a step for each sample of another process.

    wanted: every bank and queue once. For each a row and its presence; the index once.
    """
    return INDEX + sum(FLOAT * needs.projector.dim + 1 for needs in wanted)


def _starts_encoded(needs: Needs) -> bool:
    return isinstance(needs.memory, Bank) and needs.memory.encoded


class _State(nn.Module):
    """The named numbers that one edge remembers."""

    def __init__(self, initial: Mapping[str, float | list[float]]) -> None:
        super().__init__()
        for name, value in initial.items():
            self.register_buffer(name, torch.tensor(value))
        self._begun = False

    @property
    def begun(self) -> bool:
        """Whether all numbers are set; asks the device until they are."""
        self._begun = self._begun or all(bool(buffer.isfinite().all()) for buffer in self.buffers())
        return self._begun

    def commit(self, new: Mapping[str, Tensor], valid: Tensor | None = None) -> None:
        for name, buffer in self.named_buffers():
            if name in new:
                buffer.copy_(new[name] if valid is None else torch.where(valid, new[name].to(buffer), buffer))

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._begun = False


def _with_fused(edge: AnyEdge, sides: list[Side], embeddings: Embeddings, present: Mapping[str, Tensor]) -> list[Side]:
    """The sides of the views with the rows of each, and the fused sides of both draws."""
    head = needs_of_edge(edge)[0].projector
    each = [replace(side, present=present[view]) for side, view in zip(sides, edge.views, strict=True)]
    return each + [
        Side(z=embeddings.z[fused_name(views), head], present=torch.stack([present[v] for v in views]).any(0))
        for views in halves(edge)
    ]
