"""A table that spreadsheets open, whichever character they split cells at."""

import csv
import io
import re
from pathlib import Path

import pytest

from stylize.batch.failures import failures_table
from stylize.events import PhotoFailed


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_spreadsheet_runs_nothing_of_the_failures(delimiter):
    names = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "a;=1", "a\t=1", "a,=1"]
    names += ["\uff1d1", 'a";=1', '"=1', 'a;"=1', 'a|" =1', "a\n=1", " =1", "a-b,c", "a = b"]
    failures = [PhotoFailed(Path(f"{name}.jpg"), name) for name in names]
    text = failures_table(failures).decode()
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    for row in rows:
        for cell in row:
            assert not re.match(r"[\s\"]*[=+\-@\uff1d\uff0b\uff0d\uff20]", cell)
    if delimiter == ",":
        assert [row[1].replace("'", "") for row in rows[1:]] == [n.replace("'", "") for n in names]
        assert [row[1] for row in rows[-2:]] == names[-2:]
