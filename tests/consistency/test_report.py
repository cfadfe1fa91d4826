"""The page of an audit, in a real browser where there is one."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import draw_picture
from PIL import Image

from stylize.consistency.report import chart, write_report
from stylize.errors import visible
from stylize.events import AuditDone, PhotoAudited

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def photo(path: Path, source: Path | None, distance: float, *reasons: str) -> PhotoAudited:
    before = None if source is None else 2 * distance
    return PhotoAudited(path, source, distance, before, None, {}, reasons)


def found(tmp_path, count=4):
    """Farthest first; the first one is an outlier, the last has no source."""
    events = []
    for index in range(count):
        now, source = tmp_path / f"now <{index}>&.png", tmp_path / f"was {index}.jpg"
        draw_picture(index, 90, 60).save(now)
        draw_picture(100 + index, 900, 600).save(source)
        reasons = ("dark ground <b>",) if index == 0 else ()
        last = index == count - 1
        events.append(photo(now, None if last else source, 0.9 - index / count / 2, *reasons))
    return [*events, AuditDone(count, 0, 0.5, 0.9, None, 1, {})]


def test_a_folder_with_a_page_and_small_pictures(tmp_path):
    write_report(tmp_path / "report", "spring <script>", found(tmp_path), tmp_path)
    page = (tmp_path / "report" / "report.html").read_text()
    assert "spring &lt;script&gt;" in page
    assert "now &lt;0&gt;&amp;.png" in page
    assert "dark ground &lt;b&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    pictures = sorted(path.name for path in (tmp_path / "report" / "pictures").iterdir())
    assert len(pictures) == 7
    with Image.open(tmp_path / "report" / "pictures" / "00001-before.webp") as picture:
        assert picture.size == (640, 427)


def test_pictures_of_a_larger_set_are_taken_away(tmp_path):
    write_report(tmp_path / "report", "x", found(tmp_path, 6), tmp_path)
    (tmp_path / "report" / "pictures" / "mine.webp").touch()
    write_report(tmp_path / "report", "x", found(tmp_path, 3), tmp_path)
    assert len([*(tmp_path / "report" / "pictures").iterdir()]) == 6


def test_a_source_that_is_gone_is_left_out(tmp_path):
    events = found(tmp_path)
    events[0].source.unlink()
    write_report(tmp_path / "report", "x", events, tmp_path)
    assert not (tmp_path / "report" / "pictures" / "00001-before.webp").exists()


def test_a_page_without_any_picture_is_still_one(tmp_path):
    gone = photo(tmp_path / "gone.png", None, 0.5)
    done = AuditDone(1, 0, 0.5, None, None, 0, {})
    write_report(tmp_path / "report", "x", [gone, done], tmp_path)
    assert "gone.png" in (tmp_path / "report" / "report.html").read_text()


def test_chart_places_are_relative_to_the_farthest(tmp_path):
    events = [photo(Path("a"), Path("b"), 0.25, "dark"), photo(Path("c"), Path("d"), 0.5)]
    assert chart(events) == [
        ("before", [(0.5, False), (1.0, False)]),
        ("after", [(0.25, True), (0.5, False)]),
    ]


@pytest.fixture
def page(tmp_path):
    write_report(tmp_path / "report", "spring", found(tmp_path), tmp_path)
    with opened(tmp_path / "report" / "report.html") as page:
        yield page


@contextmanager
def opened(path):
    """The page in a browser, where nothing may go wrong."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(offline=True, viewport={"width": 1200, "height": 900})
        page = context.new_page()
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("requestfailed", lambda request: page.problems.append(request.url))
        page.on("dialog", lambda dialog: page.problems.append(dialog.message))
        page.on("console", lambda message: page.problems.append(message.text))
        page.goto(path.as_uri())
        yield page
        assert page.problems == []
        browser.close()


def names(page):
    return page.locator("#photos > li:visible h2").all_inner_texts()


def test_farthest_first_and_by_name(page):
    assert names(page)[0] == "now <0>&.png"
    page.select_option("#order", "name")
    assert names(page) == sorted(names(page))


def test_filters(page):
    page.select_option("#which", "outlier")
    assert names(page) == ["now <0>&.png"]
    page.select_option("#which", "all")
    page.fill("#name", "<2>")
    assert names(page) == ["now <2>&.png"]
    assert page.inner_text("#count") == "1 of 4"
    page.fill("#name", "nothing like it")
    assert page.is_visible("#none")


def test_the_slider_moves_the_edge_by_keyboard_and_pointer(page):
    edge = page.locator(".pair").first.locator(".edge")
    before = edge.bounding_box()["x"]
    page.keyboard.press("n")
    assert page.evaluate("document.activeElement.type") == "range"
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert edge.bounding_box()["x"] > before + 10
    box = page.locator(".pair").first.bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.up()
    assert edge.bounding_box()["x"] == pytest.approx(box["x"] + 20, abs=5)


