"""The page of a study: its verdicts on top of the page of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from multiview.measure.intervals import Interval
from multiview.plurals import counted
from multiview.report.dots import Dot, dots
from multiview.report.gather import gather
from multiview.report.page import NAME, write_page_with
from multiview.report.verdict import Card
from multiview.study.plan import ALONE, EDGE, OPTION, TOPOLOGY, VIEW, Plan, job_of
from multiview.study.verdict import HELPS, HURTS, Judged, Verdict, summary

TITLES = {
    VIEW: "Without one view",
    EDGE: "Without one edge",
    TOPOLOGY: "Other edges",
    ALONE: "One view alone (SimCLR)",
    OPTION: "Options",
}
HOW = (
    "Every variant was trained with the same seeds and the same number of steps as the base. Points: base minus "
    "variant; right of zero the base is better. Bars are 95 % intervals of the paired t-test over seeds. With many "
    "variants, one in twenty without any effect looks clear by chance."
)
CURVES = "The curves, matrices and commands below are of the first seed of each variant."


def write_study_page(study: Path, plan: Plan, judged: Judged) -> Path | None:
    """Writes report.html of a study and returns its path; None before two variants are finished."""
    shown = [job_of(study, variant, runs[0].seed).folder for variant, runs in judged.found.items() if runs]
    if len(shown) < 2:
        return None
    file = study / NAME
    title = f"Study of {counted(len(plan.variants) - 1, 'variant')}, {counted(len(plan.seeds), 'seed')}"
    write_page_with(gather(shown), title, cards_of(judged), file)
    return file


def cards_of(judged: Judged) -> list[Card]:
    """Cards: a base that learned nothing, each kind of variant, and the gradients."""
    cards = [Card(title="The base learned nothing", state="bad", sentence=line) for line in judged.base]
    cards += [card_of(kind, own) for kind in TITLES if (own := [v for v in judged.verdicts if v.variant.kind == kind])]
    if judged.gradients:
        sentence = "Cosine of the gradients of two edges on an encoder that both train: -1 opposed, 1 alike."
        cards.append(Card(title="Gradients of edges", state="unknown", sentence=sentence, lines=list(judged.gradients)))
    return cards


def card_of(kind: str, judged: Sequence[Verdict]) -> Card:
    """The verdicts of one kind, with a drawing of their first measures."""
    states = {verdict.state for verdict in judged}
    state = "bad" if HURTS in states else "good" if HELPS in states else "unknown"
    said = next((line for line in summary(judged)), judged[0].sentence)
    lines = [verdict.sentence for verdict in judged]
    return Card(title=TITLES[kind], state=state, sentence=said, lines=lines, drawing=drawn(judged), notes=[HOW, CURVES])


def drawn(judged: Sequence[Verdict]) -> Markup:
    """The differences as dots around zero."""
    rows = []
    for verdict in judged:
        d = verdict.differences[0]
        ends = None if d.margin is None else Interval(d.margin.low, d.margin.high, "t, 95 %")
        text = f"{100 * d.points:+.1f}"
        rows.append(Dot(label=verdict.variant.subject, kind="trained", value=d.points, interval=ends, text=text))
    reach = max(abs(x) for row in rows for x in (row.value, *(_ends(row.interval))))
    top = next((top for top in (0.02, 0.05, 0.1, 0.2, 0.4) if reach <= top), 1.0)
    return dots(rows, -top, top, "base minus variant, in points", unit=0.01)


def _ends(interval: Interval | None) -> tuple[float, ...]:
    return () if interval is None else (interval.low, interval.high)
