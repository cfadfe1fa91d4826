import pytest
from conftest import draw_picture

from stylize.consistency.lighting_audit import light_spread
from stylize.errors import UsageError
from stylize.events import LightingDone, LightingMeasured, PhotoFailed
from stylize.photos.lighting import LIGHTINGS


def test_each_photo_under_every_light(style_file, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(3):
        draw_picture(index, 48, 40).save(folder / f"{index}.png")
    (folder / "broken.png").write_bytes(b"nothing")
    events = [*light_spread(str(style_file), folder, "cpu", "fp32")]
    measured = [event for event in events if isinstance(event, LightingMeasured)]
    assert [event.path.name for event in measured] == ["0.png", "1.png", "2.png"]
    assert all(event.before.keys() == event.after.keys() == LIGHTINGS.keys() for event in measured)
    assert [event.source.name for event in events if isinstance(event, PhotoFailed)] == [
        "broken.png"
    ]
    done = events[-1]
    assert isinstance(done, LightingDone)
    assert (done.photos, done.failed) == (3, 1)
    middle = sorted(event.before["dark"] for event in measured)[1]
    assert done.before["dark"] == middle
    # A stop and a half darker: what the first norm of any network takes away.
    assert done.before["dark"] > 10
    assert done.after["dark"] < 0.1 * done.before["dark"]


def test_a_folder_without_photos(style_file, tmp_path):
    with pytest.raises(UsageError, match="no photo"):
        list(light_spread(str(style_file), tmp_path, "cpu"))
