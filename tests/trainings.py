"""A short training on small pictures."""

from conftest import TINY

from stylize.config import TrainConfig
from stylize.training.train import train

CONFIG = TrainConfig(
    steps=4,
    batch_size=2,
    size=32,
    style_size=48,
    base="",
    device="cpu",
    precision="fp32",
    preview_every=0,
    checkpoint_every=100,
)


def run(picture, photos, output, config=CONFIG, **options):
    return list(train(picture, photos, "mine", config, TINY, output=output, **options))
