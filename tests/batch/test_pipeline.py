"""How many photos are in work at the same time."""

import pytest
import torch

from stylize.batch.manifest import Manifest
from stylize.batch.pipeline import MOST_AT_ONCE, Pipeline
from stylize.batch.tasks import make_recipe
from stylize.config import ApplyConfig
from stylize.network.device import Compute
from stylize.style import load_style


@pytest.mark.parametrize(("device", "photos"), [("cpu", 1), ("mps", MOST_AT_ONCE)])
def test_a_gpu_has_work_prepared_for_it(device, photos, style_file, tmp_path):
    """On a single photo. An Apple GPU works in the host's memory, for as many photos at a time."""
    config = ApplyConfig()
    style = load_style(str(style_file), "cpu")
    style.compute = Compute(torch.device(device), torch.float32)  # only a name: nothing runs
    recipe = make_recipe(str(style_file), config)
    pipeline = Pipeline(style, Manifest(tmp_path), recipe, config, 1)
    assert (pipeline.workers, pipeline._reader.photos) == (photos, photos)
