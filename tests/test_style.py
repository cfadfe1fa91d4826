import numpy as np
import pytest
import torch
from conftest import ROOT, TINY_DRAFT, draw_picture
from PIL import Image
from skimage.metrics import structural_similarity

from stylize import load_style
from stylize.config import Look, TrainConfig
from stylize.errors import DeviceError, ImageError, StyleFileError, UsageError
from stylize.network import memory
from stylize.network.architectures import build_network
from stylize.network.device import choose
from stylize.network.memory import Need, Way
from stylize.network.style_header import StyleHeader, StylePicture
from stylize.photos.masks import balance, flat_background
from stylize.photos.photo import Photo, to_mask, to_picture, to_tensor
from stylize.style import Style


@pytest.fixture
def style(style_file):
    return load_style(str(style_file), device="cpu", precision="fp32")


def test_tensors_keep_shape_and_range(style):
    images = torch.rand(2, 3, 30, 41)
    out = style(images)
    assert out.shape == images.shape
    assert out.dtype == torch.float32
    assert 0 <= out.min() <= out.max() <= 1


@pytest.mark.parametrize(
    "images", [torch.rand(3, 8, 8), torch.rand(1, 4, 8, 8), torch.rand(1, 3, 0, 8)]
)
def test_other_shapes_are_refused(style, images):
    with pytest.raises(UsageError, match="images are"):
        style(images)


