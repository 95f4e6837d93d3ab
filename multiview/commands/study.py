"""`multiview study`: which view helps, which edge hurts, and what options change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from multiview.errors import MultiviewError, unknown_name
from multiview.exits import DONE, FAILED, stopped_by
from multiview.options import parse
from multiview.plurals import counted
from multiview.terminal import say

if TYPE_CHECKING:
    from multiview.study.build import Built
    from multiview.study.plan import Plan

PARTS = ("views", "edges", "topology", "alone")
FLAGS = ("plan", "gradients")


@dataclass(frozen=True, kw_only=True)
class Study:
    """Trains a recipe with changes, over paired seeds, and says which view helps and which hurts.

    The changes: one view is left out, one edge is left out, other edges (full, core, chain), one
    view alone (its own SimCLR), and other values of options. All runs have equal steps. The other
    options are those of `multiview train RECIPE`.

    Args:
        out: the folder of the study (null = studies/RECIPE). The same command continues a study
            that was stopped; finished runs are not repeated.
        seeds: how many seeds, from --seed on. Intervals need 2, verdicts 3; 5 make the
            intervals narrow enough for most differences.
        parts: what is changed: views, edges, topology, alone, or none.
        core: the view in the middle of the topology `core` (null = the first).
        sweep: OPTION=VALUE,VALUE: also other values of an option: temperature, K, dim or another
            field of the objectives, crop (own, shared), or an option of training such as batch.
        processes: how many runs are trained side by side, each on its share of the cores (0 = one
            for each core, at most 8; one on a GPU).
        gradients: measure how the gradients of two edges agree on an encoder that both train.
        plan: print the variants, the number of runs and the minutes, then stop.
    """

    out: str | None = None
    seeds: int = 5
    parts: tuple[str, ...] = PARTS
    core: str | None = None
    sweep: tuple[str, ...] = ()
    processes: int = 0
    gradients: bool = True
    plan: bool = False

    def __post_init__(self) -> None:
        if self.seeds < 1 or self.processes < 0:
            raise MultiviewError("give --seeds 1 or more, and --processes 0 or more.")
        for part in self.parts:
            if part not in (*PARTS, "none"):
                raise unknown_name("part of a study", part, (*PARTS, "none"))

    @property
    def sweeps(self) -> list[tuple[str, str]]:
        """Option and value of every swept setting."""
        found = []
        for words in self.sweep:
            name, equals, values = words.partition("=")
            if not equals or not values:
                raise MultiviewError(f"--sweep {words} names no values; write --sweep temperature=0.05,0.1,0.2.")
            found += [(name, value) for value in values.split(",")]
        return found


def study(name: str, words: Sequence[str]) -> int:
    """multiview study RECIPE [options]; a graph file may stand for the recipe."""
    own, rest = split_words(words)
    options = parse(Study, own, prog=f"multiview study {name}")
    folder = Path(options.out or f"studies/{Path(name.replace(':', '-')).stem}")
    built = _built(name, rest, options, folder)
    if options.plan:
        _show_plan(built, folder, options)
        return DONE
    return _run(built, folder, options)


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The options of the study, and those of the recipe."""
    names = {each.name for each in fields(Study)}
    own, rest, left = list[str](), list[str](), list(words)
    while left:
        word = left.pop(0)
        option = word.partition("=")[0].removeprefix("--")
        mine = word in ("-h", "--help") or (word.startswith("--") and option in names) or word == "-o"
        target = own if mine else rest
        target.append("--out" if word == "-o" else word)
        if option in FLAGS and left and left[0] in ("true", "false"):
            target[-1] = f"{word}={left.pop(0)}"
        while left and "=" not in word and option not in FLAGS and not left[0].startswith("-"):
            target.append(left.pop(0))
    return own, rest


def _built(name: str, words: Sequence[str], options: Study, folder: Path) -> Built:
    from multiview.launch import parse_named
    from multiview.study.build import build

    recipe = parse_named(name, words, f"multiview study {name}")
    parts = () if "none" in options.parts else options.parts
    return build(
        recipe,
        folder,
        seeds=options.seeds,
        parts=parts,
        core=options.core,
        sweeps=options.sweeps,
        gradients=options.gradients,
    )


def _show_plan(built: Built, folder: Path, options: Study) -> None:
    """Prints variants, runs and minutes."""
    from multiview.study.pool import processes_for

    jobs = built.plan.jobs(folder)
    left = [job for job in jobs if not job.done]
    side = processes_for(len(left), options.processes)
    say("\nVariants")
    for variant in built.plan.variants:
        say(f"  {variant.name}")
    for sentence in built.left_out:
        say(f"Note: {sentence}")
    variants, seeds = counted(len(built.plan.variants), "variant"), counted(options.seeds, "seed")
    say(
        f"\n{variants} x {seeds} = {counted(len(jobs), 'run')}, of which {len(left)} are left; "
        f"{counted(side, 'process', 'processes')} side by side"
    )
    say(_duration(built, [job.seconds for job in jobs if job.done], len(left), side))


def _duration(built: Built, known: Sequence[float], left: int, side: int) -> str:
    """The time of the runs that are left: by those that are finished, else by the encoders."""
    from multiview.train.duration import amount

    if known:
        seconds = sum(known) / len(known) * left / side
        return f"time: about {amount(seconds)}, as the {counted(len(known), 'finished run')} took"
    if built.seconds is None:
        return "time: not known"
    return (
        f"time: about {amount(built.seconds / side)} for the encoders alone. Every run is also evaluated, which takes "
        "longer than short training: up to a minute a run; the first finished runs tell the time left"
    )


def _run(built: Built, folder: Path, options: Study) -> int:
    """Trains what is left, then shows table, files and page."""
    from multiview.folderlock import locked
    from multiview.study.build import write_files
    from multiview.study.plan import write_plan
    from multiview.study.pool import Pool, processes_for

    for sentence in built.left_out:
        say(f"Note: {sentence}")
    write_plan(folder, built.plan)
    with locked(folder, "another --out"):
        write_files(folder, built)
        jobs = built.plan.jobs(folder)
        left = sum(not job.done for job in jobs)
        pool = Pool(folder, jobs, say, processes_for(left, options.processes))
        say(f"{counted(left, 'run')} to train of {len(jobs)}; {pool.processes} side by side")
        pool.run()
        shown(folder, built.plan)
    return stopped_by(pool.stopped) if pool.stopped else FAILED if pool.failed else DONE


def shown(folder: Path, plan: Plan) -> None:
    """Prints the table and the verdicts, and writes CSV, JSON and the page."""
    from multiview.study.outcome import outcomes
    from multiview.study.page import write_study_page
    from multiview.study.table import show, write_files
    from multiview.study.verdict import Judged
    from multiview.terminal import SafeConsole

    judged = Judged.of(outcomes(folder, plan))
    console = SafeConsole()
    if not console.is_terminal:
        console.width = 140
    show(judged, console)
    for file in [*write_files(folder, plan, judged), write_study_page(folder, plan, judged)]:
        if file is not None:
            say(f"written: {file}")
