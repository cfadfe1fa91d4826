"""What only a GPU can show."""

import pytest
import torch
from conftest import DEVICE, TINY_DRAFT

from stylize.network.architectures import build_network

pytestmark = pytest.mark.skipif(DEVICE.type != "cuda", reason="needs a GPU")


@pytest.mark.parametrize("masked", [False, True])
def test_a_network_is_queued_without_waiting(masked):
    network = build_network(TINY_DRAFT).eval().to(DEVICE)
    image = torch.rand(1, 3, 600, 800, device=DEVICE)
    mask = torch.rand(1, 1, 600, 800, device=DEVICE) if masked else None
    with torch.inference_mode():
        network(image, mask)  # makes what is made once
        torch.cuda.set_sync_debug_mode("error")
        try:
            network(image, mask)
        finally:
            torch.cuda.set_sync_debug_mode("default")
