"""All that a run remembers besides its weights: banks, queues, key encoders and the state of every edge.

It lives outside the wrapped model (DDP would overwrite its buffers with rank 0's) and is updated from gathered embeddings, so that
every rank holds the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from multiview.data.draws import draw_seed
from multiview.distributed import gather
from multiview.graph import ContrastGraph
from multiview.memory.bank import MemoryBank
from multiview.memory.key_encoder import KeyEncoder
from multiview.memory.queue import KeyQueue
from multiview.model import Embeddings, MultiviewModel, needs_of
from multiview.objectives.base import Bank, EdgeInput, Head, Needs, Queue, Side

Memory = MemoryBank | KeyQueue


class Memories(nn.Module):
    """Banks, queues and key encoders that a graph's edges ask for, each made once however many edges share it.

    samples: length of the training split, hence rows of a bank. seed: of the banks' first rows and of every draw of negatives.
    """

    def __init__(self, model: MultiviewModel, graph: ContrastGraph, samples: int, seed: int) -> None:
        super().__init__()
        self.graph = graph
        self.seed = seed
        self.owners = model.owners
        self.stores = nn.ModuleDict()
        self.key_encoders = nn.ModuleDict()
        self.states = nn.ModuleDict(
            {name: _State(e.objective.initial_state()) for name, e in zip(graph.names(), graph.edges, strict=True)}
        )
        generator = torch.Generator().manual_seed(seed)
        self.wanted = needs_of(graph)
        for view, needs in self.wanted:
            self._add(model, view, needs, samples, generator)

    def _add(self, model: MultiviewModel, view: str, needs: Needs, samples: int, generator: torch.Generator) -> None:
        name = _store_name(view, needs)
        if isinstance(needs.memory, Bank) and name not in self.stores:
            momentum, dtype = needs.memory.momentum, getattr(torch, needs.memory.dtype)
            self.stores[name] = MemoryBank(samples, needs.projector.dim, momentum, generator, dtype)
        if isinstance(needs.memory, Queue) and name not in self.stores:
            self.stores[name] = KeyQueue(needs.memory.size, needs.projector.dim)
        if needs.key_momentum is not None:
            key = self._key_name(view, needs)
            if key not in self.key_encoders:
                projector = model.projector(view, needs.projector)
                self.key_encoders[key] = KeyEncoder(model.encoder(view), projector, needs.key_momentum)

    def _key_name(self, view: str, needs: Needs) -> str:
        return f"{self.owners[view]}/{needs.projector.name}/{_digits(needs.key_momentum)}"

    def follow(self, model: MultiviewModel) -> None:
        """One momentum step of every key encoder towards the model."""
        for key, (view, needs) in self._keyed().items():
            cast("KeyEncoder", self.key_encoders[key]).follow(
                model.encoder(view), model.projector(view, needs.projector)
            )

    def keys(self, views: Mapping[str, Tensor]) -> dict[tuple[str, Head, float], Tensor]:
        """Keys (n, dim) of each view that an edge reads keys of."""
        found: dict[tuple[str, Head, float], Tensor] = {}
        for view, needs in self.wanted:
            if needs.key_momentum is not None:
                name = (view, needs.projector, needs.key_momentum)
                if name not in found:
                    found[name] = self.key_encoders[self._key_name(view, needs)](views[view])
        return found

    def edge_inputs(
        self,
        embeddings: Embeddings,
        keys: Mapping[tuple[str, Head, float], Tensor],
        index: Tensor,
        present: Mapping[str, Tensor],
        step: int,
    ) -> list[EdgeInput]:
        """What each edge of the graph is scored from at this step; `present` says per view which rows exist."""
        inputs = []
        for name, edge in zip(self.graph.names(), self.graph.edges, strict=True):
            a, b = (
                self._side(v, n, embeddings, keys)
                for v, n in zip((edge.a, edge.b), edge.objective.needs(), strict=True)
            )
            generator = torch.Generator().manual_seed(draw_seed(self.seed, step, f"edge {name}"))
            both = present[edge.a] & present[edge.b]
            state = dict(self.states[name].named_buffers())
            inputs.append(EdgeInput(a, b, index=index, present=both, state=state, generator=generator))
        return inputs

    def _side(
        self, view: str, needs: Needs, embeddings: Embeddings, keys: Mapping[tuple[str, Head, float], Tensor]
    ) -> Side:
        return Side(
            z=embeddings.z.get((view, needs.projector)),
            p=embeddings.p.get((view, needs.projector, needs.predictor)) if needs.predictor else None,
            key=keys.get((view, needs.projector, needs.key_momentum)) if needs.key_momentum is not None else None,
            memory=self.stores[_store_name(view, needs)] if needs.memory else None,  # type: ignore[arg-type]
        )

    @torch.no_grad()
    def update(
        self,
        embeddings: Embeddings,
        keys: Mapping[tuple[str, Head, float], Tensor],
        index: Tensor,
        present: Mapping[str, Tensor],
        states: Mapping[str, Mapping[str, Tensor]],
    ) -> None:
        """Writes what all ranks produced into every memory once, and commits the edges' new states."""
        everyone = gather(index)
        written: set[str] = set()
        for view, needs in self.wanted:
            name = _store_name(view, needs)
            if needs.memory is None or name in written:
                continue
            written.add(name)
            rows = (
                keys[view, needs.projector, needs.key_momentum]
                if needs.key_momentum is not None
                else embeddings.z[view, needs.projector]
            )
            here = gather(present[view])
            cast("Memory", self.stores[name]).update(gather(rows)[here], everyone[here])
        for name, state in states.items():
            cast("_State", self.states[name]).commit(state)

    def _keyed(self) -> dict[str, tuple[str, Needs]]:
        return {self._key_name(v, n): (v, n) for v, n in self.wanted if n.key_momentum is not None}

    def sizes(self) -> dict[str, int]:
        """Bytes of every bank and queue, by view."""
        return {name: sum(b.numel() * b.element_size() for b in store.buffers()) for name, store in self.stores.items()}


class _State(nn.Module):
    """The named numbers that one edge remembers."""

    def __init__(self, initial: Mapping[str, float | list[float]]) -> None:
        super().__init__()
        for name, value in initial.items():
            self.register_buffer(name, torch.tensor(value))

    def commit(self, new: Mapping[str, Tensor]) -> None:
        for name, buffer in self.named_buffers():
            if name in new:
                buffer.copy_(new[name])


def _store_name(view: str, needs: Needs) -> str:
    if isinstance(needs.memory, Bank):
        dtype = "" if needs.memory.dtype == "float32" else f"_{needs.memory.dtype}"
        return f"{view}/{needs.projector.name}/bank{_digits(needs.memory.momentum)}{dtype}"
    if isinstance(needs.memory, Queue):
        return f"{view}/{needs.projector.name}/queue{needs.memory.size}_{_digits(needs.key_momentum)}"
    return ""


def _digits(value: float | None) -> str:
    """A number as part of a module's name, which may not hold a dot."""
    return repr(value).replace(".", "p")
