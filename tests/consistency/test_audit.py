import pytest
from PIL import Image, ImageDraw

from stylize.assets import find_style
from stylize.config import STYLE_LAYERS
from stylize.consistency.appearance import look_at
from stylize.consistency.audit import LOOKED_AT, MEASURES, audit, find_reasons
from stylize.errors import UsageError
from stylize.events import AuditDone, PhotoAudited, PhotoFailed
from stylize.network.style_header import read_header
from stylize.objective.vgg import load_vgg16
from stylize.objective.vgg_statistics import distance, unpack
from stylize.photos.decoder import read_photo
from stylize.photos.lighting import Light, relight
from stylize.photos.masks import product_mask
from stylize.photos.photo import to_picture, to_tensor

COLOURS = ["#1e3ca0", "#a02020", "#208040", "#202020", "#c08020", "#602080", "#108080", "#804020"]


def shop_photo(index: int) -> Image.Image:
    """A product of some colour and shape on white, with a dark detail."""
    picture = Image.new("RGB", (320, 320), "white")
    draw = ImageDraw.Draw(picture)
    box = (90 - index % 3 * 10, 80, 230 + index % 4 * 8, 240)
    shape = (draw.ellipse, draw.rectangle)[index % 2]
    shape(box, fill=COLOURS[index % len(COLOURS)])
    draw.line((110, 160, 210, 170), fill="black", width=6 + index % 3)
    return picture


def shop(folder, count=12):
    folder.mkdir()
    for index in range(count):
        shop_photo(index).save(folder / f"{index:02d}.png")
    return folder


def shot(picture: Image.Image, **light) -> Image.Image:
    return to_picture(relight(to_tensor(picture)[None], [Light(**light)])[0])


def audited(folder, **options):
    return [event for event in audit(folder, **options) if isinstance(event, PhotoAudited)]


def test_what_was_shot_wrong_is_found_with_the_reason(tmp_path):
    folder = shop(tmp_path / "photos")
    wrong = {
        "02": (shot(shop_photo(2), exposure=-1.2), "dark ground"),
        "05": (shot(shop_photo(5), kelvin=4000), "yellow ground"),
        "08": (Image.blend(shop_photo(8), Image.new("RGB", (320, 320), "white"), 0.4), "hazy"),
        "11": (shop_photo(11).crop((60, 40, 200, 180)).resize((320, 320)), "large in the picture"),
    }
    for name, (picture, _) in wrong.items():
        picture.save(folder / f"{name}.png")
    found = {photo.path.stem: photo.reasons for photo in audited(folder) if photo.reasons}
    assert found.keys() == wrong.keys()
    for name, (_, words) in wrong.items():
        assert words in found[name][0], name


def test_the_target_of_a_mix_is_the_mean_of_its_parts(tmp_path):
    """As that of a style of several pictures, weighted."""
    folder = shop(tmp_path / "photos", 2)
    parts = [unpack(read_header(find_style(style)).target) for style in ("ink", "udnie")]
    wanted = {layer: 0.25 * parts[0][layer] + 0.75 * parts[1][layer] for layer in STYLE_LAYERS}
    vgg = load_vgg16("shipped", STYLE_LAYERS)
    for event in audited(folder, style="ink=1,udnie=3", device="cpu", precision="fp32"):
        photo = read_photo(event.path, LOOKED_AT)
        expected = distance(look_at(photo, vgg, product_mask(photo)).statistics, wanted)
        assert event.style_distance == pytest.approx(expected, rel=1e-4)


def test_a_sound_set_has_no_outliers(tmp_path):
    *_, done = audit(shop(tmp_path / "photos"))
    assert isinstance(done, AuditDone)
    assert done.outliers == 0
    assert done.photos == 12
    assert done.spread_before is None


def test_equal_pictures_have_no_spread(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(3):
        shop_photo(0).save(folder / f"{index}.png")
    *_, done = audit(folder, precision="fp32")
    assert done.spread == pytest.approx(0, abs=1e-5)


def test_unreadable_photos_are_named(tmp_path):
    folder = shop(tmp_path / "photos", 3)
    (folder / "broken.png").write_bytes(b"nothing")
    events = [*audit(folder)]
    assert [event.source.name for event in events if isinstance(event, PhotoFailed)] == [
        "broken.png"
    ]
    assert events[-1].failed == 1


def test_a_set_is_two_photos_or_more(tmp_path):
    with pytest.raises(UsageError, match="no two photos"):
        next(audit(shop(tmp_path / "photos", 1)))
    with pytest.raises(UsageError, match="no folder"):
        next(audit(tmp_path / "none"))


def rows(values, name="ground lightness"):
    return [{name: value} for value in values]


def test_reasons_by_the_modified_z_score():
    """Median 50, deviations from it 0 1 1 2 2 3 and 30: MAD 2, so the last is 10 of them away."""
    reasons = find_reasons(rows([50, 49, 51, 48, 52, 53, 80]))
    assert reasons[:-1] == [()] * 6
    assert "light ground" in reasons[-1][0]


def test_what_is_closer_than_a_step_is_no_outlier():
    step = MEASURES["ground lightness"].step
    assert find_reasons(rows([50] * 9 + [50 + 3 * step])) == [()] * 10


def test_of_few_photos_none_is_an_outlier():
    assert find_reasons(rows([50, 50, 50, 0])) == [()] * 4


def test_the_worst_reason_comes_first():
    many = [{"ground lightness": 90.0, "ground yellow": 0.0} for _ in range(8)]
    many.append({"ground lightness": 70.0, "ground yellow": 90.0})
    assert ["yellow" in reason for reason in find_reasons(many)[-1]] == [True, False]
