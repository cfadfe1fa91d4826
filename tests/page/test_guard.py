"""Who may ask, and what every answer says to the browser."""

import httpx
import pytest
from page_server import TOKEN


@pytest.mark.parametrize("path", ["/", "/styles", "/static/page.js", "/openapi.json", "/nothing"])
@pytest.mark.parametrize("token", ["x", TOKEN[:-1], TOKEN + "0", "\u00fc".encode()])
def test_nothing_without_the_token(page, path, token):
    value = b"Bearer " + (token if isinstance(token, bytes) else token.encode())
    answer = httpx.get(page.address + path, headers={"Authorization": value})
    assert answer.status_code == 401
    assert answer.json()["error"] == "the token is missing or wrong"


def test_the_address_with_the_token_gives_a_cookie_that_scripts_and_other_sites_cannot_use(page):
    answer = httpx.get(f"{page.address}/?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    answer = httpx.get(page.address, cookies=answer.cookies)
    assert answer.status_code == 200
    assert TOKEN not in answer.text
    assert httpx.get(f"{page.address}/?token=wrong").status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:80", "", "10.0.0.1", "[", "localhost:80:80"]
)
def test_a_foreign_name_for_this_machine(client, host):
    answer = client.get("/styles", headers={"Host": host})
    assert answer.status_code == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9000", "[::1]:80"])
def test_own_names(client, host):
    assert client.get("/styles", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://["]
)
def test_a_foreign_origin(client, origin, page):
    before = page.files()
    answer = client.post("/photos?name=a.png", content=b"x", headers={"Origin": origin})
    assert answer.status_code == 403
    assert page.files() == before


def test_the_own_origin(client, page):
    assert client.get("/styles", headers={"Origin": page.address}).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"), [("/styles", 403), ("/static/page.js", 403), ("/", 200)]
)
def test_other_sites_may_only_link_to_the_page(client, path, status):
    answer = client.get(path, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == status


@pytest.mark.parametrize(
    "path", ["/", "/styles", "/static/page.js", "/nothing", "/styles/x/picture"]
)
def test_headers_of_every_answer(client, path):
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd"]
)
def test_no_other_file_is_served(client, path):
    assert client.get(path).status_code == 404
