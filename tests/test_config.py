import dataclasses

import pytest

from stylize.config import ApplyConfig, Look, NetworkConfig, TrainConfig
from stylize.errors import UsageError
from stylize.settings import parse_size


@pytest.mark.parametrize(
    ("kind", "setting", "value"),
    [
        (TrainConfig, "steps", -1),
        (TrainConfig, "batch_size", 0),
        (TrainConfig, "size", 31),
        (TrainConfig, "style_size", 5000),
        (TrainConfig, "lr", 0.0),
        (TrainConfig, "lr", float("nan")),
        (TrainConfig, "style_weight", -1.0),
        (TrainConfig, "tv_weight", float("inf")),
        (TrainConfig, "precision", "fp8"),
        (TrainConfig, "vgg", "caffe"),
        (TrainConfig, "checkpoint_every", 0),
        (TrainConfig, "tone_weight", -0.1),
        (TrainConfig, "even_weight", -1),
        (TrainConfig, "seed", 2**32),
        (TrainConfig, "seed", -1),
        (TrainConfig, "steps", 10**400),
        (ApplyConfig, "size", 0),
        (ApplyConfig, "batch_size", -1),
        (ApplyConfig, "format", "gif"),
        (ApplyConfig, "quality", 0),
        (ApplyConfig, "quality", 101),
        (ApplyConfig, "max_megapixels", 0.0),
        (ApplyConfig, "max_megapixels", float("nan")),
        (Look, "strength", 1.1),
        (Look, "strength", float("nan")),
        (NetworkConfig, "architecture", "unet"),
        (NetworkConfig, "channels", 1025),
        (NetworkConfig, "blocks", 0),
        (NetworkConfig, "noise_channels", 0),
    ],
)
def test_a_wrong_setting_is_named(kind, setting, value):
    with pytest.raises(UsageError, match=setting):
        kind(**{setting: value})


def test_both_weights_zero_is_refused():
    with pytest.raises(UsageError, match="both 0"):
        TrainConfig(content_weight=0, style_weight=0)


@pytest.mark.parametrize("kind", [NetworkConfig, TrainConfig, Look])
def test_settings_survive_a_dict(kind):
    assert kind.from_dict(kind().to_dict()) == kind()


@pytest.mark.parametrize("kind", [NetworkConfig, TrainConfig, Look])
def test_settings_are_frozen(kind):
    field = dataclasses.fields(kind)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(kind(), field, 1)


@pytest.mark.parametrize(
    "values", [None, [], {"colour": 1}, {"channels": "64"}, {"channels": True}, {"blocks": 2.5}]
)
def test_a_strange_dict_is_refused(values):
    with pytest.raises(UsageError):
        NetworkConfig.from_dict(values)


def test_an_integer_serves_as_a_float():
    assert TrainConfig.from_dict({"style_weight": 2}).style_weight == 2


def test_what_decides_a_look_is_in_the_recipe_and_the_machine_is_not():
    recipe = ApplyConfig().recipe()
    changed = {"size": 5, "precision": "fp32", "look": Look(0.5), "quality": 5, "strip": True}
    for name, value in (changed | {"strip_gps": True}).items():
        assert ApplyConfig(**{name: value}).recipe() != recipe
    for name, value in {"device": "cpu", "batch_size": 3, "overwrite": True}.items():
        assert ApplyConfig(**{name: value}).recipe() == recipe


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GB", 4e9),
        ("700MB", 7e8),
        ("1.5 gb", 1.5e9),
        ("2GiB", 2**31),
        ("512K", 512e3),
        ("1T", 1e12),
    ],
)
def test_sizes_of_memory(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "4", "GB", "-4GB", "4 XB", "4GB4", "nanGB", "1e3MB"])
def test_what_is_no_size_of_memory(text):
    with pytest.raises(UsageError, match="no size of memory"):
        parse_size(text)


@pytest.mark.parametrize("stroke", [0.0, 0.09, 4.1, -1.0, float("nan"), float("inf")])
def test_strokes_out_of_range(stroke):
    with pytest.raises(UsageError, match="stroke"):
        Look(stroke=stroke)


def test_statistics_of_another_kind():
    with pytest.raises(UsageError, match="statistics is 'some'"):
        Look(statistics="some")


@pytest.mark.parametrize("most", [0, -1.0, float("nan"), float("inf")])
def test_no_memory_at_all(most):
    with pytest.raises(UsageError, match="max_memory"):
        ApplyConfig(max_memory=most)
