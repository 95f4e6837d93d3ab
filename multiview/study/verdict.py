"""Which view helps and which edge hurts: paired differences over seeds, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from multiview.measure.intervals import Margin
from multiview.plurals import counted
from multiview.settings import FEWEST, t_interval
from multiview.study.base import base_lines, probe_lines
from multiview.study.outcome import FOUND, KEEPS, PROBE, Outcome
from multiview.study.plan import ALONE, EDGE, OPTION, TOPOLOGY, VIEW, Variant

HELPS, HURTS, UNCLEAR = "helps", "hurts", "unclear"
NO_EFFECT = "no clear effect"
OTHERS = "probe of the other views (mean)"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One measure of the base and of a variant, over their common seeds.

    Args:
        measure: in words, such as `probe of all views`.
        base: mean of the base, from 0 to 1.
        other: mean of the variant.
        margin: base minus variant with its 95 % interval; None with one seed.
        seeds: how many pairs.
    """

    measure: str
    base: float
    other: float
    margin: Margin | None
    seeds: int

    @property
    def points(self) -> float:
        """Base minus variant."""
        return self.base - self.other

    @property
    def clear(self) -> bool:
        """Whether the interval of three seeds or more lies on one side of zero."""
        return self.margin is not None and self.seeds >= FEWEST and not self.margin.noise

    @property
    def in_words(self) -> str:
        """`falls by 3.1 [1.0, 5.2] points`: what happens from the base to the variant."""
        if self.margin is None:
            verb = "falls" if self.points >= 0 else "rises"
            return f"{verb} by {abs(100 * self.points):.1f} points (one seed: no interval)"
        if not self.clear:
            change, low, high = (0.0 - 100 * x for x in (self.points, self.margin.high, self.margin.low))  # no -0.0
            return f"changes by {change:+.1f} [{low:.1f}, {high:.1f}] points"
        low, high = sorted((abs(self.margin.low), abs(self.margin.high)))
        verb = "falls" if self.points > 0 else "rises"
        return f"{verb} by {abs(100 * self.points):.1f} [{100 * low:.1f}, {100 * high:.1f}] points"

    def as_plain(self) -> dict[str, Any]:
        """All numbers by name; `low` and `high` are the ends of the interval."""
        low, high = (None, None) if self.margin is None else (self.margin.low, self.margin.high)
        own = {"measure": self.measure, "base": self.base, "other": self.other, "low": low, "high": high}
        return {**own, "seeds": self.seeds, "points": self.points}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a variant says about its subject. differences: the first one decides."""

    variant: Variant
    state: str
    sentence: str
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Judged:
    """The finished runs of a study, what they say, and lines on the gradients of edges.

    base: a sentence where the base learned nothing, so that nothing else can be read.
    blind: a sentence where the linear probe tells nothing.
    """

    found: Mapping[Variant, Sequence[Outcome]]
    verdicts: Sequence[Verdict]
    gradients: Sequence[str]
    base: Sequence[str] = ()
    blind: Sequence[str] = ()

    @classmethod
    def of(cls, found: Mapping[Variant, Sequence[Outcome]]) -> Judged:
        """Judges the runs once, for the table, the files and the page."""
        base = base_lines(next(iter(found.values()), []))
        return cls(found, verdicts(found), gradient_lines(found), base, probe_lines(found.values()))

    @property
    def summary(self) -> list[str]:
        """What the base learned if it is nothing, which views and edges help, the gradients."""
        return [*self.base, *self.blind, *summary(self.verdicts), *self.gradients]


def verdicts(found: Mapping[Variant, Sequence[Outcome]]) -> list[Verdict]:
    """The verdict of every variant that shares a finished seed with the base."""
    base, *others = found
    return [verdict for each in others if (verdict := _verdict(each, found[base], found[each])) is not None]


def _verdict(variant: Variant, base: Sequence[Outcome], other: Sequence[Outcome]) -> Verdict | None:
    differences = tuple(
        difference
        for measure, names in _measures(variant, base, other).items()
        if (difference := difference_of(measure, base, other, names)) is not None
    )
    if not differences:
        return None
    first = differences[0]
    state = UNCLEAR if not first.clear else HELPS if first.points > 0 else HURTS
    sentence = _sentence(variant, first, state) + _of_the_others(differences)
    return Verdict(variant=variant, state=state, sentence=sentence, differences=differences)


def _measures(variant: Variant, base: Sequence[Outcome], other: Sequence[Outcome]) -> dict[str, list[str]]:
    """Measure in words -> the names whose mean it is, in order of weight."""
    common = [name for name in (base[0].values if base else {}) if other and name in other[0].values]
    of = {kind: [name for name in common if name.startswith(f"{kind}/")] for kind in (PROBE, FOUND, KEEPS)}
    if variant.kind == ALONE:
        return {
            f"probe of {variant.subject}": [f"{PROBE}/{variant.subject}"],
            f"R² of facts that {variant.subject} keeps": [x for x in of[KEEPS] if x.endswith(f"/{variant.subject}")],
        }
    views = "the other views" if variant.kind == VIEW else "each view"
    measures = {
        "probe of all views": [PROBE],
        OTHERS if variant.kind == VIEW else "probe of each view (mean)": of[PROBE],
        f"R@1 between {'the other' if variant.kind == VIEW else 'all'} views (mean)": of[FOUND],
        f"R² of facts that {views} keep (mean)": of[KEEPS],
    }
    if variant.kind == EDGE:
        measures[f"R@1 of {variant.subject}"] = [x for x in of[FOUND] if _joins(x, variant.subject)]
    return measures


def _joins(name: str, edge: str) -> bool:
    """Whether `R@1/A -> B` is a direction of the edge `A-B`."""
    return sorted(name.partition("/")[2].split(" -> ")) == sorted(edge.split("-"))


def difference_of(
    measure: str,
    base: Sequence[Outcome],
    other: Sequence[Outcome],
    names: Sequence[str],
) -> Difference | None:
    """The paired difference of the means over `names`; None where nothing was measured."""
    theirs = {run.seed: run.mean_of(names) for run in other}
    both = [(x, y) for run in base if (x := run.mean_of(names)) is not None if (y := theirs.get(run.seed)) is not None]
    if not both:
        return None
    margin = t_interval([x - y for x, y in both]) if len(both) > 1 else None
    base_mean, other_mean = (fmean(column) for column in zip(*both, strict=True))
    return Difference(measure=measure, base=base_mean, other=other_mean, margin=margin, seeds=len(both))


def _sentence(variant: Variant, first: Difference, state: str) -> str:
    change = {
        VIEW: f"without {variant.subject}",
        EDGE: f"without the edge {variant.subject}",
        TOPOLOGY: f"with the edges of {variant.subject}",
        ALONE: f"trained alone by SimCLR, {variant.subject}:",
        OPTION: f"with {variant.subject}",
    }.get(variant.kind, f"with {variant.subject}")
    return f"{change} the {first.measure} {first.in_words}: {_conclusion(variant, state, first)}"


def _of_the_others(differences: Sequence[Difference]) -> str:
    """What the others by themselves gain from a view; the probe of all views also has its own."""
    found = next((each for each in differences if each.measure == OTHERS), None)
    if found is None or differences[0] is found or found.margin is None:
        return ""
    effect = found.in_words if found.clear else f"{found.in_words}, {NO_EFFECT}"
    return f". By themselves, the probe of the others {effect}"


def _conclusion(variant: Variant, state: str, first: Difference) -> str:
    if state == UNCLEAR:
        return f"{NO_EFFECT} over {counted(first.seeds, 'seed')}"
    if variant.kind in (VIEW, EDGE):
        return f"{variant.subject} {state}"
    if variant.kind == ALONE:
        return f"the other views {'help' if state == HELPS else 'hurt'} {variant.subject}"
    return f"{variant.subject} is {'worse' if state == HELPS else 'better'}"


def summary(found: Sequence[Verdict]) -> list[str]:
    """One line each for views and edges: which help, which hurt, which make no clear difference."""
    lines = []
    for kind, what in ((VIEW, "views"), (EDGE, "edges")):
        own = [verdict for verdict in found if verdict.variant.kind == kind]
        names = {state: [v.variant.subject for v in own if v.state == state] for state in (HELPS, HURTS, UNCLEAR)}
        said = [f"{word}: {', '.join(names[state])}" for state, word in WORDS.items() if names[state]]
        lines += [f"{what}: {'; '.join(said)}"] if said else []
    return lines


WORDS = {HELPS: "help", HURTS: "hurt", UNCLEAR: NO_EFFECT}


def _mean_cosines(runs: Sequence[Outcome], encoder: str) -> dict[str, float]:
    """Pair of edges -> the cosine of their gradients on the encoder, as a mean over runs."""
    pairs: dict[str, list[float]] = {}
    for run in runs:
        for pair, value in run.gradients.get(encoder, {}).items():
            pairs.setdefault(pair, []).append(value)
    return {pair: fmean(values) for pair, values in pairs.items()}


def gradient_lines(found: Mapping[Variant, Sequence[Outcome]]) -> list[str]:
    """For each encoder, the pair of edges whose gradients agree least, as a mean over seeds."""
    runs = next(iter(found.values()), [])
    lines = []
    for encoder in dict.fromkeys(name for run in runs for name in run.gradients):
        means = _mean_cosines(runs, encoder)
        least = min(means, key=lambda pair: means[pair])
        lines.append(
            f"gradients on the encoder of {encoder}: cosine {fmean(means.values()):+.2f} on average over "
            f"{counted(len(means), 'pair')} of edges, least for {least.replace(' | ', ' and ')} ({means[least]:+.2f})"
        )
    return lines
