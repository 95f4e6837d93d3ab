"""`multiview study`: which view helps, which edge hurts, and what options change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from multiview.commands.study_options import Study as Study
from multiview.exits import DONE, FAILED, stopped_by
from multiview.options import parse
from multiview.plurals import counted
from multiview.terminal import say

if TYPE_CHECKING:
    from multiview.study.build import Built
    from multiview.study.plan import Plan

FLAGS = ("plan", "gradients")


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
