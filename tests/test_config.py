import dataclasses

import pytest

from stylize.config import ApplyConfig, NetworkConfig, TrainConfig
from stylize.errors import UsageError


@pytest.mark.parametrize(
    ("kind", "setting", "value"),
    [
        (TrainConfig, "steps", 0),
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
        (TrainConfig, "seed", 2**32),
        (TrainConfig, "seed", -1),
        (TrainConfig, "steps", 10**400),
        (ApplyConfig, "size", 0),
        (ApplyConfig, "batch_size", -1),
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
