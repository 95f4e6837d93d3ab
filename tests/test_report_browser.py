"""The page of a run in a real browser: no script error, every click works, no request."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import report_runs
from report_runs import HOSTILE, hostile_run, run_of_every_kind

from multiview.report.page import write_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")


trained = report_runs.trained


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def opened(browser: Any, file: Path, width: int = 1280, scheme: str = "light") -> tuple[Any, list[str]]:
    """The page in a window, and a list of script errors, warnings and requests that grows."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    page, faults = context.new_page(), list[str]()
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "request", lambda asked: faults.append(asked.url[:99]) if not asked.url.startswith(("file:", "data:")) else None
    )
    page.goto(f"file://{file}")
    page.wait_for_function("document.querySelectorAll('.plot .main-svg').length > 0")
    return page, faults


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_without_error_and_does_not_scroll_sideways(
    browser: Any, trained: Path, width: int, scheme: str
) -> None:
    page, faults = opened(browser, trained / "report.html", width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    kinds = page.evaluate("[...document.querySelectorAll('.plot')].flatMap(p => p._fullData.map(trace => trace.type))")
    assert set(kinds) == {"scatter"}
    assert faults == []


def test_every_click_works(browser: Any, trained: Path) -> None:
    page, faults = opened(browser, trained / "report.html")
    shown = "[...document.querySelectorAll('figure.card')].filter(f => f.offsetParent).length"
    every = page.evaluate(shown)
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("document.querySelector('.plot')._fullLayout.font.color") == "#e6eaf0"
    page.click('#graph-drawing [data-view="L"]')
    assert page.inner_text("#filter").startswith("only view L")
    assert page.evaluate("document.querySelectorAll('#found .line.out').length") == 1  # of ab by ab
    assert page.evaluate("document.querySelector('#upset-plot').data[0].x.length") == 2  # L, and L + ab
    assert page.evaluate("document.querySelectorAll('.matrix td.out').length") == 0
    page.click("#filter")
    assert page.is_hidden("#filter") and page.evaluate(shown) == every
    page.locator('#graph-drawing [data-edge="L-ab"]').dispatch_event("click")
    assert page.inner_text("#filter").startswith("only edge L-ab")
    page.keyboard.press("Tab")
    page.click("#filter")
    page.click('.pair[data-query="L"][data-found="ab"]')
    assert "did not find their own sample first" in page.inner_text("#failures")
    assert page.evaluate("document.querySelectorAll('#failures .own img').length") > 0
    page.click("#queries .sample >> nth=1")
    assert page.evaluate("document.querySelectorAll('#queries .on').length") == 1
    assert page.evaluate("[...document.querySelectorAll('#found img')].every(i => i.naturalWidth > 0)")
    assert page.evaluate("document.querySelectorAll('#found .line').length") == 4
    for order in ("hardest", "disagreeing", "spread", "nearest"):
        page.click(f"#orders [data-order={order}]")
        assert page.get_attribute(f"#orders [data-order={order}]", "aria-pressed") == "true"
        assert page.evaluate("document.querySelectorAll('#queries .sample').length") > 0
    page.select_option("#from", "ab")
    assert page.evaluate("document.querySelectorAll('#found .line').length") == 2
    page.select_option("#upset-measure", label="kNN accuracy")
    assert "kNN accuracy" in page.evaluate("document.querySelector('#upset-plot')._fullLayout.yaxis.title.text")
    lines = "document.querySelector('#map-plot').data[0].x.length"
    assert page.evaluate(lines) == 3 * samples_of(page)
    page.click("#map-join")
    assert page.evaluate(lines) == 0
    page.click("#map-centre")
    ab = page.evaluate("document.querySelector('#map-plot').data.find(trace => trace.name === 'ab').x")
    assert abs(sum(ab)) < 0.01 * len(ab)
    page.select_option("#map-colour", "view")
    assert page.evaluate("document.querySelector('#map-plot').data.map(trace => trace.name || '')") == ["", "L", "ab"]
    page.click("summary >> nth=0")
    assert faults == []


def samples_of(page: Any) -> int:
    return page.evaluate("JSON.parse(document.getElementById('page-data').textContent).gallery.samples.length")


def test_sounds_numbers_and_duplicates_are_shown(browser: Any, trained: Path, tmp_path: Path) -> None:
    page, faults = opened(browser, write_page([run_of_every_kind(trained, tmp_path)]))
    player = page.locator("#found .large audio >> nth=0")
    player.evaluate("async player => { await player.play(); player.pause(); }")
    assert player.evaluate("player => player.duration") > 0.05
    page.click("#found .line .play >> nth=0")
    assert page.inner_text("#found .numbers tr >> nth=0").startswith("a")
    page.click("#orders [data-order=duplicates]")
    assert "correlate with" in page.inner_text("#found")
    assert page.is_hidden("#from-label")
    assert faults == []


def test_a_lasso_shows_the_samples_and_their_neighbours(browser: Any, trained: Path) -> None:
    page, faults = opened(browser, trained / "report.html")
    page.locator("#map-plot").scroll_into_view_if_needed()
    box = page.locator("#map-plot .nsewdrag").bounding_box()
    corners = [(0.02, 0.02), (0.98, 0.02), (0.98, 0.98), (0.02, 0.98), (0.02, 0.04)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=5)
    page.mouse.up()
    page.wait_for_selector("#selected .sample")
    assert f"{samples_of(page)} samples selected" in page.inner_text("#map-said")
    page.click("#selected .ring >> nth=2")
    name = page.locator("#selected .ring >> nth=2").get_attribute("title").split(",")[0]
    assert name in page.inner_text("#found h4 >> nth=0")
    assert faults == []


# The fast tests open three kinds in the browser; tests/test_report.py reads the page of every name.
FAST = ("</script>", '"><img', "\x1b")


def hostile_names() -> list[object]:
    slow = pytest.mark.slow
    return [pytest.param(name, id=repr(name[:12]), marks=() if name.startswith(FAST) else slow) for name in HOSTILE]


@pytest.mark.parametrize("name", hostile_names())
def test_no_foreign_name_runs_as_a_script(browser: Any, trained: Path, tmp_path: Path, name: str) -> None:
    page, faults = opened(browser, write_page([hostile_run(trained, tmp_path, name)]), 400)
    page.locator("#graph-drawing [data-edge]").dispatch_event("click")
    page.click("#filter")
    page.click(".pair >> nth=0")
    page.click("#queries .sample >> nth=1")
    page.click("#found .play >> nth=0") if page.locator("#found .play").count() else None
    page.click("#orders [data-order=duplicates]")
    page.click("#orders [data-order=hardest]")
    page.select_option("#from", index=2)
    page.select_option("#map-colour", "view")
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    page.locator(".figure >> nth=0").hover()
    assert page.evaluate("window.hurt") is None
    assert page.evaluate("document.querySelectorAll('script').length") == 3
    assert page.evaluate("[...document.querySelectorAll('img')].every(i => i.src.startsWith('data:image/jpeg'))")
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    assert faults == []


def test_it_prints_light_and_whole(browser: Any, trained: Path, tmp_path: Path) -> None:
    page, faults = opened(browser, trained / "report.html", scheme="dark")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.pdf(path=str(tmp_path / "page.pdf"))
    assert (tmp_path / "page.pdf").stat().st_size > 20_000
    assert faults == []
