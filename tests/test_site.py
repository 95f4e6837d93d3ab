"""The documentation site: what its builder changes in docstrings and pages."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture
def sections(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """docs/example_sections.py; Griffe itself is no dependency of the tests."""
    monkeypatch.setitem(sys.modules, "griffe", SimpleNamespace(Extension=object, Object=object))
    spec = importlib.util.spec_from_file_location("example_sections", DOCS / "example_sections.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("hence 4 - 2 <p_a, k_b> - 2 <p_b, k_a>.", "hence 4 - 2 &lt;p_a, k_b> - 2 &lt;p_b, k_a>."),
        ("below `a < b` and <q, k>", "below `a < b` and &lt;q, k>"),
        ("a\n\n>>> x\n<X>\n\nand <b, c>", "a\n\n>>> x\n<X>\n\nand &lt;b, c>"),
        ("    >>> x < 1\n    True\n    >>> y\n    <Y>", "    >>> x < 1\n    True\n    >>> y\n    <Y>"),
        ("Example:\n    >>> 1 < 2\n    True", "Examples:\n    >>> 1 < 2\n    True"),
        ("nothing to change, a_i > b_i", "nothing to change, a_i > b_i"),
    ],
)
def test_formulas_keep_their_brackets_and_programs_stay(sections: ModuleType, text: str, shown: str) -> None:
    assert sections.for_the_site(text) == shown


def test_every_page_and_file_that_the_site_names_exists() -> None:
    text = (DOCS.parent / "mkdocs.yml").read_text("utf8")
    named = [line.rpartition(": ")[2] for line in text.partition("\nnav:\n")[2].splitlines() if line.endswith(".md")]
    assert len(named) > 30
    assert [page for page in [*named, "page/site.css"] if "reference/" not in page and not (DOCS / page).exists()] == []
    assert "extra_css: [page/site.css]" in text


@pytest.fixture(scope="module")
def site() -> ModuleType:
    """docs/make_site.py."""
    spec = importlib.util.spec_from_file_location("make_site", DOCS / "make_site.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("page", "boost"),
    [("concepts.md", "4"), ("guides/photos.md", "2"), ("evidence.md", "0.2"), ("graph.md", None)],
)
def test_the_search_ranks_meanings_before_measured_numbers(page: str, boost: str | None, site: ModuleType) -> None:
    head = f"---\nsearch:\n  boost: {boost}\n---\n\n" if boost else ""
    assert site.with_boost("# Title\n", page) == f"{head}# Title\n"
    assert all(any(DOCS.glob(pattern)) for pattern in site.BOOSTS)


def test_links_that_leave_the_site_lead_to_the_repository(site: ModuleType) -> None:
    text = "[a](../SECURITY.md), [b](../examples/notebooks), [c](data.md), [d](../no_such_file.md), [e](https://x.org/../y)"
    shown = site.with_outer_links(text, DOCS, DOCS)
    assert f"[a]({site.REPOSITORY}SECURITY.md), [b]({site.REPOSITORY}examples/notebooks), [c](data.md)" in shown
    assert "[d](../no_such_file.md), [e](https://x.org/../y)" in shown
    assert "](../concepts.md)" in site.with_outer_links("[f](../concepts.md)", DOCS / "guides", DOCS)


def test_no_page_of_the_site_leaves_it_by_a_relative_link(site: ModuleType) -> None:
    for page in DOCS.rglob("*.md"):
        shown = site.with_outer_links(page.read_text("utf8"), page.parent, DOCS)
        links = re.findall(r"\]\((\.\./[^)#\s]+)", shown)
        assert [link for link in links if not (page.parent / link).resolve().is_relative_to(DOCS)] == []
