"""Training by requests ends with the style that `stylize train` makes."""

import io
import json
import time

import pytest
from conftest import draw_picture
from page_server import server
from PIL import Image

from stylize.config import TrainConfig
from stylize.training.train import train

STEPS = 4
SMALL = {"steps": STEPS, "size": 32, "style-size": 32, "checkpoint-every": 2, "preview-every": 2}


def start(client, style, picture, **options):
    query = {"style": style, "name": "painting.png", **SMALL, **options}
    return client.post("/trainings", params=query, content=picture)


def last_event(client, style):
    accept = {"Accept": "text/event-stream"}
    with client.stream("GET", f"/trainings/{style}", headers=accept) as answer:
        lines = [line for line in answer.iter_lines() if line]
    return json.loads(lines[-1].removeprefix("data: "))


def test_a_style_is_that_of_the_command_and_can_be_used_at_once(client, page, picture, tmp_path):
    assert start(client, "mine", picture).status_code == 201
    last = last_event(client, "mine")
    assert (last["state"], last["step"], last["steps"]) == ("done", STEPS, STEPS)
    assert [step for step, _ in last["losses"]] == list(range(1, STEPS + 1))
    with Image.open(io.BytesIO(client.get("/trainings/mine/preview").content)) as preview:
        assert preview.format == "JPEG"
    (tmp_path / "picture.png").write_bytes(picture)
    config = TrainConfig(steps=STEPS, size=32, style_size=32, checkpoint_every=2, preview_every=2)
    content = page.folder / "content"
    for _ in train(tmp_path / "picture.png", content, "mine", config, output=tmp_path / "styles"):
        pass
    mine = page.folder / "styles" / "mine.safetensors"
    assert mine.read_bytes() == (tmp_path / "styles" / "mine.safetensors").read_bytes()
    assert "mine" in [style["name"] for style in client.get("/styles").json()["styles"]]
    assert client.post("/stylize?style=mine&name=a.png", content=picture).status_code == 200
    answer = start(client, "mine", picture)
    assert answer.status_code == 400
    assert "exists already" in answer.json()["error"]


def test_a_killed_server_leaves_a_training_to_resume_and_nothing_else(tmp_path, picture):
    with server(tmp_path) as killed, killed.client() as client:
        client.post("/photos?name=a.png", content=picture)
        start(client, "mine", picture, steps=200)
        while client.get("/trainings/mine").json()["step"] < 5:
            time.sleep(0.05)
        killed.process.kill()
        killed.process.wait()
        assert len(killed.files()) == 2  # its lock, and the photo
    with server(tmp_path) as other, other.client() as client:
        assert [path.name for path in other.files()] == ["lock"]
        (found,) = client.get("/trainings").json()["trainings"]
        assert (found["style"], found["state"]) == ("mine", "stopped")
        assert found["step"] >= 4  # the last checkpoint
        assert client.post("/trainings/mine/resume").status_code == 200
        while client.get("/trainings/mine").json()["step"] <= found["step"]:
            time.sleep(0.05)
        assert client.post("/trainings/mine/resume").status_code == 400
        again = client.get("/trainings/mine").json()
        assert again["steps"] == 200
        assert again["losses"][0][0] == 1
        client.delete("/trainings/mine")
        assert last_event(client, "mine")["state"] == "stopped"
    assert other.files() == []


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("name=a.png", 400, "cannot name a style"),
        ("style=../x&name=a.png", 400, "cannot name a style"),
        ("style=x&name=a.exe", 415, "not a picture"),
        ("style=x&name=a.png&steps=-1", 400, "0 or more"),
        ("style=x&name=a.png&device=cuda", 400, "no option"),
    ],
)
def test_wrong_trainings(client, page, query, status, words):
    answer = client.post(f"/trainings?{query}", content=b"x")
    assert answer.status_code == status
    assert words in answer.text
    assert not (page.folder / "styles" / "x").exists()


def test_a_picture_that_cannot_be_read_is_the_reason(client):
    start(client, "broken", b"<svg/>")
    last = last_event(client, "broken")
    assert last["state"] == "failed"
    assert "not a picture" in last["error"]
    content = io.BytesIO()
    draw_picture(3).save(content, "PNG")
    assert start(client, "broken", content.getvalue(), steps=1).status_code == 201
    assert last_event(client, "broken")["state"] == "done"
