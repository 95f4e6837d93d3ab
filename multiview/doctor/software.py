"""What is installed: the package itself, its dependencies and extras, a compiler, the plugins."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distributions, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from multiview.catalogue import OURS, entries
from multiview.doctor.finding import ADVICE, BROKEN, OK, Finding, reason, short
from multiview.plugins import GROUPS, Plugin, installed

ESSENTIAL = ("torch", "torchvision", "torchaudio", "numpy", "h5py", "accelerate", "timm")
"""Dependencies whose versions stand on the page also when they fit."""
DEVELOPMENT = "dev"
PROGRAM = "#include <cmath>\n#include <omp.h>\nint main() { return omp_get_max_threads() < 1; }\n"
COMPILING_SECONDS = 6.0


def multiview() -> Iterator[Finding]:
    """The version of this package and whether the installation is one and up to date."""
    folder = Path(__file__).parents[1]
    own = [each for each in distributions() if (each.metadata["Name"] or "") == OURS]
    text = f"{OURS} {version(OURS)} in {short(folder)}"
    if len({each.version for each in own}) > 1 or _differ(own):
        places = ", ".join(short(str(each.locate_file(""))) for each in own)
        advice = f"Remove the old one: `rm -r {shlex.quote(OURS.replace('-', '_') + '.egg-info')}` or `pip uninstall`."
        yield Finding("multiview", BROKEN, f"{text}; several installations that differ: {places}", advice)
        return
    stale = stale_entry_points(folder.parent / "pyproject.toml")
    if stale:
        text += f"; its list of plugins is older than its code: {', '.join(stale[:5])} differ"
        yield Finding(
            "multiview", BROKEN, text, f"Install it again: `pip install -e {shlex.quote(str(folder.parent))}`."
        )
        return
    yield Finding("multiview", OK, text)


def _differ(own: list[Distribution]) -> bool:
    """Whether installations of the package register different plugins."""
    return len({tuple(sorted((e.group, e.name, e.value) for e in each.entry_points)) for each in own}) > 1


def stale_entry_points(project: Path) -> list[str]:
    """Plugins that differ between a checkout and its installation; none outside a checkout."""
    if not project.is_file():
        return []
    listed = tomllib.loads(project.read_text("utf8")).get("project", {})
    if listed.get("name") != OURS:
        return []
    declared = {
        f"{group.removeprefix('multiview.')}/{name}": target
        for group, names in listed.get("entry-points", {}).items()
        for name, target in names.items()
    }
    known = {f"{each.group}/{each.name}": each.target for each in _own_plugins()}
    return sorted(key for key in declared.keys() | known.keys() if declared.get(key) != known.get(key))


def _own_plugins() -> list[Plugin]:
    return [plugin for group in GROUPS for plugin in installed(group) if plugin.origin == OURS]


@cache
def requirements() -> tuple[tuple[Requirement, str], ...]:
    """What the package needs, each with the extra that asks for it, "" = always."""
    parsed = [Requirement(text) for text in requires(OURS) or ()]
    extra = re.compile(r"extra == ['\"]([\w-]+)['\"]")
    found = ((each, extra.search(str(each.marker or ""))) for each in parsed)
    return tuple((each, match[1] if match else "") for each, match in found)


def held(requirement: Requirement) -> tuple[str, str]:
    """The installed version, "" = none, and what is wrong with it, "" = nothing."""
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return "", f"{requirement.name} is not installed"
    fits = requirement.specifier.contains(found, prereleases=True)
    return found, "" if fits else f"{requirement.name} {found} does not fit {requirement.specifier}"


def dependencies() -> Iterator[Finding]:
    """Whether every dependency is there in a version that fits."""
    needed = [(each.name, *held(each)) for each, extra in requirements() if not extra]
    wrong = [trouble for _, _, trouble in needed if trouble]
    shown = ", ".join(f"{name} {found}" for name, found, _ in needed if name in ESSENTIAL and found)
    if wrong:
        advice = f"`pip install --upgrade {OURS}` installs what fits."
        yield Finding("dependencies", BROKEN, "; ".join([*wrong, shown]), advice)
        return
    yield Finding("dependencies", OK, f"{shown}; {len(needed)} of {len(needed)} fit")


def extras() -> Iterator[Finding]:
    """Which extras are installed, and which of their packages are too old."""
    by_extra: dict[str, list[tuple[str, str, str]]] = {}
    for each, extra in requirements():
        if extra and extra != DEVELOPMENT:
            by_extra.setdefault(extra, []).append((each.name, *held(each)))
    whole = {name: rows for name, rows in by_extra.items() if all(found for _, found, _ in rows)}
    there = [f"{name} ({', '.join(f'{each} {found}' for each, found, _ in rows)})" for name, rows in whole.items()]
    old = [trouble for rows in whole.values() for _, _, trouble in rows if trouble]
    missing = [name for name in by_extra if name not in whole]
    text = f"installed: {', '.join(there) or 'none'}; not installed: {', '.join(missing) or 'none'}"
    if old:
        yield Finding("extras", ADVICE, f"{text}; {'; '.join(old)}", "Upgrade: " + _install(whole))
        return
    yield Finding("extras", OK, text)


def _install(extras: dict[str, list[tuple[str, str, str]]]) -> str:
    names = ",".join(name for name, rows in extras.items() if any(trouble for _, _, trouble in rows))
    return f"`pip install --upgrade '{OURS}[{names}]'`."


def compiler() -> Iterator[Finding]:
    """Whether a C++ compiler can build what --compile makes on a CPU."""
    named = os.environ.get("CXX", "")
    found = next((path for name in (named, "g++", "clang++", "c++") if name and (path := shutil.which(name))), None)
    if found is None:
        given = f"CXX={named} does not exist and " if named else ""
        advice = "Only --compile on a CPU needs it: install g++ (Debian, Ubuntu: apt-get install g++)."
        yield Finding("compiler", ADVICE, f"{given}none is installed", advice)
        return
    trouble = _compiling_fails(found)
    advice = "Only --compile on a CPU needs it: install g++ with OpenMP and the headers of Python." if trouble else ""
    text = f"{short(found)}{': ' + trouble if trouble else ' builds a program with OpenMP'}"
    yield Finding("compiler", ADVICE if trouble else OK, text, advice)


def _compiling_fails(path: str) -> str:
    """Why a small program cannot be built; "" = it can."""
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        return "the headers of Python (Python.h) are missing"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "trial.cpp")
        source.write_text(PROGRAM)
        words = [path, "-fopenmp", str(source), "-o", str(source.with_suffix(""))]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=COMPILING_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as cause:
            return reason(cause)
    return "" if done.returncode == 0 else f"cannot build a program with OpenMP: {done.stderr.strip()[:200]}"


def plugins() -> Iterator[Finding]:
    """Whether every plugin of every package can be imported, and which names are taken twice."""
    found = [entry for group in GROUPS for entry in entries(group)]
    packages = Counter(entry.plugin.origin for entry in found)
    yield Finding("plugins", OK, ", ".join(f"{count} of {name}" for name, count in packages.items()))
    for entry in found:
        if entry.trouble:
            where = f"{entry.plugin.kind} '{entry.plugin.name}' of {entry.plugin.origin}"
            advice = f"Reinstall, update or uninstall {entry.plugin.origin}."
            yield Finding("plugins", BROKEN, f"{where}: {entry.trouble}", advice)
    names = Counter((entry.plugin.kind, entry.plugin.name) for entry in found)
    for (kind, name), count in names.items():
        if count > 1:
            text = f"{count} packages register the {kind} '{name}'"
            yield Finding("plugins", ADVICE, text, f"Write PACKAGE/{name}, or uninstall one of the packages.")
