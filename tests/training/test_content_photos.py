import threading
from pathlib import Path

import pytest
import torch
from conftest import draw_picture

from stylize.errors import TrainingError
from stylize.training import content_photos
from stylize.training.content_photos import ContentPhotos, prefetch

CACHE = 1e9


@pytest.fixture
def paths(photos: Path) -> list[Path]:
    return sorted(path for path in photos.rglob("*") if path.is_file())


def test_crops_have_the_size_and_range(paths):
    crops = ContentPhotos(paths, 48, seed=0, cache=CACHE)
    for place in range(12):
        crop = crops.crop(place, crops.size)
        assert crop.shape == (3, 48, 48)
        assert 0 <= crop.min() <= crop.max() <= 1


def test_the_stream_depends_on_seed_and_place_alone(paths):
    one, two = (
        ContentPhotos(paths, 32, seed=1, cache=CACHE),
        ContentPhotos(paths, 32, seed=1, cache=CACHE),
    )
    forward = [one.crop(place, 32) for place in range(14)]
    backward = [two.crop(place, 32) for place in reversed(range(14))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forward, backward, strict=True))
    other = ContentPhotos(paths, 32, seed=2, cache=CACHE)
    assert not all(torch.equal(a, other.crop(i, 32)) for i, a in enumerate(forward))


def test_batches_can_start_anywhere(paths):
    crops = ContentPhotos(paths, 32, seed=0, cache=CACHE)
    stream = crops.batches(lambda step: 32, 3, 0, lambda step: slice(3))
    skipped = [next(stream) for _ in range(3)][2]
    assert skipped.shape == (3, 3, 32, 32)
    assert torch.equal(next(crops.batches(lambda step: 32, 3, 2, lambda step: slice(3))), skipped)


def test_an_epoch_shows_every_photo_once(tmp_path):
    """Photos of one flat colour each tell which photo a crop came from."""
    from PIL import Image

    paths = [tmp_path / f"{level}.png" for level in range(10, 250, 20)]
    for path in paths:
        Image.new("RGB", (40, 40), (int(path.stem), 0, 77)).save(path)
    crops = ContentPhotos(paths, 32, seed=3, cache=CACHE)
    for epoch in range(3):
        seen = set()
        for place in range(epoch * len(paths), (epoch + 1) * len(paths)):
            crop = (crops.crop(place, crops.size) * 255).round().int()
            of_photo = crop[2] == 77  # the ground that some crops are put on is grey
            seen.add(int(crop[0][of_photo].median()))
        assert seen == {int(path.stem) for path in paths}


def test_some_crops_lie_on_flat_ground(paths):
    crops = ContentPhotos(paths, 64, seed=0, cache=CACHE)
    shares = [
        (crops.crop(place, crops.size) == 1).all(dim=0).float().mean() for place in range(100)
    ]
    assert 5 <= sum(share > 0.3 for share in shares) <= 30


def test_unusable_photos_are_replaced_and_named_once(paths, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    small = tmp_path / "small.png"
    draw_picture(0, 20, 100).save(small)
    crops = ContentPhotos([*paths, bad, small], 32, seed=0, cache=CACHE)
    for place in range(20):
        assert crops.crop(place, crops.size).shape == (3, 32, 32)
    assert crops.unusable == {
        bad: "not a picture",
        small: "smaller than the training size (20 < 32 px)",
    }


def test_no_usable_photo_is_an_error(tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.touch()
    with pytest.raises(TrainingError, match="none of the content photos"):
        ContentPhotos([bad], 32, seed=0, cache=CACHE).crop(0, 32)


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


def test_the_cache_changes_nothing_and_stays_within_its_bytes(paths):
    """Photos here are 64 to 96 by 72 px and more: a crop of 32 px is cut from 64 on a side."""
    none, some = ContentPhotos(paths, 32, 0, cache=0), ContentPhotos(paths, 32, 0, cache=40_000)
    for place in range(12):
        assert torch.equal(none.crop(place, 32), some.crop(place, 32))
    kept = [photo.width * photo.height * 4 for photo in some._cache.values()]
    assert kept
    assert sum(kept) <= 40_000
    assert not none._cache


def test_a_smaller_crop_shows_the_same(paths, monkeypatch):
    monkeypatch.setattr(content_photos, "FLAT_SHARE", 0)  # where they lie on it is another matter
    crops = ContentPhotos(paths, 64, 0, CACHE)
    for place in range(6):
        large, small = crops.crop(place, 64), crops.crop(place, 32)
        halved = torch.nn.functional.avg_pool2d(large, 2)
        assert (halved - small).abs().mean() < 0.02


def test_workers_share_a_batch(paths):
    crops = ContentPhotos(paths, 32, 0, CACHE)
    whole = next(crops.batches(lambda step: 32, 4, 3, lambda step: slice(4)))
    parts = [
        next(crops.batches(lambda step: 32, 4, 3, lambda step, k=k: slice(k, k + 2)))
        for k in (0, 2)
    ]
    assert torch.equal(torch.cat(parts), whole)
