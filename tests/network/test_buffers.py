import errno
import os

import pytest
import torch

from stylize.network.buffers import InMemory, OnDisk, make_buffer
from stylize.network.memory import Way

CPU = torch.device("cpu")


@pytest.mark.parametrize("way", [Way.STRIPS, Way.FROM_HOST, Way.FROM_DISK])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_come_back_as_they_were_written(way, dtype, tmp_path):
    buffer = make_buffer(way, CPU, tmp_path, (1, 5, 12, 7), dtype)
    values = torch.randn(1, 5, 12, 7, dtype=dtype)
    for top in (4, 0, 8):  # in any order and either layout
        strip = values[:, :, top : top + 4]
        buffer.write(top, strip.contiguous(memory_format=torch.channels_last))
    buffer.write(3, values[:, :, 3:5])
    for top in range(12):
        for bottom in range(top + 1, 13):
            found = buffer.read(top, bottom)
            assert torch.equal(found, values[:, :, top:bottom])
            assert found.dtype == dtype
    assert buffer.read(2, 9).is_contiguous(memory_format=torch.channels_last)


def test_a_file_has_no_name_and_goes_with_its_buffer(tmp_path):
    buffer = OnDisk((1, 2, 1000, 100), torch.float32, tmp_path, CPU)
    buffer.write(0, torch.zeros(1, 2, 1000, 100))
    assert not list(tmp_path.iterdir())
    handle = buffer._file.fileno()
    assert os.fstat(handle).st_size == 800_000
    del buffer
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)


def test_a_full_disk_is_an_error():
    buffer = OnDisk((1, 1, 4, 4), torch.float32, os.curdir, CPU)
    buffer._file = open("/dev/full", "r+b", buffering=0)  # noqa: PTH123, SIM115
    with pytest.raises(OSError, match="No space") as caught:
        buffer.write(0, torch.zeros(1, 1, 4, 4))
    assert caught.value.errno == errno.ENOSPC


def test_a_file_that_has_lost_its_end_is_an_error(tmp_path):
    buffer = OnDisk((1, 2, 10, 5), torch.float32, tmp_path, CPU)
    buffer.write(0, torch.zeros(1, 2, 10, 5))
    buffer._file.truncate(200)
    buffer.read(0, 5)
    with pytest.raises(OSError, match="shorter"):
        buffer.read(4, 6)


def test_what_is_in_memory_is_channels_last():
    buffer = InMemory((1, 8, 4, 4), torch.bfloat16, CPU, CPU)
    assert buffer.read(0, 2).stride(1) == 1
