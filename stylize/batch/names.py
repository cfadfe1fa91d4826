"""Names in a table on disk, for more of them than memory should hold."""

import os
import sqlite3
from typing import Any


class Names:
    """A set of names, with a number for each."""

    def __init__(self, database: sqlite3.Connection, table: str) -> None:
        """Makes the `table`."""
        self._db = database
        database.execute(
            f"CREATE TABLE {table} (name BLOB PRIMARY KEY, number INTEGER) WITHOUT ROWID"
        )
        self._select = f"SELECT number FROM {table} WHERE name = ?"  # noqa: S608 no user's text
        self._insert = f"INSERT OR REPLACE INTO {table} VALUES (?, ?)"  # noqa: S608

    def __contains__(self, name: object, /) -> bool:
        return self._find(str(name)) is not None

    def __getitem__(self, name: str, /) -> int:
        return int(self._find(name)[0])

    def __setitem__(self, name: str, number: int, /) -> None:
        self._db.execute(self._insert, (os.fsencode(name), number))

    def add(self, name: str, /) -> None:
        self[name] = 1

    def _find(self, name: str) -> Any:
        return self._db.execute(self._select, (os.fsencode(name),)).fetchone()
