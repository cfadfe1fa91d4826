"""The page in a real browser, where there is one."""

import base64
import io
import re
import shutil
import zipfile
from collections import deque

import pytest
from conftest import draw_picture
from page_server import TOKEN

from stylize.batch.apply import apply
from stylize.config import ApplyConfig, Look

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SIZES = {"phone": (390, 844), "desktop": (1440, 900)}
BROKEN = "broken.jpg"
# Drops files on the page as a hand does: the page sees the same event.
DROP = """files => {
  const transfer = new DataTransfer();
  for (const [name, text] of files) {
    transfer.items.add(new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], name));
  }
  document.body.dispatchEvent(new DragEvent("drop", {bubbles: true, dataTransfer: transfer}));
}"""


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium, page):
    """Opens the page as its address does; in the end, nothing was wrong or came from elsewhere."""
    problems, contexts = [], []

    def watch(request):
        if not request.url.startswith((page.address, "blob:", "data:")):
            problems.append(request.url)

    def opened(size="desktop", scheme="light"):
        width, height = SIZES[size]
        viewport = {"width": width, "height": height}
        contexts.append(chromium.new_context(viewport=viewport, color_scheme=scheme))
        tab = contexts[-1].new_page()
        tab.set_default_timeout(20_000)
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("console", lambda line: "Policy" in line.text and problems.append(line.text))
        tab.on("request", watch)
        tab.goto(f"{page.address}/?token={TOKEN}")
        tab.wait_for_selector(".style", state="attached")
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Four photos and a broken one."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(4):
        draw_picture(number, 80 + number, 60).save(folder / f"{number}.png")
    (folder / BROKEN).write_bytes(b"<html>no photo</html>")
    return folder


def drop(tab, folder):
    paths = sorted(folder.iterdir())
    files = [(path.name, base64.b64encode(path.read_bytes()).decode()) for path in paths]
    tab.evaluate(DROP, files)
    tab.wait_for_selector(f"#strip li:nth-child({len(files)})")


def zipped(tab):
    with tab.expect_download() as download:
        tab.click("#download")
    archive = zipfile.ZipFile(io.BytesIO(download.value.path().read_bytes()))
    return {name: archive.read(name) for name in archive.namelist()}


def check_accessibility(tab):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(tab).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_whole_way(open_page, page, photos, tmp_path, size, scheme):
    tab = open_page(size, scheme)
    check_accessibility(tab)
    drop(tab, photos)
    tab.check("[value=tiny]")
    tab.wait_for_selector("#after[src]")
    tab.focus("#strength")
    for _ in range(10):
        tab.keyboard.press("ArrowLeft")
    assert tab.inner_text("output[for=strength]") == "50 %"
    tab.wait_for_selector("#pair:not(.busy)")
    check_accessibility(tab)
    tab.click("#apply")
    tab.wait_for_selector("#download")
    assert tab.inner_text("#outcome") == "4 of 5 in tiny, 1 failed"
    assert tab.locator("#reasons li").all_inner_texts() == [f"{BROKEN} not a picture"]
    check_accessibility(tab)
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    style = str(page.folder / "styles" / "tiny.safetensors")
    config = ApplyConfig(look=Look(strength=0.5))
    deque(apply(style, [photos], tmp_path, config), maxlen=0)
    assert zipped(tab) == {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}


def many(tab, folder, count=10):
    """Photos whose job takes long enough to be disturbed."""
    draw_picture(1, 640, 480).save(folder / "0.png")
    for number in range(1, count):
        shutil.copy(folder / "0.png", folder / f"{number}.png")
    drop(tab, folder)
    tab.check("[value=woodblock]")
    tab.wait_for_selector("#after[src]")
    tab.click("#apply")


def begun(tab):
    """Waits until the job has done something."""
    tab.locator("#outcome", has_text=re.compile("^[1-9]")).wait_for()


def test_cancel_in_the_middle(open_page, tmp_path):
    tab = open_page()
    many(tab, tmp_path)
    begun(tab)
    tab.click("#cancel")
    tab.wait_for_selector("#download")
    done = int(re.fullmatch("Cancelled, (\\d+) of 10 in woodblock", tab.inner_text("#outcome"))[1])
    assert 0 < done < 10
    assert len(zipped(tab)) == done
    assert tab.is_enabled("#apply")


