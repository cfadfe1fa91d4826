"""`Replay` gives what its network gives."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from conftest import DEVICE, TINY_DRAFT

from stylize.network import replay
from stylize.network.anchors import hold
from stylize.network.architectures import build_network
from stylize.network.replay import Replay

on_cuda = pytest.mark.skipif(DEVICE.type != "cuda", reason="needs a CUDA GPU")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_network(TINY_DRAFT).eval().to(DEVICE)


def random_image(count=1, height=40, width=56, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, height, width, generator=generator).to(DEVICE)


@torch.inference_mode()
def test_results_are_those_of_the_network(network):
    painted = Replay(network)
    for seed in range(4):
        for shape in ((1, 40, 56), (2, 40, 56), (1, 33, 91)):
            image = random_image(*shape, seed=seed)
            mask = (image[:, :1] > 0.5).float()
            for options in ({}, {"stroke": 2.0}):
                for given in (None, mask):
                    ours = painted(image, given, **options)
                    assert torch.equal(ours, network(image, given, **options))


@torch.inference_mode()
def test_a_result_outlives_the_next_call(network):
    painted = Replay(network)
    images = [random_image(seed=seed) for seed in range(4)]
    results = [painted(image) for image in images]
    for image, result in zip(images, results, strict=True):
        assert torch.equal(result, network(image))


@torch.inference_mode()
def test_a_given_draft_is_used_each_time(network):
    painted = Replay(network)
    image = random_image()
    for shade in (0.2, 0.5, 0.8):
        draft = torch.full_like(image[..., ::2, ::2], shade)
        assert torch.equal(painted(image, painting=draft), network(image, painting=draft))


@torch.inference_mode()
def test_threads_share_it(network):
    painted = Replay(network)
    images = [random_image(height=32 + 8 * (seed % 3), seed=seed) for seed in range(24)]

    def paint(image):
        with torch.inference_mode():
            return painted(image)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(paint, images))
    for image, result in zip(images, results, strict=True):
        assert torch.equal(result, network(image))


@torch.inference_mode()
def test_it_starts_over_when_the_network_has_changed(network):
    painted = Replay(network)
    image = random_image()
    before = [painted(image) for _ in range(3)]
    hold(network, [(random_image(seed=7) / 4, None)], 1.0, 0.0, stroke=1.0)
    painted.forget()
    after = [painted(image) for _ in range(3)]
    assert not torch.equal(before[-1], after[-1])
    assert torch.equal(after[-1], network(image))


@on_cuda
@torch.inference_mode()
def test_the_third_call_starts_no_kernel_of_the_network(network):
    calls = []
    network.register_forward_hook(lambda *_: calls.append(1))
    painted = Replay(network)
    for seed in range(5):
        painted(random_image(seed=seed))
    assert len(calls) == 3  # as it is, and once more before it is recorded


@on_cuda
@torch.inference_mode()
def test_few_recordings_are_kept(network, monkeypatch):
    monkeypatch.setattr(replay, "MOST", 2)
    painted = Replay(network)
    for _ in range(3):
        for width in (32, 40, 48, 56):
            for _ in range(3):
                image = random_image(width=width)
                assert torch.equal(painted(image), network(image))
    assert len(painted._recordings) == 2


@on_cuda
@torch.inference_mode()
def test_recordings_share_their_memory(network):
    painted = Replay(network)
    large, small = (random_image(height=side, width=side) for side in (640, 512))
    for _ in range(2):
        painted(large)
    before = torch.cuda.memory_reserved()
    for _ in range(3):
        painted(small)
    kept = 2 * small.numel() * small.element_size()  # what goes in, what comes out
    assert torch.cuda.memory_reserved() - before <= kept + 4 * 2**20
