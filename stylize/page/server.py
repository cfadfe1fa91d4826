"""The server: a socket, a temporary folder, the application, until a signal ends it."""

import secrets
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from stylize.errors import UsageError
from stylize.files import make_folder
from stylize.network.device import choose
from stylize.page.app import Page
from stylize.page.connection import patient
from stylize.page.guard import LOOPBACK, Guard
from stylize.page.limits import Limits
from stylize.page.scratch import scratch

LEAST_TOKEN = 16  # characters
FINISHING = 3  # seconds for answers that are under way when the server ends


def serve(
    host: str,
    port: int,
    ready: Callable[[str], None],
    *,
    token: str = "",
    output: Path | None = None,
    content: Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    limits: Limits | None = None,
) -> None:
    """Serve the page until SIGINT or SIGTERM, which are raised again at the end.

    Calls `ready` with the page's address, which answers a moment later. `token` is what clients
    must know; by default, a random one.

    Raises UsageError: the address is in use or not of this machine, the token is missing or too
        short, or a folder or the device cannot be used.
    """
    if token and (len(token) < LEAST_TOKEN or not (token.isascii() and token.isalnum())):
        hint = f"give {LEAST_TOKEN} letters and digits or more, or none for a random one"
        raise UsageError("the token can be guessed, or is no word", hint)
    if not token and host not in LOOPBACK:
        raise UsageError(f"{host} can be reached by others", "give --token, which they must know")
    choose(device, precision)
    token = token or secrets.token_hex(16)
    limits = limits or Limits()
    if content is not None and not content.is_dir():
        raise UsageError(f"no folder {content}", "--content takes a folder of photos")
    if output is not None:
        make_folder(output)
    with _listening(host, port) as listening, scratch() as folder:
        port = listening.getsockname()[1]
        page = Page(folder, output, content, device, precision, limits)
        try:
            config = uvicorn.Config(
                Guard(page.app(), host, port, token),
                http=patient(limits),
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=limits.connections,
                timeout_graceful_shutdown=FINISHING,
            )
            name = f"[{host}]" if ":" in host else host
            ready(f"http://{name}:{port}/?token={token}")
            uvicorn.Server(config).run(sockets=[listening])
        finally:
            page.close()


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=_family(host))
    except OSError as error:
        hint = "choose another --port, or 0 for any"
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror}", hint) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
