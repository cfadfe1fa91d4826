"""A server of the page, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from commands import STYLIZE
from conftest import draw_picture, write_style

TOKEN = "0123456789abcdef"  # noqa: S105
# As `stylize page`, with limits that a test can reach.
LIMITED = (
    "from stylize.page.limits import Limits; from stylize.page.server import serve; "
    "serve('127.0.0.1', 0, lambda address: print(address, flush=True), token={token!r}, "
    "limits=Limits(**{limits}))"
)


@dataclass
class Server:
    """`folder` is where it was started, with the style `tiny`; it may save into `saved` there."""

    folder: Path
    process: subprocess.Popen[str]
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, token: str = TOKEN) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.address, headers=headers, timeout=60)

    def files(self) -> list[Path]:
        """All that it keeps of its clients."""
        return [path for path in (self.folder / "tmp").rglob("*") if path.is_file()]


@contextmanager
def server(folder: Path, **limits: float) -> Iterator[Server]:
    """A server that starts in `folder`, with `limits` in place of the usual ones."""
    for name in ("styles", "tmp", "content"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    write_style(folder / "styles" / "tiny.safetensors")
    for number in range(4):
        draw_picture(number, 96, 96).save(folder / "content" / f"{number}.png")
    words = [*STYLIZE, "page", "--port", "0", "--no-browser", "--token", TOKEN]
    words += ["--output", "saved", "--content", "content"]
    if limits:
        words = [sys.executable, "-c", LIMITED.format(token=TOKEN, limits=limits)]
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "COLUMNS": "200"}
    process = subprocess.Popen(
        words, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline()
        yield Server(folder, process, int(line.split(":")[-1].split("/")[0]))
    finally:
        process.terminate()
        process.wait()
