"""Several runs on one page: their settings, what differs, and the intervals over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from multiview.measure.intervals import Interval
from multiview.report.dots import Dot, dots, nice_top
from multiview.report.gather import Gathered
from multiview.report.verdict import Card
from multiview.settings import Evaluated, Setting, differing, paired_tests, settings, t_interval, value_of, with_options


@dataclass(frozen=True)
class Several:
    """settings: of all runs. differing: option -> its value in every setting. tests: sentences."""

    settings: list[Setting]
    differing: dict[str, list[str]]
    tests: list[str]
    card: Card

    def colour_of(self, name: str) -> int:
        """The number of the setting of a run."""
        return next(i for i, each in enumerate(self.settings) if any(run.name == name for run in each.runs))


def several(runs: Sequence[Gathered]) -> Several:
    """The runs by setting, as `multiview compare` puts them together."""
    found = settings([with_options(run.run.folder, run.name, run.rows) for run in runs])
    measured = [Setting(letter=s.letter, title=s.title, runs=kept) for s in found if (kept := _measured(s))]
    tests = paired_tests(measured) if len(measured) > 1 else []
    return Several(found, differing([setting.runs[0] for setting in found]), tests, _card(measured))


def _measured(setting: Setting) -> tuple[Evaluated, ...]:
    return tuple(run for run in setting.runs if value_of(run.rows) is not None)


def _card(found: Sequence[Setting]) -> Card:
    """The mean of every setting, with the 95 % interval over its seeds."""
    named = [(setting, [value for run in setting.runs if (value := value_of(run.rows))]) for setting in found]
    measures = list(dict.fromkeys(name for _, values in named for name, _ in values))
    if not measures:
        return Card(title="Settings", state="unknown", sentence="No run was evaluated; type: multiview evaluate RUN.")
    rows = [_dot(setting, [x for name, x in values if name == measures[0]]) for setting, values in named]
    known = [row for row in rows if row]
    top = nice_top([row.interval.high if row.interval else row.value for row in known])
    left = f" Other runs measured {', '.join(measures[1:])}; they are left out of the drawing." if measures[1:] else ""
    sentence = f"Every setting's {measures[0]}, the mean over its seeds; bars are 95 % intervals over seeds.{left}"
    return Card(title="Settings", state="unknown", sentence=sentence, drawing=dots(known, 0.0, top, measures[0]))


def _dot(setting: Setting, values: Sequence[float]) -> Dot | None:
    if not values:
        return None
    mean, interval = fmean(values), None
    if len(values) > 1:
        m = t_interval(values)
        interval = Interval(m.low, m.high, "t, 95 %")
    own = f": {setting.runs[0].name}" if len(values) == 1 else f" ({len(values)} seeds)"
    return Dot(
        label=setting.letter + own, kind=setting.letter, value=mean, interval=interval, text=f"{100 * mean:.1f} %"
    )