def test_whole_numbers_are_refused(style):
    with pytest.raises(UsageError, match="floating point"):
        style(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


def test_a_picture_goes_the_way_of_its_tensor(style):
    picture = draw_picture(0, 50, 33)
    out = style.stylize(picture, Look(even_light=False))
    assert out.mode == "RGB"
    assert out.size == (50, 33)
    expected = style(to_tensor(picture)[None])[0].mul(255).round().byte().permute(1, 2, 0)
    assert np.array_equal(out, expected.numpy())


def test_alpha_of_a_picture_is_kept(style):
    picture = draw_picture(0).convert("RGBA")
    picture.putalpha(draw_picture(1).convert("L"))
    out = style.stylize(picture)
    assert out.mode == "RGBA"
    assert np.array_equal(out.getchannel("A"), picture.getchannel("A"))


def on_white(seed: int) -> Image.Image:
    picture = Image.new("RGB", (72, 64), "white")
    picture.paste(draw_picture(seed, 30, 30).point(lambda level: level * 3 // 4), (20, 15))
    return picture


def test_a_plain_background_is_kept(style):
    picture = on_white(0)
    out = np.asarray(style.stylize(picture, Look(background="keep")))
    product = np.asarray(flat_background(picture)) > 0
    assert 700 < product.sum() < 1100
    assert (out[~product] == 255).all()
    assert (out[product] != np.asarray(picture)[product]).mean() > 0.9


def test_only_the_product_counts_when_its_background_is_kept(style):
    """Further from the product than the layers reach, colours come in by statistics alone."""
    mask = Image.new("L", (200, 200))
    mask.paste(255, (88, 88, 112, 112))
    near = Image.new("L", (200, 200))
    near.paste(255, (16, 16, 184, 184))
    photo = draw_picture(0, 200, 200)
    one, two = (
        Photo(Image.composite(photo, Image.new("RGB", mask.size, ground), near), mask=mask)
        for ground in ("white", "darkgreen")
    )

    def difference(look: Look) -> int:
        pixels = [np.asarray(style.stylize_photos([each], look)[0], int) for each in (one, two)]
        return np.abs(pixels[0] - pixels[1])[88:112, 88:112].max()

    assert difference(Look(background="keep")) <= 1
    assert difference(Look()) > 5


def test_what_cannot_be_seen_keeps_its_bytes(style):
    picture = draw_picture(0).convert("RGBA")
    alpha = np.zeros((64, 64), np.uint8)
    alpha[20:50, 20:50] = 255
    alpha[20, 20:50] = 100
    picture.putalpha(Image.fromarray(alpha))
    out = np.asarray(style.stylize(picture, Look(background="keep")))
    assert np.array_equal(out[alpha == 0], np.asarray(picture)[alpha == 0])
    assert np.array_equal(out[..., 3], alpha)
    images, masks = to_tensor(picture.convert("RGB")), torch.from_numpy(alpha > 0).float()
    painted = to_picture(style(images[None], masks[None, None])[0])
    assert np.array_equal(out[alpha > 0, :3], np.asarray(painted)[alpha > 0])


def test_photos_with_and_without_a_mask_in_one_batch(style):
    masked = Photo(on_white(0), mask=flat_background(on_white(0)))
    whole = Photo(draw_picture(1, 72, 64))
    look = Look(background="keep")
    batch = style.stylize_photos([masked, whole], look)
    alone = [style.stylize_photos([photo], look)[0] for photo in (masked, whole)]
    for one, two in zip(batch, alone, strict=True):
        assert np.abs(np.asarray(one, int) - np.asarray(two, int)).max() <= 1
    assert np.array_equal(alone[1], style.stylize(whole.rgb))
    # A mask is a thing of backgrounds that are not stylized.
    assert np.array_equal(style.stylize_photos([masked])[0], style.stylize(masked.rgb))


def test_a_small_product_on_white_goes_through_balanced(style):
    picture = Image.new("RGB", (64, 64), "white")
    picture.paste(draw_picture(0, 20, 20).point(lambda level: level * 3 // 4), (20, 20))
    weights = to_mask(balance(picture))[None]
    expected = to_picture(style(to_tensor(picture)[None], weights)[0])
    assert np.array_equal(style.stylize(picture), expected)


def narrow_strips(monkeypatch):
    """As if these small pictures were large."""
    monkeypatch.setattr(memory, "STRIP_PIXELS", 1500)
    monkeypatch.setattr(memory, "FEWEST_ROWS", 16)


LOOKS = [
    Look(),
    Look(strength=0.5),
    Look(preserve_color=True),
    Look(background="keep"),
    Look(strength=0.7, preserve_color=True, background="keep"),
]


@pytest.mark.parametrize("way", [Way.STRIPS, Way.FROM_DISK])
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("size", [(72, 64), (131, 203), (60, 97)])
def test_strips_are_as_one_pass_in_every_look(size, look, way, style, monkeypatch, tmp_path):
    picture = draw_picture(0, *size)
    mask = Image.new("L", size)
    mask.paste(255, (20, 15, 50, 45))
    mask.paste(120, (50, 15, 54, 45))
    photo = Photo(picture, alpha=mask, mask=mask)
    whole = style.stylize_photos([photo], look)[0]
    narrow_strips(monkeypatch)
    assert memory.count_strips(size) > 2
    found = style.stylize_photos([photo], look, Need(way, 0, 0), tmp_path)[0]
    assert found.mode == "RGBA"
    assert np.abs(np.asarray(found, int) - np.asarray(whole, int)).max() <= 1


def test_balance_counts_in_strips_as_well(style, monkeypatch):
    picture = Image.new("RGB", (80, 120), "white")
    picture.paste(draw_picture(0, 20, 20).point(lambda level: level * 3 // 4), (20, 20))
    assert balance(picture) is not None
    whole = style.stylize_photos([Photo(picture)])[0]
    narrow_strips(monkeypatch)
    found = style.stylize_photos([Photo(picture)], need=Need(Way.STRIPS, 0, 0))[0]
    assert np.abs(np.asarray(found, int) - np.asarray(whole, int)).max() <= 1


def test_an_empty_mask_is_none_in_strips_as_well(style, monkeypatch):
    photo = Photo(draw_picture(0, 70, 90), mask=Image.new("L", (70, 90)))
    narrow_strips(monkeypatch)
    look = Look(background="keep")
    found = style.stylize_photos([photo], look, Need(Way.STRIPS, 0, 0))[0]
    assert np.array_equal(found, photo.rgb)  # all of it is background


def test_little_memory_is_enough_for_a_picture(style):
    picture = draw_picture(0, 1500, 1300)
    one_pass, strips, disk = style.ways(picture.size)
    assert one_pass.host > strips.host > disk.host
    whole = np.asarray(style.stylize(picture), int)

    def taken() -> float:
        return memory.make_budget(None, style.compute.device).base

    for need in (strips, disk):
        found = style.stylize(picture, max_memory=taken() + need.host + 5e6)
        assert np.abs(np.asarray(found, int) - whole).max() <= 1
    with pytest.raises(ImageError, match="of memory at least"):
        style.stylize(picture, max_memory=taken() + 0.5 * disk.host)


def test_statistics_of_a_thumbnail(style, monkeypatch):
    """The closer the thumbnail is to the photo, the better; with all of it, it is exact."""
    picture = draw_picture(3, 200, 330)
    whole = np.asarray(style.stylize(picture), int)
    narrow_strips(monkeypatch)
    differences = []
    for longest in (40, 165, 329):
        monkeypatch.setattr(memory, "THUMBNAIL", longest)
        monkeypatch.setattr("stylize.style.THUMBNAIL", longest)
        (need,) = style.ways(picture.size, Look(statistics="thumbnail"))
        assert need.way is Way.APPROXIMATE
        found = style.stylize_photos([Photo(picture)], Look(statistics="thumbnail"), need)[0]
        differences.append(np.abs(np.asarray(found, int) - whole).mean())
    assert differences[0] > differences[1] > differences[2]
    assert differences[2] < 1
    monkeypatch.setattr(memory, "THUMBNAIL", 330)
    look = Look(statistics="thumbnail")
    assert style.ways(picture.size, look) == style.ways(picture.size, Look())


def test_a_mask_that_vanishes_in_the_thumbnail(style, monkeypatch):
    mask = Image.new("L", (300, 200))
    mask.putpixel((100, 100), 20)
    monkeypatch.setattr("stylize.style.THUMBNAIL", 30)
    photo = Photo(draw_picture(0, 300, 200), mask=mask)
    look = Look(background="keep", statistics="thumbnail")
    found = np.asarray(style.stylize_photos([photo], look, Need(Way.APPROXIMATE, 0, 0))[0])
    assert np.array_equal(found[:80], np.asarray(photo.rgb)[:80])


def similarity(one: Image.Image, two: Image.Image) -> float:
    return float(structural_similarity(np.asarray(one), np.asarray(two), channel_axis=2))


def test_a_thumbnail_has_the_strokes_of_the_picture():
    """Of a shipped style, which has 0.86; a network of one pass had 0.2."""
    style = load_style("woodblock", "cpu", "fp32")
    photo = Image.open(ROOT / "samples" / "photos" / "kitchen" / "cherries.jpg").convert("RGB")
    photo = photo.resize((900, round(900 * photo.height / photo.width)))
    small = photo.resize((photo.width // 3, photo.height // 3), Image.Resampling.LANCZOS)
    made_smaller = style.stylize(photo).resize(small.size, Image.Resampling.LANCZOS)
    assert similarity(made_smaller, style.stylize(small)) > 0.8


@pytest.fixture
def drafting() -> Style:
    torch.manual_seed(0)
    header = StyleHeader("drafts", TINY_DRAFT, TrainConfig(), [StylePicture("", "", "", "", "")])
    return Style(build_network(TINY_DRAFT), header, choose("cpu", "fp32"))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (500, 20)])
def test_strokes_of_odd_pictures(size, drafting):
    picture = draw_picture(0, *size)
    for stroke in (0.5, 4.0):
        assert drafting.stylize(picture, Look(stroke=stroke, strength=0.5)).size == size


def test_what_the_network_sees_at_most(drafting):
    assert drafting.seen((1000, 500), Look()) == (1000, 500)
    # A small photo is painted at 3.2 times the draft's 32 px.
    assert drafting.seen((40, 20), Look()) == (205, 102)
    assert drafting.seen((1000, 500), Look(stroke=0.1)) == (2048, 1024)


def test_strokes_are_for_styles_that_draft(style):
    with pytest.raises(UsageError, match="strokes of one size"):
        style.check(Look(stroke=2.0))
    with pytest.raises(UsageError, match="strokes of one size"):
        style(torch.rand(1, 3, 8, 8), stroke=2.0)


def test_strength_0_is_the_photo(style):
    picture = draw_picture(0, 50, 33)
    assert np.array_equal(style.stylize(picture, Look(strength=0)), picture)


@pytest.mark.parametrize(
    "masks", [torch.ones(2, 1, 8, 8), torch.ones(1, 1, 8, 9), torch.ones(1, 1, 8, 8).bool()]
)
def test_masks_that_do_not_fit_are_refused(style, masks):
    with pytest.raises(UsageError, match="masks are"):
        style(torch.rand(1, 3, 8, 8), masks)


def test_bf16_is_close_to_fp32(style, style_file):
    rough = load_style(str(style_file), device="cpu", precision="bf16")
    images = torch.rand(1, 3, 64, 64)
    assert (rough(images) - style(images)).abs().max() < 0.05


def test_unknown_style_and_device(style_file):
    with pytest.raises(StyleFileError):
        load_style("no-such-style")
    with pytest.raises(DeviceError):
        load_style(str(style_file), device="gpu")


def test_importing_the_package_leaves_torch_out():
    import subprocess
    import sys

    code = "import stylize, sys; assert 'torch' not in sys.modules; stylize.load_style"
    subprocess.run([sys.executable, "-c", code], check=True)
