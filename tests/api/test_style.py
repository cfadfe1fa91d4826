"""A style in Python and in notebooks: pictures of any kind, folders, its card."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import draw_picture, write_relatives
from PIL import Image

from stylize import load_style, mix
from stylize.batch.apply import apply
from stylize.config import ApplyConfig, Look
from stylize.errors import UsageError
from stylize.network.style_file import replace_header
from stylize.network.style_header import read_header
from stylize.style import load_style as load_core


@pytest.fixture
def style(style_file):
    return load_style(str(style_file), "cpu", "fp32")


def test_every_kind_of_picture_comes_back_as_its_kind(style):
    picture = draw_picture(1, 48, 40)
    expected = np.asarray(style.stylize(picture))
    levels = np.asarray(picture)
    assert np.array_equal(style.stylize(levels), expected)
    shares = style.stylize(levels / 255)
    assert shares.dtype == np.float64
    assert np.abs(shares * 255 - expected).max() < 1e-4
    tensor = torch.from_numpy(levels.copy()).movedim(-1, 0)
    assert torch.equal(style.stylize(tensor), torch.from_numpy(expected.copy()).movedim(-1, 0))
    assert style.stylize((tensor / 255).bfloat16()).dtype == torch.bfloat16
    whole = style.stylize(tensor / 255)
    assert whole.dtype == torch.float32
    assert (whole.movedim(0, -1) * 255 - torch.from_numpy(expected.copy())).abs().max() < 1e-3


def test_a_mix_is_a_style_and_names_its_parts(tmp_path, photos):
    one, two = map(str, write_relatives(tmp_path, "one", "two"))
    mixed = mix({one: 0.25, two: 0.75}, "cpu", "fp32")
    picture = draw_picture(1, 48, 40)
    middle, ends = mixed.stylize(picture), [load_style(s, "cpu", "fp32") for s in (one, two)]
    assert middle != ends[0].stylize(picture)
    assert mix({one: 0, two: 2}, "cpu", "fp32").stylize(picture) == ends[1].stylize(picture)
    for text in ("0.75 of two, Licence 2", "0.25 of one, Licence 1", "Picture 1", "Picture 2"):
        assert text in repr(mixed)
    with pytest.raises(UsageError, match="drafts of the mix two-0"):
        mixed.stylize(picture, Look(refine=1))
    # A folder is as `stylize apply` makes it, and each continues the other.
    config = ApplyConfig(device="cpu", precision="fp32")
    done = mixed.stylize_folder(photos, tmp_path / "out")
    *_, again = apply(f"{two}=0.75,{one}=0.25", [photos], tmp_path / "out", config)
    assert (done.done, again.done, again.current) == (6, 0, 6)


def test_a_look_applies_to_every_kind(style):
    levels = np.asarray(draw_picture(1, 48, 40))
    assert np.array_equal(style.stylize(levels, Look(strength=0)), levels)


def test_the_network_alone_takes_every_kind(style, style_file):
    picture = draw_picture(2, 40, 36)
    levels = np.asarray(picture)
    images = torch.from_numpy(levels / 255).movedim(-1, 0)[None].float()
    painted = style(images)
    assert torch.equal(painted, load_core(str(style_file), "cpu", "fp32")(images))
    expected = (painted[0].movedim(0, -1) * 255).round().to(torch.uint8).numpy()
    assert np.array_equal(np.asarray(style(picture)), expected)
    assert np.array_equal(style(levels), expected)
    batch = style(np.stack([levels, levels[::-1]]))
    assert batch.shape == (2, 36, 40, 3)
    assert np.array_equal(batch[0], expected)
    assert style(levels.astype(np.float32) / 255).dtype == np.float32


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((4, 5)), "not \\(H, W, 3\\)"),
        (np.zeros((4, 5, 4), np.uint8), "not \\(H, W, 3\\)"),
        (np.zeros((4, 5, 3), np.int32), "not uint8 or floating point"),
        (torch.zeros(3, 4, 5, 6, 7), "not \\("),
    ],
)
def test_another_shape_or_type_is_an_error(style, images, words):
    for paint in (style, style.stylize):
        with pytest.raises(UsageError, match=words):
            paint(images)


def test_a_folder(style, photos, tmp_path, capsys):
    (photos / "bad.png").write_bytes(b"no picture")
    done = style.stylize_folder(photos, tmp_path / "out", size=32, format="webp", strength=0.5)
    assert (done.done, done.failed) == (6, 1)
    assert "bad.png: not a picture" in capsys.readouterr().out
    with Image.open(tmp_path / "out" / "more" / "photo5.webp") as picture:
        assert picture.size == (32, 32)
    again = style.stylize_folder(photos, tmp_path / "out", size=32, format="webp", strength=0.5)
    assert (again.done, again.current) == (0, 6)


def test_a_wrong_option_is_named(style, photos, tmp_path):
    with pytest.raises(UsageError, match="no option 'sise'") as caught:
        style.stylize_folder(photos, tmp_path / "out", sise=3)
    assert caught.value.hint == "did you mean size?"


def test_it_shows_its_card(style):
    lines = dict(line.split("  ", 1) for line in repr(style).splitlines())
    assert lines["style"].strip() == "tiny"
    assert "A Picture, A. Painter, 1900, public domain" in repr(style)
    assert "cpu, fp32" in repr(style)


def test_in_a_notebook_it_shows_its_picture_and_runs_nothing_of_its_file(style_file):
    buffer = io.BytesIO()
    draw_picture(3, 16, 16).save(buffer, "JPEG")
    thumbnail = base64.b64encode(buffer.getvalue()).decode()
    header = read_header(style_file)
    picture = replace(header.pictures[0], title="<script>x</script>", thumbnail=thumbnail)
    replace_header(style_file, replace(header, pictures=[picture]))
    shown = load_style(str(style_file), "cpu")._repr_html_()
    assert f'<img src="data:image/jpeg;base64,{thumbnail}">' in shown
    assert "&lt;script&gt;x&lt;/script&gt;" in shown
    assert "<script>" not in shown
    replace_header(style_file, replace(header, pictures=[replace(picture, thumbnail='"><b>')]))
    assert "<img" not in load_style(str(style_file), "cpu")._repr_html_()
