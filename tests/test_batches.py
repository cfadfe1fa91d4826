import threading
from pathlib import Path

import pytest
import torch
from conftest import draw_picture

from stylize.batches import ContentPhotos, prefetch
from stylize.errors import TrainingError


@pytest.fixture
def paths(photos: Path) -> list[Path]:
    return sorted(path for path in photos.rglob("*") if path.is_file())


def test_crops_have_the_size_and_range(paths):
    crops = ContentPhotos(paths, 48, seed=0)
    for place in range(12):
        crop = crops.crop(place)
        assert crop.shape == (3, 48, 48)
        assert 0 <= crop.min() <= crop.max() <= 1


def test_the_stream_depends_on_seed_and_place_alone(paths):
    one, two = ContentPhotos(paths, 32, seed=1), ContentPhotos(paths, 32, seed=1)
    forward = [one.crop(place) for place in range(14)]
    backward = [two.crop(place) for place in reversed(range(14))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forward, backward, strict=True))
    other = ContentPhotos(paths, 32, seed=2)
    assert not all(torch.equal(a, other.crop(i)) for i, a in enumerate(forward))


def test_batches_can_start_anywhere(paths):
    crops = ContentPhotos(paths, 32, seed=0)
    stream = crops.batches(3)
    skipped = [next(stream) for _ in range(3)][2]
    assert skipped.shape == (3, 3, 32, 32)
    assert torch.equal(next(crops.batches(3, first=2)), skipped)


def test_an_epoch_shows_every_photo_once(tmp_path):
    """Photos of one flat colour each tell which photo a crop came from."""
    from PIL import Image

    paths = [tmp_path / f"{level}.png" for level in range(10, 250, 20)]
    for path in paths:
        Image.new("RGB", (40, 40), (int(path.stem), 0, 77)).save(path)
    crops = ContentPhotos(paths, 32, seed=3)
    for epoch in range(3):
        seen = set()
        for place in range(epoch * len(paths), (epoch + 1) * len(paths)):
            crop = (crops.crop(place) * 255).round().int()
            of_photo = crop[2] == 77  # the ground that some crops are put on is grey
            seen.add(int(crop[0][of_photo].median()))
        assert seen == {int(path.stem) for path in paths}


def test_some_crops_lie_on_flat_ground(paths):
    crops = ContentPhotos(paths, 64, seed=0)
    shares = [(crops.crop(place) == 1).all(dim=0).float().mean() for place in range(100)]
    assert 5 <= sum(share > 0.3 for share in shares) <= 30


def test_unusable_photos_are_replaced_and_named_once(paths, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    small = tmp_path / "small.png"
    draw_picture(0, 20, 100).save(small)
    crops = ContentPhotos([*paths, bad, small], 32, seed=0)
    for place in range(20):
        assert crops.crop(place).shape == (3, 32, 32)
    assert crops.unusable == {
        bad: "not a picture",
        small: "smaller than the training size (20 < 32 px)",
    }


def test_no_usable_photo_is_an_error(tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.touch()
    with pytest.raises(TrainingError, match="none of the content photos"):
        ContentPhotos([bad], 32, seed=0).crop(0)


def test_prefetch_keeps_the_order():
    assert [f.result() for f in prefetch(lambda x: x * x, range(50), ahead=4)] == [
        x * x for x in range(50)
    ]


def test_prefetch_stays_bounded():
    started = 0
    lock = threading.Lock()

    def count(_: int) -> None:
        nonlocal started
        with lock:
            started += 1

    stream = prefetch(count, iter(range(1000)), ahead=3)
    for taken in range(1, 20):
        next(stream).result()
        assert started <= taken + 3
    stream.close()


def test_prefetch_hands_errors_to_the_consumer():
    def fail(_: int) -> None:
        raise ValueError("boom")

    future = next(prefetch(fail, [1], ahead=1))
    with pytest.raises(ValueError, match="boom"):
        future.result()
