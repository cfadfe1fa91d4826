"""The kernels compile for GPUs, whether there is one here or not.

What they compute is tested in test_instance_norm.py, in Triton's interpreter without a GPU.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

COMPILE = Path(__file__).parent / "compile_kernels.py"


@pytest.mark.parametrize("capability", [80, 90])
def test_kernels_compile_and_read_16_bytes_at_once(capability):
    """In a process of its own, as the interpreter takes the place of the compiler in this one."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    command = [sys.executable, str(COMPILE), str(capability)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert len(lines) == 24
    for line in lines:
        assert "ld.global.v4.b32" in line
