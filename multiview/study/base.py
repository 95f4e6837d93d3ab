"""Whether the base of a study learned: where it did not, differences from it say nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from multiview.measure.intervals import margin
from multiview.measure.rows import RANDOM
from multiview.plurals import counted
from multiview.settings import FEWEST, t_interval
from multiview.study.outcome import FOUND, PROBE, Outcome

ADVICE = (
    "so differences from it say nothing about views and edges. Let the base learn first: give the study more steps "
    "(--steps) or more data, and look whether `multiview train` with the same words ends in a verdict that shows "
    "learning."
)


def base_lines(base: Sequence[Outcome]) -> list[str]:
    """One sentence where the base is not better than random weights and chance; else none.

    The probe of all views and the mean R@1 count, as far as they were measured with random weights.
    """
    found = [names for names in ([PROBE], _directions(base)) if _pairs(base, names)]
    if not found or any(_is_learned(base, names) for names in found):
        return []
    return [
        f"The base learned nothing beyond chance ({'; '.join(_in_words(base, names) for names in found)}), {ADVICE}"
    ]


def probe_lines(found: Iterable[Sequence[Outcome]]) -> list[str]:
    """A sentence where probes name the commonest class alone; such runs are judged by the rest."""
    runs = [run for each in found for run in each]
    blind = sum(run.one_class for run in runs)
    if not blind:
        return []
    return [
        f"In {blind} of {counted(len(runs), 'run')} the linear probe names the commonest class for every sample, with "
        "every encoder. It tells nothing there, and is left out: give more labelled samples, or read R@1."
    ]


def _directions(base: Sequence[Outcome]) -> list[str]:
    return [name for name in (base[0].values if base else {}) if name.startswith(f"{FOUND}/")]


def _pairs(base: Sequence[Outcome], names: Sequence[str]) -> list[tuple[float, float]]:
    """For each run the mean value of the names, and that of random weights, or chance if higher.

    A run that did not measure random weights is compared with those of the other seeds.
    """
    untrained = {name: control for name in names if (control := _untrained(base, name)) is not None}
    pairs = []
    for run in base:
        known = [name for name in names if name in run.values and name in untrained]
        if known:
            control = fmean(run.controls.get(f"{RANDOM}/{name}", untrained[name]) for name in known)
            chance = 0.0 if known == [PROBE] else run.chance
            pairs.append((fmean(run.values[name] for name in known), max(control, chance)))
    return pairs


def _untrained(base: Sequence[Outcome], name: str) -> float | None:
    """The mean value of random weights over the runs that measured it; None where none did."""
    found = [run.controls[key] for run in base if (key := f"{RANDOM}/{name}") in run.controls]
    return fmean(found) if found else None


def _is_learned(base: Sequence[Outcome], names: Sequence[str]) -> bool:
    """Whether the mean lies above the control: by the test samples, or by three seeds and more."""
    pairs = _pairs(base, names)
    own, control = (fmean(column) for column in zip(*pairs, strict=True))
    tested = base[0].probed if list(names) == [PROBE] else base[0].queries
    if not tested and len(pairs) < FEWEST:
        return own > control
    by_samples = bool(tested) and margin(own, control, tested, tested).clear
    return by_samples or (len(pairs) >= FEWEST and t_interval([x - y for x, y in pairs]).clear)


def _in_words(base: Sequence[Outcome], names: Sequence[str]) -> str:
    pairs = _pairs(base, names)
    own, control = (100 * fmean(column) for column in zip(*pairs, strict=True))
    if list(names) == [PROBE]:
        return f"probe {own:.1f} %, with random weights {control:.1f} %"
    untrained = 100 * fmean(x for name in names if (x := _untrained(base, name)) is not None)
    return f"R@1 {own:.1f} %, with random weights {untrained:.1f} %, by chance {100 * base[0].chance:.1f} %"
