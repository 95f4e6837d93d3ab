"""Everything that learns: encoders, projectors and predictors, in the one module that Accelerate wraps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from multiview.encoder import Encoder
from multiview.errors import MultiviewError, unknown_name
from multiview.graph import ContrastGraph
from multiview.objectives.base import Head, Needs
from multiview.ops.precision import full_precision


class Embeddings(NamedTuple):
    """z[view, projector] and p[view, projector, predictor], (n, dim) float32 on the unit sphere."""

    z: dict[tuple[str, Head], Tensor]
    p: dict[tuple[str, Head, Head], Tensor]


class Projection(nn.Module):
    """A projector or predictor built from its `Head`: (n, width) -> (n, dim); `raw` skips the step onto the sphere."""

    def __init__(self, width: int, head: Head) -> None:
        super().__init__()
        self.head = head
        self.layers = nn.Sequential(*_layers(width, head))

    def raw(self, h: Tensor) -> Tensor:
        """The output before normalisation."""
        return self.layers(h)

    def onto_sphere(self, u: Tensor) -> Tensor:
        """Float32 rows of length 1, whatever the autocast; a head with unit=False leaves lengths alone."""
        return F.normalize(full_precision(u), dim=1) if self.head.unit else u

    def forward(self, h: Tensor) -> Tensor:
        """Embeddings of features."""
        return self.onto_sphere(self.raw(h))


def _layers(width: int, head: Head) -> Iterator[nn.Module]:
    hidden = head.hidden or width
    for _ in range(head.layers - 1):
        yield nn.Linear(width, hidden, bias=head.bias and not head.norm)
        if head.norm:
            yield nn.BatchNorm1d(hidden)
        yield nn.ReLU(inplace=True)
        width = hidden
    yield nn.Linear(width, head.dim, bias=head.bias and not head.norm_out)
    if head.norm_out:
        yield nn.BatchNorm1d(head.dim, affine=False)


class MultiviewModel(nn.Module):
    """One encoder per view (or shared by name) with the projectors and predictors that the graph's edges need.

    encoders: view -> Encoder, or the name of another view whose encoder it shares, projectors and predictors included.
    Raises MultiviewError for a view without an encoder and for an encoder that no edge would train.
    """

    def __init__(self, encoders: Mapping[str, Encoder | str], graph: ContrastGraph) -> None:
        super().__init__()
        self.graph = graph
        self.owners = owners(encoders, graph.views)
        self.encoders = nn.ModuleDict({o: encoders[o] for o in dict.fromkeys(self.owners.values())})  # type: ignore[misc]
        self.projectors = nn.ModuleDict()
        self.predictors = nn.ModuleDict()
        self.online: list[tuple[str, Needs]] = []
        for view, needs in needs_of(graph):
            self._add(view, needs)
        idle = [owner for owner in self.encoders if owner not in {self.owners[view] for view, _ in self.online}]
        if idle:
            raise MultiviewError(
                f"no edge trains the encoder of view '{idle[0]}': a one-way objective needs both views to share one encoder; "
                f"share it by name, or give the objective symmetric=True."
            )

    def _add(self, view: str, needs: Needs) -> None:
        owner = self.owners[view]
        projector = f"{owner}/{needs.projector.name}"
        if projector not in self.projectors:
            self.projectors[projector] = Projection(self.encoder(view).features, needs.projector)
        if needs.online:
            self.online.append((view, needs))
        if needs.predictor is not None:
            predictor = f"{projector}/{needs.predictor.name}"
            if predictor not in self.predictors:
                self.predictors[predictor] = Projection(needs.projector.dim, needs.predictor)

    def encoder(self, view: str) -> Encoder:
        """The encoder that `view` uses."""
        if view not in self.owners:
            raise unknown_name("view of this model", view, self.owners)
        return self.encoders[self.owners[view]]  # type: ignore[return-value]

    def projector(self, view: str, head: Head) -> Projection:
        """The projector that `view` uses for `head`."""
        return self.projectors[f"{self.owners[view]}/{head.name}"]  # type: ignore[return-value]

    def predictor(self, view: str, projector: Head, head: Head) -> Projection:
        """The predictor that `view` uses behind `projector`."""
        return self.predictors[f"{self.owners[view]}/{projector.name}/{head.name}"]  # type: ignore[return-value]

    def forward(self, views: Mapping[str, Tensor]) -> Embeddings:
        """Embeddings that the edges read, from view tensors: one pass an encoder and view."""
        z: dict[tuple[str, Head], Tensor] = {}
        p: dict[tuple[str, Head, Head], Tensor] = {}
        h: dict[str, Tensor] = {}
        raw: dict[tuple[str, Head], Tensor] = {}
        for view, needs in self.online:
            if view not in h:
                h[view] = self.encoder(view)(views[view])
            key, projector = (view, needs.projector), self.projector(view, needs.projector)
            if key not in raw:
                raw[key] = projector.raw(h[view])
                z[key] = projector.onto_sphere(raw[key])
            if needs.predictor is not None and (*key, needs.predictor) not in p:
                p[*key, needs.predictor] = self.predictor(view, *key[1:], needs.predictor)(raw[key])
        return Embeddings(z, p)

    def features(self, views: Mapping[str, Tensor], layer: str | None = None) -> dict[str, Tensor]:
        """Features h (n, features) of each view given, or of a chosen layer."""
        return {view: self.encoder(view)(x, layer) for view, x in views.items()}


def needs_of(graph: ContrastGraph) -> list[tuple[str, Needs]]:
    """What the edges need of each view, without repetition, in the order of the edges."""
    wanted = [(view, n) for e in graph.edges for view, n in zip((e.a, e.b), e.objective.needs(), strict=True)]
    return list(dict.fromkeys(wanted))


def owners(encoders: Mapping[str, Encoder | str], views: tuple[str, ...]) -> dict[str, str]:
    """view -> the view whose encoder it uses."""
    found = {}
    for view in views:
        if view not in encoders:
            raise MultiviewError(
                f"view '{view}' has no encoder; encoders are given for: {', '.join(encoders) or 'none'}."
            )
        target = encoders[view]
        name = target if isinstance(target, str) else view
        if isinstance(encoders.get(name, name), str):
            raise unknown_name(
                "view with an encoder of its own", name, [v for v in encoders if not isinstance(encoders[v], str)]
            )
        found[view] = name
    return found
