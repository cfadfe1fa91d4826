import numpy as np
import psutil
import pytest
import torch
from conftest import DEVICE
from torch.utils._python_dispatch import TorchDispatchMode

from stylize.errors import DeviceError
from stylize.network.device import available, choose, free_memory, has_bf16_units
from stylize.network.instance_norm.torch_backend import combine
from stylize.network.transformer import white_noise

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPU")


@without_gpu
def test_forcing_a_missing_gpu_is_an_error():
    with pytest.raises(DeviceError, match="no CUDA GPU here"):
        choose("cuda")


@without_gpu
def test_auto_takes_the_cpu():
    assert choose().device.type == "cpu"


@pytest.mark.parametrize("device", ["gpu", "", "cpu:x", "cpu:1", "meta"])
def test_a_name_that_is_no_device(device):
    with pytest.raises(DeviceError):
        choose(device)


def test_auto_precision_follows_the_hardware():
    fast = has_bf16_units(torch.device("cpu"))
    assert choose("cpu").precision == ("bf16" if fast else "fp32")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_forced_precision_is_kept(precision):
    assert choose("cpu", precision).precision == precision


@pytest.mark.parametrize("precision", ["fp16", "", "half"])
def test_a_name_that_is_no_precision(precision):
    with pytest.raises(DeviceError, match="precision is"):
        choose("cpu", precision)


def test_peak_memory_is_in_bytes():
    held = torch.ones(30_000_000)
    assert held.nbytes <= choose("cpu").peak_memory() < 2**40


def test_free_memory_is_what_the_system_says(tmp_path):
    assert free_memory(tmp_path, tmp_path / "none") == pytest.approx(
        psutil.virtual_memory().available, rel=0.1
    )


def test_a_containers_limit_counts(tmp_path):
    (tmp_path / "self").write_text("4:memory:/old\n0::/shop/night\n")
    night = tmp_path / "cgroup" / "shop" / "night"
    night.mkdir(parents=True)

    def group(folder, limit, used, files):
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text(f"{used}\n")
        (folder / "memory.stat").write_text(f"anon 5\ninactive_file {files}\n")

    group(night, "max", 500, 100)
    group(night.parent, 100_000, 60_000, 10_000)
    assert free_memory(tmp_path / "cgroup", tmp_path / "self") == 50_000
    group(night, 1000, 900, 0)
    assert free_memory(tmp_path / "cgroup", tmp_path / "self") == 100
    group(night, 1000, 1200, 0)
    assert free_memory(tmp_path / "cgroup", tmp_path / "self") == 0
    (night / "memory.stat").write_text("nothing known\nat all so far")
    assert free_memory(tmp_path / "cgroup", tmp_path / "self") > 1e6


def test_the_cpu_is_the_last_choice():
    assert available()[-1] == torch.device("cpu")
    assert choose().device.type == available()[0].type


@pytest.mark.parametrize("device", ["cuda:99", "xpu:99", "mps:99"])
def test_a_gpu_that_is_not_here_is_an_error(device):
    with pytest.raises(DeviceError, match=r"no (.* )?GPU"):
        choose(device)


def test_a_device_without_fp64_is_enough_for_noise():
    """As Apple's GPUs. The noise is compared bit by bit with the hash in Python's integers."""

    class NoFp64(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            found = function(*args, **(kwargs or {}))
            assert not isinstance(found, torch.Tensor) or found.dtype != torch.float64
            return found

    def hashed(value):
        bits = value % 2**32
        bits = (bits ^ bits >> 15) * 0x2C1B3C6D % 2**32
        bits = (bits ^ bits >> 12) * 0x297A2D39 % 2**32
        return bits ^ bits >> 15

    with NoFp64():
        noise = white_noise(torch.empty(1, 1, 5, 7, device=DEVICE), 2, top=100_000)
    places = np.arange(5 * 7 * 2).reshape(2, 5, 7)
    for channel, row, column in np.ndindex(places.shape):
        place = (100_000 + row) * 0x9E3779B1 + column * 0x85EBCA77 + channel * 0xC2B2AE3D
        share = np.float32((hashed(place + 0x27D4EB2F) >> 8) / 2**24 - 0.5)
        assert noise[0, channel, row, column].item() == np.float32(12**0.5) * share


def test_statistics_of_parts_come_back_to_their_device():
    means, variances = torch.rand(2, 3, 4, 5, device=DEVICE).unbind()
    counts = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1).to(DEVICE)
    for value in combine(means, variances, counts):
        assert value.device.type == DEVICE.type
        assert value.dtype == torch.float32
