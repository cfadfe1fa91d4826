"""The page under load, and how long a click takes: latency, memory, refusals.

python bench/page.py                  # measures, with Chromium
python bench/page.py --screenshots    # draws the pictures of docs/page.md instead
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from common import COFFEE, PHOTOS, machine, record
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.table import Table

from stylize.assets import style_files
from stylize.network.device import choose

TOKEN = "0123456789abcdef"  # noqa: S105
DOCS = PHOTOS.parent.parent / "docs"
CLIENTS, REQUESTS = 20, 200
SIZE = 512  # pixels on the longest side, of what the clients ask for
PHONE = (4000, 3000)  # pixels, of the photo that is previewed
SHOWN = ("garden/anemone.jpg", "kitchen/coffee.png", "music/drums.jpg", "people/astronaut.jpg")
SHOWN += ("travel/fort.jpg", "workshop/light-bulb.jpg")
STYLE = "woodblock"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--screenshots", action="store_true")
    if parser.parse_args().screenshots:
        draw_screenshots()
        return
    compute = choose("cpu")
    console = Console(width=110)
    console.print(machine(compute.device))
    figures = {f"{count} requests": load(count) for count in (CLIENTS, REQUESTS)}
    first, last = (each["peak memory, MB"] for each in figures.values())
    figures["memory"] = {"growth": last / first}
    figures["click to picture"] = click()
    table = Table("", "", "")
    for what, values in figures.items():
        for name, value in values.items():
            table.add_row(what, name, f"{value:.2f}")
    console.print(table)
    record("page", compute.device, figures)


@contextmanager
def server(*options: str) -> Iterator[tuple[str, int]]:
    """The address of `stylize page`, and its process."""
    words = [sys.executable, "-m", "stylize", "page", "--port", "0", "--no-browser", *options]
    environment = {**os.environ, "STYLIZE_TOKEN": TOKEN, "COLUMNS": "200"}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        line = process.stdout.readline()
        yield line[line.index("http") : line.index("/?")], process.pid
    finally:
        process.terminate()
        process.wait()


def load(count: int) -> dict[str, float]:
    """So many requests from all clients to a fresh server."""
    with server() as (address, process), ThreadPoolExecutor(CLIENTS) as pool:
        photo = COFFEE.read_bytes()
        started = time.monotonic()
        found = list(pool.map(partial(ask, address, photo), range(count)))
        seconds = time.monotonic() - started
        memory = peak_memory(process)
    statuses = Counter(status for status, _ in found)
    times = sorted(took for status, took in found if status == 200)
    return {
        **{f"answered {status}": number for status, number in statuses.items()},
        "p50, s": statistics.median(times),
        "p95, s": times[int(0.95 * len(times))],
        "requests/s": count / seconds,
        "peak memory, MB": memory / 1e6,
    }


def ask(address: str, photo: bytes, _: int) -> tuple[int, float]:
    """The status of one request for a painted photo, and its seconds."""
    started = time.monotonic()
    request = urllib.request.Request(  # noqa: S310
        f"{address}/stylize?style={STYLE}&name=coffee.png&size={SIZE}&format=jpg",
        photo,
        {"Authorization": f"Bearer {TOKEN}"},
    )
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            answer.read()
            return answer.status, time.monotonic() - started
    except urllib.error.HTTPError as error:
        return error.code, time.monotonic() - started


def peak_memory(process: int) -> int:
    """The largest resident memory of a process so far, in bytes (Linux)."""
    status = Path(f"/proc/{process}/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


@contextmanager
def browser(address: str, **options: object) -> Iterator[Page]:
    """The page of a server in Chromium."""
    with sync_playwright() as running:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        opened = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = opened.new_page(**options)  # type: ignore[arg-type]
        page.goto(f"{address}/?token={TOKEN}")
        page.wait_for_selector(".style", state="attached")
        yield page
        opened.close()


def click() -> dict[str, float]:
    """From a click on a style to its small picture and to the sharp one, for a phone's photo.

    The first click on a style loads it, so each is clicked twice.
    """
    first: dict[int, list[float]] = {512: [], 1600: []}
    again: dict[int, list[float]] = {512: [], 1600: []}
    with tempfile.TemporaryDirectory() as folder, server() as (address, _):
        photo = Path(folder) / "phone.jpg"
        Image.open(COFFEE).convert("RGB").resize(PHONE).save(photo, quality=92)
        with browser(address, viewport={"width": 1440, "height": 900}) as page:
            page.set_input_files("#files", photo)
            page.wait_for_selector("#strip img")
            page.wait_for_timeout(3000)
            for found in (first, again):
                for name in style_files():
                    page.check(f"[value={name}]")
                    started = time.monotonic()
                    for size, seconds in found.items():
                        page.wait_for_selector(f'#after[data-shown="{name} {size}"]')
                        seconds.append(time.monotonic() - started)
    return {
        f"{when}, {size} px, {what}": measure(found[size])
        for when, found in (("first", first), ("again", again))
        for size in (512, 1600)
        for what, measure in (("median, s", statistics.median), ("largest, s", max))
    }


def draw_screenshots() -> None:
    with server("--output", "painted") as (address, _):
        for name, width, height, scheme in (
            ("page", 1440, 960, "light"),
            ("page-dark", 1440, 960, "dark"),
            ("page-phone", 390, 844, "dark"),
        ):
            view = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
            with browser(address, **view) as page:
                page.set_input_files("#files", [PHOTOS / photo for photo in SHOWN])
                page.wait_for_selector(f"#strip li:nth-child({len(SHOWN)})")
                page.click("#strip li:nth-child(5) .thumbnail")
                page.check(f"[value={STYLE}]")
                page.wait_for_selector("#after[src]")
                page.wait_for_selector("#pair:not(.busy)")
                page.screenshot(path=DOCS / f"{name}.jpg", type="jpeg", quality=80)


if __name__ == "__main__":
    main()
