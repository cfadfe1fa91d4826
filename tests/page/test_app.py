"""The API paints what `stylize apply` paints, and refuses what it refuses."""

import io
import json
import time
import zipfile
import zlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest
from commands import stylize
from conftest import draw_picture
from PIL import Image

from stylize.batch.apply import apply
from stylize.config import ApplyConfig, Look


def content(picture: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def bomb() -> bytes:
    """400 megapixels in a PNG of 50 kB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + check

    side = (20_000).to_bytes(4, "big")
    rows = zlib.compress(bytes(20_000 * (1 + 20_000 // 8)))
    header = chunk(b"IHDR", side + side + bytes([1, 0, 0, 0, 0]))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


GOOD = {
    "a.png": content(draw_picture(1, 90, 70)),
    "more/b.jpg": content(draw_picture(2, 64, 80), "JPEG"),
    "more/a.png": content(draw_picture(3, 70, 64)),
    "c.ppm": content(draw_picture(4), "PPM"),
}
BAD = {
    "html.jpg": b"<!doctype html><script>alert(1)</script>",
    "svg.png": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "empty.webp": b"",
    "cut.png": GOOD["a.png"][:-400],
    "bomb.png": bomb(),
}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def applied(page) -> tuple[dict[str, bytes], dict[str, str]]:
    """What the command makes of all these files: outputs, and reasons of failures, by name."""
    photos, output = write(page.folder / "photos", GOOD | BAD), page.folder / "painted"
    result = stylize("apply", "tiny", photos, "--output", output, "--json", cwd=page.folder)
    reasons = {
        Path(line["source"]).relative_to(photos).as_posix(): line["reason"]
        for line in map(json.loads, result.stdout.splitlines())
        if line["event"] == "PhotoFailed"
    }
    return tree(output), reasons


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".stylize" not in path.parts
    }


def upload(client: httpx.Client, files: dict[str, bytes]) -> list[str]:
    answers = [client.post("/photos", params={"name": n}, content=d) for n, d in files.items()]
    return [answer.json()["id"] for answer in answers]


def start(client: httpx.Client, photos: list[str], query: str = "") -> dict[str, object]:
    answer = client.post(f"/jobs?style=tiny&{query}", json={"photos": photos})
    assert answer.status_code == 201
    return answer.json()


def events(client: httpx.Client, job: str) -> list[dict[str, object]]:
    with client.stream("GET", f"/jobs/{job}", headers={"Accept": "text/event-stream"}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def zipped(client: httpx.Client, job: str) -> dict[str, bytes]:
    archive = zipfile.ZipFile(io.BytesIO(client.get(f"/jobs/{job}/zip").content))
    return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize(
    ("name", "query", "config"),
    [
        ("a.png", "", ApplyConfig()),
        ("more/b.jpg", "", ApplyConfig()),
        ("c.ppm", "", ApplyConfig()),
        (
            *("a.png", "strength=0.5&preserve-color=true"),
            ApplyConfig(look=Look(strength=0.5, preserve_color=True)),
        ),
        (
            *("a.png", "background=keep&format=jpg"),
            ApplyConfig(look=Look(background="keep"), format="jpg"),
        ),
        (
            *("more/b.jpg", "size=40&format=webp&quality=70"),
            ApplyConfig(size=40, format="webp", quality=70),
        ),
    ],
)
def test_one_photo_is_that_of_apply(client, page, tmp_path, name, query, config):
    photo = write(tmp_path / "photos", {name: GOOD[name]}) / name
    style = page.folder / "styles" / "tiny.safetensors"
    deque(apply(str(style), [photo], tmp_path / "painted", config), maxlen=0)
    (expected,) = tree(tmp_path / "painted").values()
    answer = client.post(f"/stylize?style=tiny&name={name}&{query}", content=GOOD[name])
    assert answer.status_code == 200
    assert answer.content == expected
    with Image.open(io.BytesIO(expected)) as picture:
        assert answer.headers["content-type"] == Image.MIME[picture.format]
    (photo,) = upload(client, {name: GOOD[name]})
    assert client.get(f"/photos/{photo}/painted?style=tiny&{query}").content == expected


def test_a_job_ends_with_the_files_and_the_reasons_of_the_command(client, applied):
    expected, reasons = applied
    seen = events(client, start(client, upload(client, GOOD | BAD))["id"])
    last = seen[-1]
    assert last["state"] == "done"
    assert zipped(client, last["id"]) == expected
    assert {each["photo"]: each["reason"] for each in last["failures"]} == reasons
    assert reasons.keys() == BAD.keys()
    counts = [event["done"] for event in seen]
    assert counts == sorted(counts)
    assert counts[-1] == last["done"] == len(GOOD)


@pytest.mark.parametrize("name", BAD)
def test_a_broken_photo_is_refused_with_the_reason_of_the_command(client, page, applied, name):
    _, reasons = applied
    (photo,) = upload(client, {name: BAD[name]})
    for answer in (
        client.post(f"/stylize?style=tiny&name={name}", content=BAD[name]),
        client.get(f"/photos/{photo}/painted?style=tiny"),
    ):
        assert answer.status_code == 422
        assert answer.json()["error"] == f"{name}: {reasons[name]}"
    answer = client.get(f"/photos/{photo}")
    assert answer.status_code == 422
    assert str(page.folder) not in answer.text


def test_many_at_once_are_answered_as_one_alone(page, client):
    def ask(name: str) -> bytes:
        with page.client() as one:
            return one.post(f"/stylize?style=tiny&name={name}", content=GOOD[name]).content

    names = 4 * list(GOOD)
    with ThreadPoolExecutor(len(names)) as pool:
        found = list(pool.map(ask, names))
    assert found == [ask(name) for name in names]


def test_names_lead_nowhere(client):
    names = ["../../up.png", "/root.png", "a\\..\\..\\back.png", "up.png", "up.png", "x.png/up.png"]
    photos = [upload(client, {name: GOOD["a.png"]})[0] for name in names]
    job = start(client, photos)["id"]
    events(client, job)
    expected = ["up.png", "root.png", "a/back.png", "up~2.png", "up~3.png", "x.png_/up.png"]
    assert sorted(zipped(client, job)) == sorted(expected)


def test_a_job_is_stopped_in_the_middle_and_then_removed(client, page):
    large = content(draw_picture(0, 900, 900))
    job = start(client, 30 * upload(client, {"large.png": large}))["id"]
    waiting = start(client, upload(client, GOOD))["id"]
    assert client.delete(f"/jobs/{waiting}").json()["state"] == "stopped"
    while client.get(f"/jobs/{job}").json()["done"] < 2:
        time.sleep(0.02)
    client.delete(f"/jobs/{job}")
    last = events(client, job)[-1]
    assert last["state"] == "stopped"
    assert 2 <= last["done"] < 30
    found = zipped(client, job)
    assert len(found) == last["done"]
    for data in found.values():
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
    assert client.delete(f"/jobs/{job}").status_code == 200
    assert client.get(f"/jobs/{job}").status_code == 404
    assert not any(job in path.parts for path in page.files())


def test_results_are_saved_into_the_folder_of_the_command_line(client, page, applied):
    expected, _ = applied
    last = events(client, start(client, upload(client, GOOD), "save=true")["id"])[-1]
    assert last["saved"] == str(Path("saved", "tiny"))
    assert tree(page.folder / "saved" / "tiny") == expected
    (page.folder / "saved" / "tiny" / "a.png").write_bytes(b"edited by hand")
    last = events(client, start(client, upload(client, GOOD), "save=true")["id"])[-1]
    assert last["done"] == len(GOOD) - 1
    assert "is not as stylize wrote it" in last["failures"][0]["reason"]
    assert (page.folder / "saved" / "tiny" / "a.png").read_bytes() == b"edited by hand"


def test_an_uploaded_photo_is_shown_upright_as_webp(client):
    turned = Image.Exif()
    turned[0x0112] = 6  # by a quarter
    file = io.BytesIO()
    draw_picture(5, 80, 60).save(file, "JPEG", exif=turned)
    (photo,) = upload(client, {"turned.jpg": file.getvalue()})
    with Image.open(io.BytesIO(client.get(f"/photos/{photo}?size=40").content)) as shown:
        assert (shown.format, shown.size) == ("WEBP", (30, 40))
    assert client.delete(f"/photos/{photo}").status_code == 204
    assert client.get(f"/photos/{photo}").status_code == 404


def test_warnings_come_in_a_header(client):
    answer = client.post("/stylize?style=tiny&name=a.png&background=keep", content=GOOD["a.png"])
    assert unquote(answer.headers["stylize-warnings"]).startswith("no mask")
    answer = client.post("/stylize?style=tiny&name=a.png", content=GOOD["a.png"])
    assert "stylize-warnings" not in answer.headers


def test_styles_with_their_pictures(client):
    found = {style["name"]: style for style in client.get("/styles").json()["styles"]}
    assert found["tiny"] == {
        "name": "tiny",
        "title": "A Picture",
        "author": "A. Painter",
        "own": True,
    }
    answer = client.get("/styles/woodblock/picture")
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert Image.MIME[picture.format] == answer.headers["content-type"]
    assert client.get("/styles/none/picture").status_code == 404


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("name=a.png", 400, "no style"),
        ("style=tinny&name=a.png", 404, "did you mean tiny"),
        ("style=styles/tiny.safetensors&name=a.png", 404, "no style named"),
        ("style=tiny&name=a.png&strength=2", 400, "from 0 to 1"),
        ("style=tiny&name=a.png&stroke=2", 400, "strokes of one size"),
        ("style=tiny&name=a.png&background=transparent&format=jpg", 400, "no transparency"),
        ("style=tiny&name=a.html", 415, "not a picture"),
        ("style=tiny", 415, "not a picture by its name"),
    ],
)
def test_wrong_requests(client, page, query, status, words):
    before = page.files()
    answer = client.post(f"/stylize?{query}", content=GOOD["a.png"])
    assert answer.status_code == status
    assert words in answer.text
    assert page.files() == before


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"photos": 1}', b'{"photos": [1]}', b"[" * 9999]
)
def test_wrong_jobs(client, body):
    assert client.post("/jobs?style=tiny", content=body).status_code == 400
    assert client.post("/jobs?style=tiny", json={"photos": []}).status_code == 400
    assert client.post("/jobs?style=tiny", json={"photos": ["x"]}).status_code == 404


def test_a_gigabyte_is_refused_and_nothing_of_it_is_kept(client, page):
    before = page.files()
    part = bytes(1 << 20)
    answer = client.post("/photos?name=a.png", content=(part for _ in range(1000)))
    assert answer.status_code == 413
    assert page.files() == before


def test_the_picture_of_a_client_that_has_gone_is_not_kept(client, page):
    (photo,) = upload(client, {"large.png": content(draw_picture(1, 1500, 1500))})
    before = page.files()
    with pytest.raises(httpx.ReadTimeout):
        client.get(f"/photos/{photo}/painted?style=tiny&strength=0.3", timeout=0.05)
    deadline = time.monotonic() + 30
    while page.files() != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert page.files() == before
