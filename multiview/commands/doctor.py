"""`multiview doctor`."""

from __future__ import annotations

import json
import sys
import textwrap
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version

from multiview.doctor.finding import ADVICE, BROKEN, OK, Finding
from multiview.exits import DONE, FAILED
from multiview.plurals import counted
from multiview.recipe import Recipe
from multiview.terminal import SafeConsole

FOLDERS = (".", Recipe.cache, "runs")
COLUMN = 19
"""Width of the names of the checks."""
STYLES = {OK: "green", ADVICE: "yellow", BROKEN: "bold red"}


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Examines this machine: versions, devices, cores, memory, disks, plugins, processes, a store.

    Each line is ok, advice (works, and could work better) or broken (will not work). Takes at most
    20 seconds. Exits with 1 when something is broken. An issue report should hold this page.

    Args:
        folder: further folders whose disks are measured, such as the one of the data.
        json: print JSON.
    """

    folder: tuple[str, ...] = ()
    json: bool = False


def doctor(options: Doctor) -> int:
    """multiview doctor [FOLDER ...] [options]."""
    from multiview.doctor.examine import examine

    start = time.perf_counter()
    findings = examine(tuple(dict.fromkeys((*FOLDERS, *options.folder))))
    seconds = time.perf_counter() - start
    _print_json(findings, seconds) if options.json else _print_page(findings, seconds)
    return FAILED if any(finding.state == BROKEN for finding in findings) else DONE


def _print_json(findings: list[Finding], seconds: float) -> None:
    head = {"version": version("multiview-cmc"), "time": _now(), "seconds": round(seconds, 1)}
    whole = not any(finding.state == BROKEN for finding in findings)
    print(json.dumps({**head, "works": whole, "findings": [asdict(finding) for finding in findings]}, indent=2))


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z")


def _print_page(findings: list[Finding], seconds: float) -> None:
    console = SafeConsole(highlight=False, soft_wrap=True)
    console.print(f"multiview {version('multiview-cmc')}, {_now()}, {seconds:.0f} s\n")
    width = max(60, min(console.width if sys.stdout.isatty() else 120, 140))
    for finding in findings:
        for number, line in enumerate(_lines(finding, width - COLUMN - 8)):
            state, check = (finding.state, finding.check) if number == 0 else ("", "")
            console.print(f"{state:<8}", style=STYLES[finding.state], end="")
            console.print(f"{check:<{COLUMN}}{line}")
    console.print(f"\n{_verdict(findings)}")


def _lines(finding: Finding, width: int) -> list[str]:
    """The text and the advice, wrapped."""
    texts = [finding.text, *([f"-> {finding.advice}"] if finding.advice else [])]
    return [
        line for text in texts for line in textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    ]


def _verdict(findings: list[Finding]) -> str:
    broken, advised = (sum(each.state == state for each in findings) for state in (BROKEN, ADVICE))
    if broken:
        return f"{counted(broken, 'thing')} will not work; {counted(advised, 'line')} with advice."
    return f"Everything that was examined works; {counted(advised, 'line')} with advice."
