"""The documentation site: what its builder changes in docstrings and pages."""

from __future__ import annotations

import importlib.util
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


@pytest.mark.parametrize(
    ("page", "boost"),
    [("concepts.md", "4"), ("guides/photos.md", "2"), ("evidence.md", "0.2"), ("graph.md", None)],
)
def test_the_search_ranks_meanings_before_measured_numbers(page: str, boost: str | None) -> None:
    spec = importlib.util.spec_from_file_location("make_site", DOCS / "make_site.py")
    assert spec and spec.loader
    site = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(site)
    head = f"---\nsearch:\n  boost: {boost}\n---\n\n" if boost else ""
    assert site.with_boost("# Title\n", page) == f"{head}# Title\n"
    assert all(any(DOCS.glob(pattern)) for pattern in site.BOOSTS)
