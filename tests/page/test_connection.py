"""Clients that are slow, stop half way or send too much: the server ends it, and lives on."""

import io
import re
import socket
import time

import pytest
from conftest import draw_picture
from page_server import TOKEN, server

IDLE = 0.5
HEAD = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
POST = f"POST /photos?name=a.png HTTP/1.1\r\n{HEAD}"


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    folder = tmp_path_factory.mktemp("limited") / "here"
    limits = {"idle": IDLE, "receiving": 2, "body": 200_000, "requests": 2, "photos": 5}
    with server(folder, **limits) as running:
        yield running


@pytest.fixture(autouse=True)
def alive_and_clean(limited):
    """After each test, the server answers and has kept nothing."""
    yield
    with limited.client() as client:
        assert client.get("/styles").status_code == 200
    assert [path.name for path in limited.files()] == ["lock"]


def talk(limited, text: str = "") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", limited.port), timeout=30)
    connection.sendall(text.encode())
    return connection


def heard(connection: socket.socket) -> bytes:
    """All that the server says, until it closes the connection."""
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


def trickle(connection: socket.socket, part: bytes) -> bool:
    """Send a little again and again; whether the server has closed the connection then."""
    for _ in range(100):
        try:
            connection.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            return True
        time.sleep(IDLE / 5)
    return False


@pytest.mark.parametrize("text", ["", "G", "GET / HTTP/1.1\r\nHost: loc"])
def test_a_head_that_never_ends(limited, text):
    with talk(limited, text) as connection:
        assert heard(connection) == b""


def test_a_head_that_trickles(limited):
    with talk(limited, "GET / HTTP/1.1\r\n") as connection:
        assert trickle(connection, b"X-A: b\r\n")


def test_an_idle_connection_after_an_answer(limited):
    with talk(limited, f"GET /styles HTTP/1.1\r\n{HEAD}\r\n") as connection:
        assert heard(connection).startswith(b"HTTP/1.1 200")


def test_a_body_that_stops(limited):
    with talk(limited, f"{POST}Content-Length: 1000\r\n\r\nhalf") as connection:
        assert heard(connection).startswith(b"HTTP/1.1 408")


def test_a_body_that_trickles(limited):
    with talk(limited, f"{POST}Content-Length: 1000\r\n\r\n") as connection:
        assert trickle(connection, b"x")


def test_a_client_that_leaves_in_the_middle_of_its_body(limited):
    talk(limited, f"{POST}Content-Length: 1000\r\n\r\nhalf").close()
    while len(limited.files()) > 1:
        time.sleep(0.01)


@pytest.mark.parametrize("length", ["200001", "1000000000000"])
def test_a_body_that_says_it_is_too_large(limited, length):
    with talk(limited, f"{POST}Content-Length: {length}\r\n\r\n") as connection:
        assert heard(connection).startswith(b"HTTP/1.1 413")


def test_a_body_that_turns_out_too_large(limited):
    with limited.client() as client:
        answer = client.post("/photos?name=a.png", content=(b"x" * 10_000 for _ in range(40)))
    assert answer.status_code == 413


def test_what_is_not_http(limited):
    with talk(limited, "\x16\x03\x01 hello\r\n\r\n") as connection:
        assert heard(connection).startswith(b"HTTP/1.1 400")


def test_places_are_taken_before_bodies_and_given_back(limited, picture):
    post = POST.replace("/photos?", "/stylize?style=tiny&") + "Content-Length: 1000\r\n\r\n"
    with limited.client() as client, talk(limited, post) as one, talk(limited, post) as other:
        while len(limited.files()) < 3:
            time.sleep(0.01)
        answer = client.post("/stylize?style=tiny&name=a.png", content=picture)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert heard(one).startswith(b"HTTP/1.1 408")
        assert heard(other).startswith(b"HTTP/1.1 408")
        answer = client.post("/stylize?style=tiny&name=a.png", content=picture)
        assert answer.status_code == 200


def test_no_room_for_more_photos(limited, picture):
    with limited.client() as client:
        found = [client.post("/photos?name=a.png", content=picture) for _ in range(6)]
        assert [answer.status_code for answer in found] == 5 * [201] + [507]
        for answer in found[:5]:
            assert client.delete(f"/photos/{answer.json()['id']}").status_code == 204


def test_a_client_that_does_not_take_its_answer(limited):
    content = io.BytesIO()
    draw_picture(1, 1600, 1600).save(content, "JPEG", quality=30)
    post = POST.replace("/photos?name=a.png", "/stylize?style=tiny&name=a.jpg&format=tiff")
    with talk(limited, f"{post}Content-Length: {content.tell()}\r\n\r\n") as connection:
        connection.sendall(content.getvalue())
        head = connection.recv(1000)
        whole = int(re.search(rb"content-length: (\d+)", head)[1])
        time.sleep(4 * IDLE)
        assert 0 < len(head + heard(connection)) < whole
