"""Plugins: installed ones, broken ones, and two packages that register one name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from multiview import plugins
from multiview.catalogue import entries, first_sentence, help_of, lines, source_of
from multiview.cli import run
from multiview.errors import MultiviewError, unknown_name
from multiview.plugins import find, installed, load

MODULE = '''"""Sensors of heat."""

from functools import partial

class Heat:
    """What a thermal camera sees. More of it here."""

    def view(self):
        """A method that is a view, in kelvin, e.g. 300."""

cold = partial(Heat)
'''

PAIRS = '''"""Pairs."""
left, right = 1, 2
"""
The `left` of two.
The `right` of two.
"""
one = 1
"""One. Or not."""
'''

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs: `install("thermal", {"views": {"heat": "thermal:Heat"}}, thermal=SOURCE)`."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def installing(dist: str, groups: dict[str, dict[str, str]], **modules: str) -> None:
        info = tmp_path / f"{dist}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n")
        text = [
            f"[multiview.{group}]\n" + "".join(f"{name} = {target}\n" for name, target in names.items())
            for group, names in groups.items()
        ]
        (info / "entry_points.txt").write_text("\n".join(text))
        for name, source in modules.items():
            (tmp_path / f"{name}.py").write_text(source)
        plugins._registered.cache_clear()

    before = set(sys.modules)
    yield installing
    plugins._registered.cache_clear()
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def test_a_plugin_of_another_package_is_listed_and_loaded_by_its_name(install: Install) -> None:
    install("thermal", {"views": {"heat": "thermal:Heat", "warm": "thermal:Heat.view"}}, thermal=MODULE)
    assert load("views", "heat").__name__ == "Heat"
    assert load("views", "thermal/warm").__name__ == "view"
    listed = {entry.plugin.name: entry for entry in entries("views")}
    assert listed["heat"].help == "What a thermal camera sees."
    assert listed["heat"].plugin.origin == "thermal"
    assert listed["warm"].help == "A method that is a view, in kelvin, e.g. 300."
    assert set(listed) > {"L", "ab", "rgb"}


def test_the_help_of_an_undocumented_plugin_is_that_of_its_module(install: Install) -> None:
    install("thermal", {"views": {"cold": "thermal:cold"}}, thermal=MODULE)
    assert help_of("thermal:cold") == "Sensors of heat."
    assert help_of("no_such_module:x") == ""


def test_assigned_names_are_described_by_the_string_below(install: Install) -> None:
    install("pairs", {}, pairs=PAIRS)
    assert help_of("pairs:left") == "The `left` of two."
    assert help_of("pairs:right") == "The `right` of two."
    assert help_of("pairs:one") == "One."


@pytest.mark.parametrize("group", ["views", "encoders", "objectives", "sources", "recipes"])
def test_our_plugins_have_different_helps(group: str) -> None:
    helps = [entry.help for entry in entries(group) if entry.plugin.origin == "multiview-cmc"]
    assert all(helps)
    assert len(set(helps)) == len(helps)


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package' (broken:Thing)"),
        ("x = 1", "AttributeError: module 'broken' has no attribute 'Thing' (broken:Thing)"),
        ("def Thing(:", "SyntaxError: "),
        ("import sys\nsys.exit('no licence')", "SystemExit: no licence (broken:Thing)"),
    ],
)
def test_a_broken_plugin_is_listed_with_its_cause_and_others_work(
    install: Install, source: str, cause: str, capsys: pytest.CaptureFixture[str]
) -> None:
    install("stranger", {"encoders": {"odd": "broken:Thing"}}, broken=source)
    assert run(["list", "encoders"]) == 0
    text = capsys.readouterr().out
    line = next(line for line in text.splitlines() if "odd" in line)
    assert line.split()[:3] == ["odd", "stranger", "BROKEN:"]
    assert cause in line
    assert "resnet18" in text
    assert callable(load("encoders", "convnet"))


def test_the_error_for_a_broken_plugin_names_the_cause_and_the_package(install: Install) -> None:
    install("stranger", {"encoders": {"odd": "broken:Thing"}}, broken="import no_such_package")
    message = (
        r"the encoder 'odd' of stranger cannot be imported from broken:Thing: ModuleNotFoundError: No module named "
    )
    with pytest.raises(MultiviewError, match=message + r"'no_such_package'\. Reinstall or update stranger\."):
        load("encoders", "odd")


def test_a_name_that_two_packages_register_is_an_error(install: Install) -> None:
    install("thermal", {"views": {"L": "thermal:Heat"}}, thermal=MODULE)
    message = "2 packages register the view 'L': write multiview-cmc/L or thermal/L, or uninstall one of them."
    with pytest.raises(MultiviewError, match=message):
        load("views", "L")
    assert load("views", "thermal/L").__name__ == "Heat"
    assert find("views", "multiview-cmc/L").target == "multiview.views.lab:lightness"
    both = [line for line in lines(["views"]) if line.startswith("  L ")]
    assert len(both) == 2
    assert "(2 packages register this name: write thermal/L)" in both[1]


def test_an_error_about_an_unknown_name_lists_the_names() -> None:
    with pytest.raises(MultiviewError, match=r"'labb' is not a view\..* Available: L, ab, .*rgb"):
        load("views", "labb")
    with pytest.raises(MultiviewError, match=r"'view' is not a group of plugins; .* Did you mean 'views'\?"):
        run(["list", "view"])
    assert installed("recipes") == sorted(installed("recipes"), key=lambda plugin: plugin.name)


@pytest.mark.parametrize("group", plugins.GROUPS)
def test_our_plugins_work_and_have_help(group: str) -> None:
    for entry in entries(group):
        assert entry.trouble == ""
        assert len(entry.help) > 10, entry.plugin.name


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("CMC (arXiv:1906.05849, Sec. 4.3): views. Then more.", "CMC (arXiv:1906.05849, Sec. 4.3): views."),
        ("One line\nbroken in two\n\nArgs: x", "One line broken in two"),
        ("", ""),
    ],
)
def test_the_first_sentence(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence


def test_the_source_of_a_module_is_found_without_importing_its_package() -> None:
    file = source_of("multiview.views.lab")
    assert file is not None
    assert file.name == "lab.py"
    assert source_of("multiview.views") is not None
    assert source_of("no.such.module") is None


def test_the_suggestion_stands_before_a_long_list_and_behind_a_short_one() -> None:
    many = [f"view_{number}" for number in range(20)]
    text = str(unknown_name("view", "dpeth", [*many, "depth"]))
    assert text.startswith("'dpeth' is not a view. Did you mean 'depth'? Available: depth, view_0")
    assert str(unknown_name("view", "dpeth", ["depth", "L"])).endswith("available: L, depth. Did you mean 'depth'?")
    assert "Did you mean" not in str(unknown_name("view", "xyz", [*many, "depth"]))