def test_reload_in_the_middle(open_page, tmp_path):
    tab = open_page()
    many(tab, tmp_path)
    begun(tab)
    tab.reload()
    tab.wait_for_selector("#strip li:nth-child(10)")
    tab.wait_for_selector("#progress")
    assert tab.is_checked("[value=woodblock]")
    assert tab.is_disabled("#apply")
    tab.wait_for_selector("#download")
    assert tab.inner_text("#outcome") == "10 of 10 in woodblock"
    tab.reload()
    assert len(zipped(tab)) == 10


def test_everything_by_keyboard(open_page, photos):
    tab = open_page()
    drop(tab, photos)
    tab.focus(".style input")
    tab.keyboard.press("ArrowRight")
    tab.wait_for_selector("#after[src]")
    tab.focus("#cut")
    edge = tab.locator(".edge")
    before = edge.bounding_box()["x"]
    for _ in range(10):
        tab.keyboard.press("ArrowRight")
    assert edge.bounding_box()["x"] > before + 20
    assert tab.get_attribute("#cut", "aria-valuetext") == "60 % as before"
    tab.focus("#strip li:nth-child(2) .thumbnail")
    tab.keyboard.press("Enter")
    assert tab.get_attribute("#strip li:nth-child(2) .thumbnail", "aria-pressed") == "true"
    tab.focus("#strip li:nth-child(2) .remove")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#strip li:nth-child(5)", state="detached")


def test_what_cannot_be_done_is_said(open_page, photos, tmp_path):
    tab = open_page()
    (tmp_path / "notes.txt").write_text("no photo")
    tab.set_input_files("#files", [photos / "0.png", tmp_path / "notes.txt"])
    tab.get_by_text("1 photo, 1 other file left out").wait_for()
    tab.check("[value=tiny]")
    tab.focus("#stroke")
    tab.keyboard.press("ArrowRight")
    tab.get_by_text("tiny paints strokes of one size only").wait_for()
    tab.keyboard.press("ArrowLeft")
    tab.wait_for_selector("#after[src]")
    tab.set_input_files("#files", photos / BROKEN)
    tab.get_by_text(f"{BROKEN}: cannot be read").click()
    tab.get_by_text(f"{BROKEN}: not a picture").wait_for()


def test_a_training_is_followed_stopped_and_continued(open_page, client, photos):
    query = {"style": "slow", "name": "a.png", "steps": 500, "size": 32, "style-size": 32}
    query |= {"checkpoint-every": 2, "preview-every": 2}
    client.post("/trainings", params=query, content=(photos / "0.png").read_bytes())
    tab = open_page()
    item = tab.locator("#trainings li[data-style=slow]")
    item.get_by_text(re.compile("^Step [0-9]+ of 500")).wait_for()
    item.locator("img").wait_for()
    assert len(item.locator("polyline").get_attribute("points").split()) > 1
    check_accessibility(tab)
    item.get_by_role("button", name="Stop").click()
    item.get_by_text(re.compile("^Stopped after step [0-9]+$")).wait_for()
    step = int(re.search("[0-9]+", item.locator(".state").inner_text())[0])
    item.get_by_role("button", name="Continue").click()
    item.get_by_text(re.compile("^Step [0-9]+ of 500")).wait_for()
    assert int(re.search("[0-9]+", item.locator(".state").inner_text())[0]) > step
    item.get_by_role("button", name="Stop").click()
    item.get_by_text(re.compile("^Stopped after step [0-9]+$")).wait_for()


def test_a_training_is_started_with_a_picture_and_a_name(open_page, photos):
    tab = open_page()
    tab.wait_for_load_state("networkidle")
    tab.evaluate("document.getElementById('train').open = true")
    tab.set_input_files("#picture", photos / "1.png")
    assert tab.input_value("input[name=style]:not([type=radio])") == "1"
    tab.get_by_role("button", name="Train").click()
    item = tab.locator("#trainings li[data-style='1']")
    item.get_by_text("no usable photos").wait_for()  # the server's are small