def test_keys_go_from_photo_to_photo(page):
    def focused():
        return page.evaluate("document.activeElement.closest('li')?.querySelector('h2').innerText")

    page.keyboard.press("n")
    page.keyboard.press("n")
    page.keyboard.press("n")
    assert focused() == "now <2>&.png"
    page.keyboard.press("p")
    assert focused() == "now <1>&.png"
    page.keyboard.press("o")
    assert names(page) == ["now <0>&.png"]
    page.keyboard.press("/")
    page.keyboard.type("n")
    assert page.input_value("#name") == "n"


def test_everything_has_a_name_and_enough_contrast(page):
    assert page.locator("img:not([alt])").count() == 0
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for selector in ("h1", ".quiet", ".why li", ".alarm"):
            assert contrast(page, selector) >= 4.5, (scheme, selector)


def contrast(page, selector) -> float:
    """WCAG 2.2, of a text and the first opaque ground below it."""
    colours = page.evaluate(
        """selector => {
          const text = document.querySelector(selector);
          let ground = text;
          while (getComputedStyle(ground).backgroundColor.endsWith(", 0)")) {
            ground = ground.parentElement;
          }
          const levels = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
          const colours = [getComputedStyle(text).color, getComputedStyle(ground).backgroundColor];
          return colours.map(levels);
        }""",
        selector,
    )
    linear = [
        [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in (v / 255 for v in colour)
        ]
        for colour in colours
    ]
    light, dark = sorted((0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in linear), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_only_what_is_seen_is_loaded(page):
    assert page.locator("img").evaluate_all("all => all.every(image => image.loading === 'lazy')")


def test_printed_before_and_after_stand_side_by_side(page):
    page.emulate_media(media="print")
    boxes = [page.locator(".pair").first.locator("img").nth(i).bounding_box() for i in (1, 0)]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"] + 1
    assert not page.is_visible("form")
    assert page.is_visible(".printed")


HOSTILE = (
    "<script>window.owned=1</script>",
    "<img src=x onerror=window.owned=1>.png",
    '"><svg onload=window.owned=1>',
    "' onfocus=window.owned=1 autofocus x='",
    "javascript:window.owned=1",
    "</style><style>*{display:none}</style>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; &amp;",
    "photo\u202egnp.exe\u2066 \u200f\x1b[2J\n.png",
)


def test_hostile_names_titles_and_reasons_are_shown_and_never_run(tmp_path):
    draw_picture(0).save(tmp_path / "a.png")
    photos = [
        photo(tmp_path / name, tmp_path / "a.png", 0.9 - index / 20, name, f"hazy {name}")
        for index, name in enumerate(HOSTILE)
    ]
    title = " ".join(HOSTILE)
    done = AuditDone(len(photos), 0, 0.5, 0.9, None, len(photos), {})
    write_report(tmp_path / "report", title, [*photos, done], tmp_path)
    with opened(tmp_path / "report" / "report.html") as page:
        expected = [visible(str(Path(name))) for name in HOSTILE]
        assert page.locator("h2").all_text_contents() == expected
        reasons = page.locator("#photos > li:first-child .why li").all_text_contents()
        assert reasons == [HOSTILE[0], f"hazy {HOSTILE[0]}"]
        assert page.text_content("h1") == visible(title)
        assert page.title() == f"{visible(title)} - audit"
        assert page.evaluate("window.owned") is None
        assert page.locator("script, style, svg").count() == 3
        page.fill("#name", "javascript:")
        assert names(page) == ["javascript:window.owned=1"]


def test_the_page_runs_and_loads_nothing_of_others(page, tmp_path):
    assert page.evaluate("[...document.images].every(image => image.src.endsWith('.webp'))")
    page.locator(".pair img").first.evaluate("image => image.decode()")
    stolen = page.evaluate(
        """async () => {
          const refused = [];
          document.addEventListener("securitypolicyviolation",
            event => refused.push(event.effectiveDirective));
          const add = (kind, values) =>
            document.body.append(Object.assign(document.createElement(kind), values));
          add("script", {textContent: "window.owned = 1"});
          add("div", {innerHTML: "<img src=x onerror='window.owned = 1'>"});
          add("style", {textContent: "h1 { display: none }"});
          add("img", {src: "https://example.com/a.png"});
          add("iframe", {src: "data:text/html,x"});
          add("base", {href: "https://example.com/"});
          await fetch("https://example.com/").catch(() => 0);
          await new Promise(done => setTimeout(done, 300));
          return [window.owned ?? null, refused.map(name => name.split("-")[0]).sort()];
        }"""
    )
    assert stolen == [None, ["base", "connect", "frame", "img", "script", "script", "style"]]
    page.problems.clear()  # what the browser says of these
