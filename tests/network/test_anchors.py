import pytest
import torch
from conftest import TINY, draw_picture

from stylize import load_style
from stylize.batch.apply import apply
from stylize.config import ApplyConfig
from stylize.errors import ImageError, UsageError
from stylize.events import ApplyDone
from stylize.network.anchors import hold
from stylize.network.architectures import build_network
from stylize.network.instance_norm.layer import InstanceNorm2d, moments
from stylize.photos.photo import Photo, to_tensor


def photo(seed: int) -> torch.Tensor:
    return to_tensor(draw_picture(seed, 64, 64))[None]


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_network(TINY).eval()


@torch.no_grad()
def test_weight_0_changes_nothing(network):
    own = network(photo(1))
    hold(network, [(photo(2), None)], 0.0, 0.0)
    assert torch.allclose(network(photo(1)), own, atol=1e-5)


@torch.no_grad()
def test_a_photo_held_near_itself_is_as_it_was(network):
    own = network(photo(1))
    hold(network, [(photo(1), None)], 1.0, 1.0)
    assert torch.allclose(network(photo(1)), own, atol=1e-4)


@torch.no_grad()
def test_brightness_is_still_taken_away(network):
    """By the first norm, which is left alone."""
    hold(network, [(photo(2), None)], 1.0, 0.0)
    dim = 0.5 * photo(1) + 0.1
    assert (network(dim) - network(photo(1))).abs().max() < 1 / 255


@torch.no_grad()
def test_all_norms_but_the_first_have_the_mean_of_several(network):
    norms = [module for module in network.modules() if isinstance(module, InstanceNorm2d)]
    seen = []
    handle = norms[1].register_forward_pre_hook(lambda _, inputs: seen.append(moments(inputs[0])))
    hold(network, [(photo(2), None), (photo(3), None)], 0.5, 0.0)
    handle.remove()
    assert norms[0].anchor is None
    assert all(norm.anchor is not None for norm in norms[1:])
    mean, variance = norms[1].anchor.statistics
    assert torch.allclose(mean, (seen[0][0] + seen[1][0]) / 2, atol=1e-6)
    deviation = (seen[0][1].sqrt() + seen[1][1].sqrt()) / 2
    assert torch.allclose(variance, deviation.square(), atol=1e-6)


@torch.no_grad()
def test_no_variance_below_the_floor(network):
    hold(network, [(photo(2), None)], 0.0, 0.25)
    norm = [module for module in network.modules() if isinstance(module, InstanceNorm2d)][1]
    mean, variance = norm.anchor.statistics
    _, pulled = norm.anchor.pull((mean, torch.zeros_like(variance)))
    assert torch.allclose(pulled, 0.25 * variance)


def run(style_file, photos, out, **options):
    config = ApplyConfig(device="cpu", precision="fp32", **options)
    *_, done = apply(str(style_file), [photos], out, config)
    assert isinstance(done, ApplyDone)
    return done


@pytest.mark.parametrize("anchor", ["auto", "photo"])
def test_apply_with_an_anchor(style_file, photos, tmp_path, anchor):
    if anchor == "photo":
        anchor = str(tmp_path / "reference.png")
        draw_picture(9, 80, 80).save(anchor)
    assert run(style_file, photos, tmp_path / "plain").done == 6
    assert run(style_file, photos, tmp_path / "held", anchor=anchor).done == 6
    assert run(style_file, photos, tmp_path / "held", anchor=anchor).current == 6
    assert run(style_file, photos, tmp_path / "held", anchor=anchor, anchor_weight=0.1).done == 6
    name = "photo1.png"
    assert (tmp_path / "plain" / name).read_bytes() != (tmp_path / "held" / name).read_bytes()


def test_strips_are_held_as_one_pass_is(style_file, photos, tmp_path):
    reference = tmp_path / "reference.png"
    draw_picture(9, 80, 80).save(reference)
    style = load_style(str(style_file), "cpu", "fp32")
    style.hold([reference], ApplyConfig(anchor_weight=0.7, anchor_floor=0.1))
    picture = draw_picture(1, 200, 160)
    strips = next(way for way in style.ways(picture.size) if way.way.name != "ONE_PASS")
    one = to_tensor(style.stylize_photos([Photo(picture)])[0])
    other = to_tensor(style.stylize_photos([Photo(picture)], need=strips)[0])
    assert (one - other).abs().max() <= 1.01 / 255


def test_a_missing_or_broken_anchor_is_said(style_file, photos, tmp_path):
    with pytest.raises(UsageError, match="none"):
        run(style_file, photos, tmp_path / "out", anchor=str(tmp_path / "none.png"))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"nothing")
    with pytest.raises(ImageError, match="broken"):
        run(style_file, photos, tmp_path / "out", anchor=str(broken))


def test_auto_leaves_out_what_cannot_be_read(style_file, photos, tmp_path):
    (photos / "broken.png").write_bytes(b"nothing")
    assert run(style_file, photos, tmp_path / "out", anchor="auto").done == 6
