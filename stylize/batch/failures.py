"""What failed, as a table for people and spreadsheets: failures.csv."""

import csv
import io
import re
from collections.abc import Sequence

from stylize.events import PhotoFailed

# Before what a spreadsheet may run, at the start of a cell, whichever character it splits cells at.
# The last four characters are wide forms of those before.
FORMULA = re.compile(r"(^|[,;|\t\r\n])(?=[\s\"]*[=+\-@\uff1d\uff0b\uff0d\uff20])")


def failures_table(failures: Sequence[PhotoFailed]) -> bytes:
    """The content of `failures.csv`. File names may hold bytes that are not UTF-8.

    A spreadsheet runs none of it: an apostrophe before what would be a formula makes it text.
    """
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(("photo", "reason"))
    for failure in failures:
        writer.writerow(FORMULA.sub(r"\1'", text) for text in (str(failure.source), failure.reason))
    return table.getvalue().encode(errors="surrogateescape")
