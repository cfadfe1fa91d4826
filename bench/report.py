"""How long does the report of an audit take to write, and to use, with many photos?

Needs Chromium and Playwright. The pictures are the sample photos and their expected results, again
and again. Times of the browser end when the page has redrawn itself.

    python bench/report.py [--count 2000]
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from common import machine, record
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.table import Table

from stylize.consistency.report import PICTURES, REPORT, write_report
from stylize.events import AuditDone, PhotoAudited
from stylize.network.device import choose

SAMPLES = Path(__file__).parent.parent / "samples"
DRAWN = "() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    options = parser.parse_args()
    compute = choose("cpu")
    console = Console(width=110)
    console.print(machine(compute.device))
    table = Table("", "")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = draw_found(folder, options.count)
        started = time.monotonic()
        write_report(folder / "report", "a large set", found, folder)
        seconds = {"written in": time.monotonic() - started}
        page = folder / "report" / REPORT
        small = (folder / "report" / PICTURES).iterdir()
        megabytes = {
            "page, MB": page.stat().st_size / 1e6,
            "small pictures, MB": sum(path.stat().st_size for path in small) / 1e6,
        }
        seconds |= use(page)
    for what, value in {**seconds, **megabytes}.items():
        table.add_row(what, f"{value:.2f}")
    console.print(table)
    record("report", compute.device, {"photos": options.count, **seconds, **megabytes})


def draw_found(folder: Path, count: int) -> list[PhotoAudited | AuditDone]:
    """What an audit would say of links to the sample photos."""
    afters = sorted((SAMPLES / "expected" / "woodblock").iterdir())
    found: list[PhotoAudited | AuditDone] = []
    for number in range(count):
        expected = afters[number % len(afters)]
        (before,) = (SAMPLES / "photos").rglob(f"{expected.stem}.*")
        after = folder / f"{number:05d} {expected.name}"
        after.symlink_to(expected)
        distance = 1 - number / count
        reasons = ("dark ground",) if number < count // 50 else ()
        found.append(PhotoAudited(after, before, distance, 2 * distance, None, {}, reasons))
    return [*found, AuditDone(count, 0, 0.5, 1.0, None, count // 50, {})]


def use(path: Path) -> dict[str, float]:
    """Seconds for what a visitor does."""
    seconds = {}
    with sync_playwright() as running:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})

        def take(what: str, action: str, *arguments: str) -> None:
            started = time.monotonic()
            getattr(page, action)(*arguments)
            page.evaluate(DRAWN)
            seconds[what] = time.monotonic() - started

        take("open", "goto", path.as_uri())
        take("sort by name", "select_option", "#order", "name")
        take("outliers only", "select_option", "#which", "outlier")
        take("all of them", "select_option", "#which", "all")
        take("find by name", "fill", "#name", "01234")
        take("none sought", "fill", "#name", "")
        take("go to the end", "evaluate", "() => scrollTo(0, document.body.scrollHeight)")
        browser.close()
    return seconds


if __name__ == "__main__":
    main()
