import psutil
import pytest
import torch

from stylize.errors import DeviceError
from stylize.network.device import available, choose, free_memory, has_bf16_units

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
