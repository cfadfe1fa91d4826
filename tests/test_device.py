import pytest
import torch

from stylize.device import choose, has_bf16_units
from stylize.errors import DeviceError

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPU")


@without_gpu
def test_forcing_a_missing_gpu_is_an_error():
    with pytest.raises(DeviceError, match="no CUDA GPU"):
        choose("cuda")


@without_gpu
def test_auto_takes_the_cpu():
    assert choose().device.type == "cpu"


@pytest.mark.parametrize("device", ["gpu", "", "cpu:x", "meta"])
def test_a_name_that_is_no_device(device):
    with pytest.raises(DeviceError):
        choose(device)


def test_auto_precision_follows_the_hardware():
    fast = has_bf16_units(torch.device("cpu"))
    assert choose("cpu").precision == ("bf16" if fast else "fp32")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_forced_precision_is_kept(precision):
    assert choose("cpu", precision).precision == precision


def test_peak_memory_grows_with_what_is_held():
    compute = choose("cpu")
    before = compute.peak_memory()
    held = torch.ones(before // 4 + 50_000_000)
    assert compute.peak_memory() >= held.nbytes
