"""The laws of an objective, and `multiview check objective NAME`.

The laws hold for every objective. Its arithmetic is to be tested against its paper.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

from multiview.check.edges import SAMPLES, agreeing, in_precision, inputs_of, needs_of
from multiview.check.laws import Broken, Law, demand, frozen, judged, report, undocumented
from multiview.check.options import CheckObjective
from multiview.errors import MultiviewError
from multiview.objectives.base import EdgeInput, EdgeOutput, Needs, Objective, Situation
from multiview.plugins import load
from multiview.plurals import counted

ROWS = 8
CLOSE = 1e-9


def trial(name: str, **options: Any) -> Objective:
    """The objective called `name`, resolved for a small data set.

    Raises MultiviewError when the plugin is not an objective.
    """
    made = load("objectives", name)(**options)
    if not isinstance(made, Objective):
        raise MultiviewError(
            f"the objective plugin '{name}' is a {type(made).__name__}; make it a subclass of multiview.Objective."
        )
    return made.resolved(Situation(samples=SAMPLES, per_rank=ROWS))


def options(objective: Objective) -> str:
    """It is a frozen dataclass, keyword-only, and its docstring explains every field."""
    kind = type(objective)
    demand(
        frozen(kind),
        "it is not a frozen dataclass; write @dataclass(frozen=True, kw_only=True)",
    )
    demand(all(field.kw_only for field in fields(objective)), "its fields are positional; write kw_only=True")
    silent = undocumented(kind)
    demand(not silent, f"the Args of its docstring leave out {', '.join(silent)}")
    return ", ".join(field.name for field in fields(objective))


def picklable(objective: Objective) -> None:
    """It can be pickled, compared and hashed."""
    try:
        back = pickle.loads(pickle.dumps(objective))
        hash(back)
    except Exception as error:
        raise Broken(f"{type(error).__name__}: {error}; let its fields be plain values") from error
    demand(back == objective, "it is not equal to itself after pickling")


def needs(objective: Objective) -> str:
    """It says what it needs of each view, and some view learns."""
    wanted = needs_of(objective)
    demand(
        all(isinstance(need, Needs) for need in wanted), "needs() must return one Needs per view, or one Needs for all"
    )
    demand(any(need.online for need in wanted), "no view is online, so nothing learns")
    remembered = ["memory" * bool(need.memory) or "keys" * bool(need.keys) or "nothing more" for need in wanted]
    return f"{counted(len(wanted), 'view')}; remembers {', '.join(dict.fromkeys(remembered))}"


def scalar_loss(objective: Objective) -> str:
    """The loss is one finite number with a gradient."""
    edge = agreeing(objective, torch.arange(ROWS), 0.5)
    out = objective.scored(edge)
    demand(
        isinstance(out, EdgeOutput) and out.loss.ndim == 0, "loss() must return an EdgeOutput whose loss is a scalar"
    )
    demand(torch.isfinite(out.loss), f"the loss is {out.loss.item()}")
    demand(out.loss.requires_grad, "the loss has no gradient")
    demand(
        not any(value.requires_grad for value in (*out.log.values(), *out.state.values())),
        "log or state take gradient; detach them",
    )
    return f"{out.loss.item():.4g} at half agreement"


def agreement_is_better(objective: Objective) -> str:
    """The loss is lower where the views agree."""
    losses = [objective.scored(agreeing(objective, torch.arange(ROWS), x)).loss.item() for x in (0.0, 0.5, 1.0)]
    demand(losses[0] > max(losses[1:]), f"losses at no, half and full agreement are {_listed(losses)}")
    return _listed(losses)


def _gets_gradient(objective: Objective, edge: EdgeInput, x: Tensor) -> bool:
    return torch.autograd.grad(objective.scored(edge).loss, x, allow_unused=True)[0] is not None


def gradient(objective: Objective) -> None:
    """Its gradient is that of its value, by finite differences."""
    edge = agreeing(objective, torch.arange(5), 0.5)
    read = [x for x in inputs_of(edge) if _gets_gradient(objective, edge, x)]

    def again(*_: Tensor) -> Tensor:
        cast("torch.Generator", edge.generator).manual_seed(9)
        return objective.scored(edge).loss

    demand(read, "no embedding gets a gradient")
    try:
        # In random directions: a hundred dimensions one by one take minutes.
        torch.autograd.gradcheck(again, read, fast_mode=True)
    except GradcheckError as error:
        raise Broken(f"finite differences disagree: {' '.join(str(error).split())[:160]}") from error


def order(objective: Objective) -> str | None:
    """The order of the batch means nothing."""
    turned = torch.randperm(ROWS, generator=torch.Generator().manual_seed(0))
    edges = [agreeing(objective, rows, 0.5) for rows in (torch.arange(ROWS), turned)]
    a, b = (objective.scored(edge).loss.item() for edge in edges)
    if _drew(edges[0]):
        return "not decided: it draws numbers by position"
    demand(abs(a - b) <= CLOSE * max(1, abs(a)), f"shuffled, the loss is {b:.10g} instead of {a:.10g}")
    return None


def absent_rows(objective: Objective) -> None:
    """Absent rows take no part in loss, log, state and gradient."""
    present = torch.arange(ROWS) < 5  # absent rows stand last, because draws are made by position
    edge, alone = agreeing(objective, torch.arange(ROWS), 0.5, present), agreeing(objective, torch.arange(5), 0.5)
    with torch.no_grad():
        for side in edge.sides:
            for x in (side.z, side.p, side.key):
                if x is not None:
                    x[~present] = 0.0
    found, expected = objective.scored(edge), objective.scored(alone)
    demand(
        torch.isclose(found.loss, expected.loss, rtol=CLOSE),
        f"with 3 absent rows the loss is {found.loss.item():.10g} instead of {expected.loss.item():.10g}; "
        "use edge.mean and edge.columns, or edge.present",
    )
    for ours, theirs in ((found.log, expected.log), (found.state, expected.state)):
        for name, value in ours.items():
            demand(
                torch.allclose(value.double(), theirs[name].double(), rtol=1e-6),
                f"absent rows change '{name}'; use edge.present",
            )
    found.loss.backward()
    for x in inputs_of(edge):
        demand(x.grad is None or x.ndim == 0 or (x.grad[~present] == 0).all(), "absent rows get a gradient")


def nobody_present(objective: Objective) -> None:
    """Without a present row the loss is 0, and every embedding keeps a gradient, of 0."""
    whole, edge = (agreeing(objective, torch.arange(4), 0.5, here) for here in (None, torch.zeros(4, dtype=torch.bool)))
    out = objective.scored(edge)
    demand(out.loss.item() == 0, f"the loss is {out.loss.item()}, not 0; edge.mean gives 0")
    demand(out.loss.requires_grad, "the loss has no gradient: processes would wait for ever; multiply by 0 instead")
    out.loss.backward()
    objective.scored(whole).loss.backward()
    for x, y in zip(inputs_of(edge), inputs_of(whole), strict=True):
        demand(
            (x.grad is None) == (y.grad is None),
            "an embedding has no gradient where it has one otherwise; multiply by 0 instead",
        )
        demand(x.grad is None or (x.grad == 0).all(), "a gradient is not 0")
    demand(
        not any(torch.isinf(value).any() for value in (*out.state.values(), *out.log.values())),
        "log or state are infinite",
    )


def float32(objective: Objective) -> None:
    """Of embeddings in half precision the loss is float32."""
    for dtype in (torch.bfloat16, torch.float16):
        found = objective.scored(in_precision(agreeing(objective, torch.arange(6), 0.5), dtype)).loss
        demand(
            found.dtype == torch.float32,
            f"of {dtype} embeddings the loss is {found.dtype}; read edge.embeddings(), or begin with .float()",
        )
        demand(
            torch.isfinite(found),
            f"of {dtype} embeddings the loss is {found.item()}; read edge.embeddings(), or begin with .float()",
        )


def pure(objective: Objective) -> None:
    """Scoring twice gives the same, and changes neither embeddings nor memories nor state."""
    edge = agreeing(objective, torch.arange(ROWS), 0.5)
    before = copy.deepcopy(_tensors(edge))
    first = objective.scored(edge)
    demand(
        all(torch.equal(x, y) for x, y in zip(before, _tensors(edge), strict=True)),
        "loss() changes what it reads; return the new state instead",
    )
    cast("torch.Generator", edge.generator).manual_seed(9)
    demand(
        torch.equal(first.loss, objective.scored(edge).loss),
        "scored again, the loss differs; draw from edge.generator or edge.draws",
    )


def _tensors(edge: EdgeInput) -> list[Tensor]:
    found = [x.detach() for side in edge.sides for x in (side.z, side.p, side.key) if x is not None]
    found += [x for side in edge.sides if side.memory is not None for x in side.memory.state_dict().values()]
    return [*found, edge.index, edge.present, *edge.state.values()]


def _drew(edge: EdgeInput) -> bool:
    """Whether the loss drew numbers from the generator of the edge."""
    untouched = torch.Generator().manual_seed(9).get_state()
    return not torch.equal(cast("torch.Generator", edge.generator).get_state(), untouched)


def _listed(losses: Sequence[float]) -> str:
    return ", ".join(f"{loss:.4g}" for loss in losses)


LAWS: tuple[Law[Objective], ...] = (
    options,
    picklable,
    needs,
    scalar_loss,
    agreement_is_better,
    gradient,
    order,
    absent_rows,
    nobody_present,
    float32,
    pure,
)


def run(options: CheckObjective) -> int:
    """multiview check objective NAME [options]: 0 when all laws hold, 1 when one is broken."""
    subject = trial(options.name, **(options.options or {}))
    return report(f"objective {options.name}", judged(LAWS, subject))
