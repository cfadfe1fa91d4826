"""Damaged style files, manifests, job files and recipes: no crash, no hang, little memory.

STYLIZE_FUZZ is the number of mutations of each. Damaged pictures are in tests/batch/test_fuzz.py.
"""

import json
import os
import subprocess
import sys

import fuzz
import pytest

COUNT = int(os.environ.get("STYLIZE_FUZZ", "200"))
MOST_MEGABYTES = 64


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_damaged_files_are_read_or_refused(kind):
    command = [sys.executable, fuzz.__file__, kind, str(COUNT)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["failures"] == []
    assert found["read"] + found["refused"] == COUNT
    assert found["read"] > COUNT / 50  # a changed byte of a weight or a title is no damage
    assert found["refused"] > COUNT / 4
    assert found["megabytes"] < MOST_MEGABYTES
