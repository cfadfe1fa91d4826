import math

import psutil
import pytest
import torch

from stylize.config import Look
from stylize.errors import ImageError, UsageError
from stylize.network import memory
from stylize.network.device import Compute
from stylize.network.memory import (
    Budget,
    Need,
    Way,
    affordable,
    count_strips,
    in_words,
    make_budget,
    ways,
)

CPU = Compute(torch.device("cpu"), torch.bfloat16)
GPU = Compute(torch.device("cuda"), torch.bfloat16)  # only a name: nothing is put there
VALUES = (28.0, 12.0)
GB = 1e9


def kinds(found: list[Need]) -> list[Way]:
    return [need.way for need in found]


def test_ways_on_a_cpu():
    small = ways((2000, 2000), (2000, 2000), VALUES, CPU, Look())
    assert kinds(small) == [Way.ONE_PASS, Way.STRIPS, Way.FROM_DISK]
    large = ways((10_000, 10_000), (10_000, 10_000), VALUES, CPU, Look())
    assert kinds(large) == [Way.STRIPS, Way.FROM_DISK]
    for found in (small, large):
        assert all(need.device == 0 for need in found)
        assert sorted(found, key=lambda need: -need.host) == found


def test_what_is_kept_of_100_megapixels():
    """12 values of 2 bytes a pixel, the decoded picture and one strip."""
    strips, disk = ways((10_000, 10_000), (10_000, 10_000), VALUES, CPU, Look())
    assert strips.host == pytest.approx(2.4 * GB + 0.5 * GB + 0.1 * GB, rel=0.05)
    # From disk it is the picture, twice, and its file.
    assert disk.host == pytest.approx(1.5 * GB, rel=0.02)


def test_ways_on_a_gpu():
    found = ways((10_000, 10_000), (10_000, 10_000), VALUES, GPU, Look())
    assert kinds(found) == [Way.ONE_PASS, Way.STRIPS, Way.FROM_HOST, Way.FROM_DISK]
    one_pass, strips, from_host, from_disk = found
    assert one_pass.device > strips.device > from_host.device == from_disk.device
    # What leaves the device lies on the host.
    assert strips.device - from_host.device == pytest.approx(2.4 * GB, rel=0.02)
    assert from_host.host == pytest.approx(2.4 * GB + 0.5 * GB, rel=0.02)


def test_half_the_precision_is_half_of_what_is_kept():
    fp32 = Compute(torch.device("cpu"), torch.float32)
    size = (20_000, 20_000)
    two, four = (ways(size, size, VALUES, compute, Look())[0].host for compute in (CPU, fp32))
    assert four - two == pytest.approx(2 * 12 * 4e8, rel=0.05)


def test_an_approximation_takes_the_same_however_high_the_picture_is():
    def beside_the_picture(height: int) -> float:
        size = (8000, height)
        (need,) = ways(size, size, VALUES, GPU, Look(statistics="thumbnail"))
        assert need.way is Way.APPROXIMATE
        return need.device

    assert beside_the_picture(80_000) < 1.1 * beside_the_picture(40_000)
    small = ways((2000, 1500), (2000, 1500), VALUES, CPU, Look(statistics="thumbnail"))
    assert small == ways((2000, 1500), (2000, 1500), VALUES, CPU, Look())


def test_strips_are_neither_many_nor_thin():
    for size in ((1, 1), (1, 10**6), (10**6, 1), (5000, 4000), (30_000, 30_000), (65_000, 3000)):
        count = count_strips(size)
        assert count >= 1
        assert count == 1 or size[1] / count >= memory.FEWEST_ROWS
        assert size[0] * size[1] / count <= max(memory.STRIP_PIXELS, 2 * 64 * size[0])


def test_the_first_way_that_fits_is_taken():
    found = ways((2000, 2000), (2000, 2000), VALUES, CPU, Look())
    one_pass, strips, disk = found
    for need in found:
        assert affordable(found, Budget(math.inf, need.host, 0)) is need
    # Two at the same time cannot both have one pass.
    assert affordable(found, Budget(math.inf, one_pass.host, 0), photos=2) is strips
    with pytest.raises(ImageError, match=r"takes .* of memory at least.*--max-memory"):
        affordable(found, Budget(math.inf, disk.host - 1, 0))
    with pytest.raises(ImageError, match="on the GPU at least"):
        affordable(ways((4000, 4000), (4000, 4000), VALUES, GPU, Look()), Budget(1e6, 100 * GB, 0))


def test_budgets(monkeypatch):
    device = torch.device("cpu")
    taken = psutil.Process().memory_info().rss
    budget = make_budget(20 * GB, device)
    assert budget.base + budget.host == 20 * GB
    assert taken <= budget.base < taken + 0.5 * GB
    monkeypatch.setattr(memory, "free_memory", lambda: 8 * GB)
    assert make_budget(None, device).host == 4 * GB
    with pytest.raises(UsageError, match="50 MB are not enough"):
        make_budget(50e6, device)


def test_sizes_in_words():
    assert in_words(700e6) == "700 MB"
    assert in_words(3.41e9) == "3.5 GB"  # so much is enough


def test_strokes_in_relation_count_at_the_size_that_is_seen():
    native, scaled = (
        ways((500, 500), seen, VALUES, CPU, Look())[-1] for seen in ((500, 500), (4000, 4000))
    )
    assert scaled.host - native.host > 10 * 4000**2


def test_a_look_takes_room_in_a_strip():
    size = (5000, 5000)
    plain, changed = (ways(size, size, VALUES, CPU, look)[0].host for look in (Look(), Look(0.5)))
    assert 0.2 * GB < changed - plain < 0.4 * GB
