import pytest
import torch
import torch.nn.functional as F

from stylize.objective.guided_gram import (
    CLASSES,
    guided_gram_matrices,
    guided_loss,
    lightness_classes,
    overall_loss,
)


def test_gram_matrices_on_paper():
    # Two channels of two pixels: (1, 2) and (3, 4); sums of products 5, 11, 25; divided by 4.
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    grams, shares = guided_gram_matrices(features, torch.ones(1, 1, 1, 2))
    assert grams.tolist() == [[[[1.25, 2.75], [2.75, 6.25]]]]
    assert shares.tolist() == [[1.0]]
    # The first pixel alone, divided by 2; and a quarter of it with the second.
    grams, shares = guided_gram_matrices(features, torch.tensor([[[[0.75, 0.0]], [[0.25, 1.0]]]]))
    assert grams[0, 0].tolist() == [[0.5, 1.5], [1.5, 4.5]]
    expected = torch.tensor([[0.25 + 4, 0.75 + 8], [0.75 + 8, 2.25 + 16]]) / (2 * 1.25)
    assert torch.allclose(grams[0, 1], expected)
    assert shares.tolist() == [[0.375, 0.625]]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gram_matrices_at_a_smaller_layer(layout):
    """Classes are averaged to the resolution of the features."""
    features = torch.randn(2, 5, 3, 4).contiguous(memory_format=layout)
    classes = torch.rand(2, 3, 12, 16)
    classes = classes / classes.sum(1, keepdim=True)
    small = F.avg_pool2d(classes, 4)
    expected = torch.einsum("nkhw,nchw,ndhw->nkcd", small, features, features)
    expected = expected / (5 * small.sum((2, 3)))[..., None, None]
    grams, shares = guided_gram_matrices(features, classes)
    assert torch.allclose(grams, expected, atol=1e-6)
    assert torch.allclose(shares, small.mean((2, 3)))


def test_gram_matrices_of_large_activations_in_bf16():
    """relu3_3 reaches 15,000: squares of that overflow fp16, but neither bf16 nor its fp32 sums."""
    features = torch.full((1, 4, 64, 64), 15_000.0, dtype=torch.bfloat16)
    expected = float(features[0, 0, 0, 0]) ** 2 / 4
    grams, _ = guided_gram_matrices(features, torch.ones(1, 1, 64, 64))
    assert grams[0, 0, 0, 0].item() == pytest.approx(expected, rel=0.01)


def test_an_empty_class_asks_for_nothing():
    features = torch.rand(1, 3, 4, 4)
    classes = torch.stack([torch.ones(1, 4, 4), torch.zeros(1, 4, 4)], dim=1)
    grams, shares = guided_gram_matrices(features, classes)
    assert guided_loss(grams, shares, grams + torch.tensor([0.0, 1.0]).view(1, 2, 1, 1)) == 0


def test_guided_loss_on_paper():
    grams, targets = torch.tensor([[[[1.0]], [[3.0]]]]), torch.tensor([[[[2.0]], [[1.0]]]])
    # A quarter of 1/4 and three quarters of 4/1.
    assert guided_loss(grams, torch.tensor([[0.25, 0.75]]), targets).item() == 0.0625 + 3


def test_overall_loss_on_paper():
    grams, targets = torch.tensor([[[[1.0]], [[3.0]]]]), torch.tensor([[[[2.0]], [[1.0]]]])
    # The whole image has 1/4 * 1 + 3/4 * 3 = 2.5, the style picture 1/2 * 2 + 1/2 * 1 = 1.5.
    shares, target_shares = torch.tensor([[0.25, 0.75]]), torch.tensor([[0.5, 0.5]])
    found = overall_loss(grams, shares, targets, target_shares)
    assert found.item() == pytest.approx((1 / 1.5) ** 2)


def test_the_classes_of_an_image_add_up_to_its_gram_matrix():
    torch.manual_seed(0)
    features, image = torch.rand(2, 5, 12, 12), torch.rand(2, 3, 24, 24)
    grams, shares = guided_gram_matrices(features, lightness_classes(image))
    pixels = features.flatten(2)
    whole = (pixels @ pixels.transpose(1, 2))[:, None] / (5 * 12 * 12)
    only = torch.ones(2, 1)
    assert overall_loss(grams, shares, whole, only).item() < 1e-10


def test_classes_of_a_ramp_follow_its_ranks():
    """Far from the borders, a blur leaves a ramp as it is."""
    ramp = torch.linspace(0.2, 0.7, 256).expand(1, 3, 256, 256)
    classes = lightness_classes(ramp)
    assert classes.shape == (1, CLASSES, 256, 256)
    assert torch.allclose(classes.sum(1), torch.ones(1, 256, 256))
    row = classes[0, :, 128]
    place = (row * torch.arange(CLASSES).view(-1, 1)).sum(0)
    expected = (CLASSES * (torch.arange(256) + 0.5) / 256 - 0.5).clamp(0, CLASSES - 1)
    level = 256 / (0.5 * 64)  # columns of one luma: their rank is one of theirs
    assert (place - expected)[40:-40].abs().max() < CLASSES * level / 256
    # Light and contrast do not matter, but for the number of levels.
    other = lightness_classes(0.9 * ramp + 0.05)
    assert (other - classes).abs().mean() < 0.03


def test_a_flat_photo_is_of_the_middle_classes():
    flat = lightness_classes(torch.ones(1, 3, 64, 64))
    middle = torch.tensor([0.5 if k in (1, 2) else 0.0 for k in range(CLASSES)])
    assert torch.allclose(flat, middle.view(1, -1, 1, 1).expand_as(flat))


@pytest.mark.parametrize("share", [24, 48, 72])  # of 96 columns
def test_white_ground_is_lightest_and_black_ground_darkest(share):
    """Whatever their share; pixels of one luma have one rank."""
    photo = torch.full((1, 3, 96, 96), 0.1)
    photo[..., share:] = 0.9
    photo = photo + 0.002 * torch.rand(1, 1, 96, 96)  # noise of a camera
    classes = lightness_classes(photo)[0]
    far = 12  # from the edge, which is blurred
    assert torch.equal(classes[-1, :, share + far :].unique(), torch.ones(1))
    assert torch.equal(classes[0, :, : share - far].unique(), torch.ones(1))


def test_grey_ground_keeps_its_mean_rank():
    photo = torch.full((1, 3, 96, 96), 0.5)
    photo[..., :24], photo[..., 72:] = 0.0, 1.0
    middle = lightness_classes(photo)[0, :, :, 40:56]
    expected = torch.tensor([0.5 if k in (1, 2) else 0.0 for k in range(CLASSES)])
    assert torch.allclose(middle, expected.view(-1, 1, 1).expand_as(middle), atol=0.1)
