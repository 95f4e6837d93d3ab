"""Everything that learns, in the one module that Accelerate wraps.

These are encoders, projectors, predictors and the edges' scalars.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from multiview.encoder import Encoder
from multiview.errors import MultiviewError, unknown_name
from multiview.fusion import AloneProjection, FusedHead
from multiview.graph import ContrastGraph, halves, needs_of_edge
from multiview.masked_forward import Present, masked_forward
from multiview.objectives.needs import JOIN, Head, Needs, Scalar
from multiview.projection import Projection as Projection
from multiview.projection import onto_sphere as onto_sphere

Role = tuple[str, Head | None, Head | None]
"""What an embedding belongs to: view, projector and, for a prediction, predictor."""


class Embeddings(NamedTuple):
    """What the edges read of one forward pass.

    z[view, projector] and p[view, projector, predictor]: (n, dim), on the unit sphere unless the
    head is raw; zeros in rows where the view is absent. Fused views stand under `fused_name`.
    scalars[edge][name]: what the edges learn.
    """

    z: dict[tuple[str, Head], Tensor]
    p: dict[tuple[str, Head, Head], Tensor]
    scalars: dict[str, dict[str, Tensor]]


class Learned(nn.Module):
    """The scalars of one edge, by name."""

    def __init__(self, scalars: Mapping[str, Scalar]) -> None:
        super().__init__()
        self.bounds = {name: (scalar.low, scalar.high) for name, scalar in scalars.items()}
        self.values = nn.ParameterDict({name: torch.tensor(scalar.start) for name, scalar in scalars.items()})

    @torch.no_grad()
    def bound(self) -> None:
        """Clamps the values to their bounds."""
        for name, (low, high) in self.bounds.items():
            self.values[name].clamp_(low, high)


class MultiviewModel(nn.Module):
    """One encoder per view (or shared by name), with the projectors and predictors of the edges.

    encoders: view -> Encoder, or the name of another view whose encoder, projectors and predictors
    it shares. given: views of which `forward` gets the features h instead of view tensors. Raises
    MultiviewError for a view without an encoder, and for an encoder or projector that no edge would
    train.
    """

    def __init__(self, encoders: Mapping[str, Encoder | str], graph: ContrastGraph) -> None:
        super().__init__()
        self.graph = graph
        self.owners = owners(encoders, graph.views)
        own = dict.fromkeys(self.owners.values())
        self.encoders = nn.ModuleDict({module_name(o): encoders[o] for o in own})  # type: ignore[misc]
        self.projectors = nn.ModuleDict()
        self.predictors = nn.ModuleDict()
        self.fusions = nn.ModuleDict()
        learned = {name: edge.objective.scalars() for name, edge in graph.named_edges().items()}
        self.scalars = nn.ModuleDict({name: Learned(scalars) for name, scalars in learned.items() if scalars})
        self.online: dict[str, list[Needs]] = {}
        self.given: frozenset[str] = frozenset()
        self.fused = fused_of(graph)
        self._require_two_draws()
        for view, needs in needs_of(graph):
            self._add(view, needs)
        self._refuse_idle()

    def _require_two_draws(self) -> None:
        """Raises MultiviewError unless both draws of a fused view share one encoder."""
        for first, *others in (slot for drawn in self.fused.values() for slot in zip(*drawn, strict=True)):
            for second in others:
                if self.owners[first] != self.owners[second]:
                    raise MultiviewError(
                        f"'{second}' is the second draw of '{first}' on an edge that fuses views, but it has another "
                        f"encoder; share it by name: encoders={{..., '{second}': '{first}'}}."
                    )

    def _add(self, view: str, needs: Needs) -> None:
        if needs.projector.fusion is not None:
            self._add_fusion(view, needs)
            return
        projector = self._projector_name(view, needs.projector)
        if projector not in self.projectors:
            self.projectors[projector] = Projection(self.encoder(view).features, needs.projector)
        if needs.online:
            self.online.setdefault(view, []).append(needs)
        if needs.predictor is not None:
            predictor = f"{projector}/{needs.predictor.name}"
            if predictor not in self.predictors:
                self.predictors[predictor] = Projection(needs.projector.dim, needs.predictor)

    def _add_fusion(self, view: str, needs: Needs) -> None:
        name, fusion = needs.projector.name, needs.projector.fusion
        self.online.setdefault(view, []).append(needs)
        if name not in self.fusions and fusion is not None:
            widths = {each: self.encoder(each).features for each in fusion.views}
            self.fusions[name] = FusedHead(widths, needs.projector)

    def _refuse_idle(self) -> None:
        trained = {self._projector_name(view, n.projector) for view, needs in self.online.items() for n in needs}
        idle = [name for name in self.projectors if name not in trained]
        if idle:
            raise MultiviewError(
                f"no edge trains the encoder or projector of view '{idle[0].split('/')[0]}': a one-way objective needs "
                "both views to share one encoder; share it by name, or give the objective symmetric=True."
            )

    def _projector_name(self, view: str, head: Head) -> str:
        return f"{self.owners[view]}/{head.name}"

    def encoder(self, view: str) -> Encoder:
        """The encoder that `view` uses."""
        if view not in self.owners:
            raise unknown_name("view of this model", view, self.owners)
        return self.encoders[module_name(self.owners[view])]  # type: ignore[return-value]

    def own_encoders(self) -> dict[str, Encoder]:
        """Each encoder once, by the view that owns it."""
        return {owner: self.encoder(owner) for owner in dict.fromkeys(self.owners.values())}

    def projector(self, view: str, head: Head) -> Projection:
        """The projector that `view` uses for `head`; with a fusion, all other views are missing."""
        if head.fusion is not None:
            slot = next(drawn for drawn in zip(*self.fused[head], strict=True) if view in drawn)
            return AloneProjection(self.fusion(head), slot[0])  # type: ignore[return-value]
        return self.projectors[self._projector_name(view, head)]  # type: ignore[return-value]

    def predictor(self, view: str, projector: Head, head: Head) -> Projection:
        """The predictor that `view` uses behind `projector`."""
        return self.predictors[f"{self._projector_name(view, projector)}/{head.name}"]  # type: ignore[return-value]

    def fusion(self, head: Head) -> FusedHead:
        """The fusion in front of a head, with the head."""
        return self.fusions[head.name]  # type: ignore[return-value]

    def train(self, mode: bool = True) -> MultiviewModel:
        """Training or evaluation mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        if mode:
            set_frozen_to_eval(self)
        return self

    def forward(self, views: Mapping[str, Tensor], present: Present | None = None) -> Embeddings:
        """The embeddings that the edges read, from view tensors.

        Each view takes one pass over its `present` rows (None = all). When a process has fewer than
        two rows of a view, batch norm uses its running statistics. Every parameter still gets a
        gradient.
        """
        z: dict[tuple[str, Head], Tensor] = {}
        p: dict[tuple[str, Head, Head], Tensor] = {}
        h: dict[str, Tensor] = {}
        for view, needs in self.online.items():
            groups = max(n.groups for n in needs)
            here = None if present is None else present[view]
            for (name, head, predictor), value in masked_forward(
                partial(self._embed, view), views[view], here, self._modules_of(view), groups
            ).items():
                if head is None:
                    h[name] = value
                elif predictor is None:
                    z[name, head] = value
                else:
                    p[name, head, predictor] = value
        z |= self._fused(h, present)
        scalars = {name: dict(cast("Learned", learned).values.items()) for name, learned in self.scalars.items()}
        return Embeddings(z, p, scalars)

    def _fused(self, h: Mapping[str, Tensor], present: Present | None) -> dict[tuple[str, Head], Tensor]:
        """The fused embeddings of each draw of the views of each fusion."""
        return {
            (fused_name(views), head): self.fusion(head)(
                dict(zip(drawn[0], (h[view] for view in views), strict=True)),
                None if present is None else dict(zip(drawn[0], (present[view] for view in views), strict=True)),
            )
            for head, drawn in self.fused.items()
            for views in drawn
        }

    def _embed(self, view: str, x: Tensor) -> dict[Role, Tensor]:
        """Every embedding of the view that edges read, from view tensors, or features, x.

        Also the features, under (view, None, None), where a fusion reads them.
        """
        h = x if view in self.given else self.encoder(view)(x)
        heads = dict.fromkeys(n.projector for n in self.online[view])
        raw = {head: self.projector(view, head).raw(h) for head in heads}
        found: dict[Role, Tensor] = {
            (view, head, None): self.projector(view, head).onto_sphere(u) for head, u in raw.items()
        }
        if any(head.fusion is not None for head in heads):
            found[view, None, None] = h
        for n in self.online[view]:
            if n.predictor is not None and (view, n.projector, n.predictor) not in found:
                found[view, n.projector, n.predictor] = self.predictor(view, n.projector, n.predictor)(raw[n.projector])
        return found

    def _modules_of(self, view: str) -> list[nn.Module]:
        """All modules that `_embed` runs."""
        heads = {self.projector(view, n.projector) for n in self.online[view]}
        heads |= {self.predictor(view, n.projector, n.predictor) for n in self.online[view] if n.predictor}
        return [self.encoder(view), *heads]

    def constant_rate(self) -> list[nn.Parameter]:
        """Parameters of the predictors whose learning rate stays constant."""
        held = [m for m in self.predictors.values() if cast("Projection", m).head.constant_rate]
        return [p for m in held for p in m.parameters()]

    def bound(self) -> None:
        """Clamps learned scalars to their bounds, after a step of the optimiser."""
        for learned in self.scalars.values():
            cast("Learned", learned).bound()

    def fused_features(self, h: Mapping[str, Tensor], present: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The fused features (n, width) of every fusion, from features of any of its views.

        Args:
            h: view -> (n, features), as `features` gives them. Of both draws of a view the first is
                read. A fusion of which no view is given is left out.
            present: view -> which rows have the view (n,); None = all. A row without any view of a
                fusion means nothing.
        """
        found = {}
        for head, name in fused_names(self.graph).items():
            given = {view: h[view] for view in self.fused[head][0] if view in h}
            if given:
                found[name] = self.fusion(head).features(given, present)
        return found

    def features(self, views: Mapping[str, Tensor], layer: str | None = None) -> dict[str, Tensor]:
        """Features h (n, features) of each given view, or the output of a layer."""
        return {view: self.encoder(view)(x, layer) for view, x in views.items()}


def module_name(view: str) -> str:
    """The view's key in an `nn.ModuleDict`, which takes no names of its own members (`values`)."""
    return f"{view}~" if hasattr(nn.ModuleDict(), view) else view


def set_frozen_to_eval(module: nn.Module) -> None:
    """Sets modules whose parameters are all frozen to evaluation mode: their statistics stay."""
    parameters = [p.requires_grad for p in module.parameters()]
    if parameters and not any(parameters):
        module.eval()
        return
    for child in module.children():
        set_frozen_to_eval(child)


def needs_of(graph: ContrastGraph) -> list[tuple[str, Needs]]:
    """What the edges need of each view, without repetition, in the order of the edges."""
    wanted = [(view, n) for e in graph.edges for view, n in zip(e.views, needs_of_edge(e), strict=True)]
    return list(dict.fromkeys(wanted))


def fused_of(graph: ContrastGraph) -> dict[Head, tuple[tuple[str, ...], ...]]:
    """The head of every fusion, and the views that it fuses: the first draw of each, the second."""
    found: dict[Head, dict[tuple[str, ...], None]] = {}
    for edge in graph.edges:
        if edge.objective.fuses:
            found.setdefault(needs_of_edge(edge)[0].projector, {}).update(dict.fromkeys(halves(edge)))
    return {head: tuple(drawn) for head, drawn in found.items()}


def fused_names(graph: ContrastGraph) -> dict[Head, str]:
    """The head of every fusion, and the fusion's name: `fused`, or `fused_photo_depth` of several.

    The name is that of no view.
    """
    heads = fused_of(graph)
    plain = len(heads) == 1 and "fused" not in graph.views
    names = {head: "fused" if plain else "_".join(["fused", *drawn[0]]) for head, drawn in heads.items()}
    same = len(set(names.values())) < len(names) or set(names.values()) & set(graph.views)
    return {head: head.name for head in heads} if same else names


def fused_name(views: Iterable[str]) -> str:
    """`photo+depth`: the name of a fused embedding, which no view can have."""
    return JOIN.join(views)


def owners(encoders: Mapping[str, Encoder | str], views: tuple[str, ...]) -> dict[str, str]:
    """view -> the view whose encoder it uses."""
    return {view: _owner(encoders, view) for view in views}


def _owner(encoders: Mapping[str, Encoder | str], view: str) -> str:
    if view not in encoders:
        raise MultiviewError(f"view '{view}' has no encoder; encoders are given for: {', '.join(encoders) or 'none'}.")
    target = encoders[view]
    name = target if isinstance(target, str) else view
    own = [each for each, encoder in encoders.items() if not isinstance(encoder, str)]
    if name not in own:
        raise unknown_name("view with an encoder of its own", name, own)
    return name
