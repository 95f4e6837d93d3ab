"""Draws docs/page/page.png, the picture of a run's page that the README shows.

python docs/make_page_picture.py RUN

Needs playwright (pip install playwright) and an installed chromium.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image

from multiview.report.page import write_page

OUT = Path(__file__).parent / "page" / "page.png"
WIDTH, MARGIN, COLOURS = 1280, 12, 256
SECTIONS = ("verdict", "graph", "matrix", "subsets", "gallery", "map")
"""The parts of the page that the picture shows, in two columns."""


def sections(page: Path) -> list[Image.Image]:
    """A picture of each section of a page in a light browser window."""
    from playwright.sync_api import sync_playwright

    browser_path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        window = browser.new_page(viewport={"width": WIDTH, "height": 4000})
        window.goto(page.resolve().as_uri())
        window.wait_for_function("document.querySelectorAll('.plot .main-svg').length > 0")
        shots = [window.locator(f"section#{name}").screenshot() for name in SECTIONS]
        browser.close()
    return [Image.open(io.BytesIO(shot)).convert("RGB") for shot in shots]


def in_two_columns(pictures: list[Image.Image]) -> Image.Image:
    """The pictures below each other in two columns of about the same height, in their order."""
    heights = [picture.height for picture in pictures]
    split = min(range(1, len(pictures)), key=lambda i: abs(sum(heights[:i]) - sum(heights[i:])))
    columns = [pictures[:split], pictures[split:]]
    height = max(sum(each.height + MARGIN for each in column) for column in columns)
    width = max(picture.width for picture in pictures)
    sheet = Image.new("RGB", (2 * width + 3 * MARGIN, height + MARGIN), pictures[0].getpixel((1, 1)))
    for number, column in enumerate(columns):
        top = MARGIN
        for picture in column:
            sheet.paste(picture, (MARGIN + number * (width + MARGIN), top))
            top += picture.height + MARGIN
    return sheet


def main(run: str) -> None:
    """Writes the picture, at half size and with few colours."""
    sheet = in_two_columns(sections(write_page([Path(run)])))
    small = sheet.resize((WIDTH, round(sheet.height * WIDTH / sheet.width)), Image.Resampling.LANCZOS)
    OUT.parent.mkdir(exist_ok=True)
    small.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(OUT, optimize=True)
    print(f"{OUT}: {OUT.stat().st_size // 1000} kB")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python docs/make_page_picture.py RUN")
    main(sys.argv[1])
