import pytest
import torch
import torch.nn.functional as F

from stylize.network.resample import resize, resize_as, row_weights

SIZES = [1, 2, 33, 40, 48, 96, 97, 150, 200]


@pytest.mark.parametrize("after", SIZES)
def test_rows_have_the_weights_of_torch(after):
    image = torch.rand(1, 3, 97, 5)
    wanted = F.interpolate(image, (after, 5), mode="bilinear", antialias=True)
    for top in range(0, after, 7):
        rows = range(top, min(after, top + 9))
        places, shares = row_weights(rows, 97, after)
        assert torch.allclose(shares.sum(1), torch.ones(len(rows)))
        found = shares @ image[:, :, places.start : places.stop]
        assert torch.allclose(found, wanted[:, :, rows.start : rows.stop], atol=1e-5)


def test_a_row_of_half_the_height_on_paper():
    """The centre of row 1 of 4 lies between rows 2 and 3 of 8, and the filter reaches 2 rows."""
    places, shares = row_weights(range(1, 2), 8, 4)
    assert places == range(1, 5)
    assert shares[0].tolist() == [0.125, 0.375, 0.375, 0.125]


def test_the_same_size_is_the_same_picture():
    image = torch.rand(2, 3, 8, 9)
    assert resize(image, (8, 9)) is image
    assert resize(image.half(), (8, 9)).dtype == torch.float32


def test_a_flat_picture_stays_flat_and_others_stay_in_range():
    flat = torch.full((1, 3, 30, 20), 0.3)
    assert torch.allclose(resize(flat, (77, 13)), torch.tensor(0.3))
    image = torch.rand(1, 1, 30, 20).round()
    for size in ((90, 80), (7, 50)):
        found = resize_as(image, torch.empty(1, 3, *size))
        assert found.shape == (1, 1, *size)
        assert 0 <= found.min() <= found.max() <= 1
