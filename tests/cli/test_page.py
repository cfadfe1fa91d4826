"""`stylize page` as a command: what it refuses before it serves anything."""

import socket

import pytest
from commands import fails, stylize

OTHERS = "10.255.255.1"  # an address that is not loopback


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--host", OTHERS), "--token"),
        (("--host", OTHERS, "--token", "short"), "can be guessed"),
        (("--content", "nowhere"), "no folder nowhere"),
        (("--device", "abacus"), "abacus"),
    ],
)
def test_wrong_usage(options, words):
    fails(stylize("page", "--no-browser", *options), 2, words)


def test_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        fails(stylize("page", "--no-browser", "--port", port), 2, f"127.0.0.1:{port}", "--port")
