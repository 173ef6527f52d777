"""Small tables that are in memory only, to look numbers up in: dictionaries of the engine, filled
once from a question's answer. The process that made one drops it; a server forgets all of them when
it is started again."""

from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from secrets import token_hex
from urllib.parse import unquote, urlsplit

from threadline.store.engine import Store
from threadline.store.errors import StoreError
from threadline.store.statements import Params


class Dictionaries:
    """Of one process, which others on the same server do not get in the way of."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._database = ""
        self._process = token_hex(4)
        self._numbers = count(1)

    def make(self, name: str, columns: str, layout: str, sql: str, params: Params) -> str:
        """A dictionary of what the statement answers, whose first column is the key; the name by
        which `dictGet` finds it. `columns`, `layout`: as `CREATE DICTIONARY` has them."""
        database = self._ready()
        table = f"{name}_{self._process}_{next(self._numbers)}"
        full_name = f"{database}.{table}"
        key = columns.partition(" ")[0]
        # The engine fills a dictionary from a table, which is empty again afterwards.
        source = f"SOURCE(CLICKHOUSE(DB '{database}' TABLE '{table}_rows'{self._user()}))"
        self._store.arrange(f"CREATE TABLE {full_name}_rows ({columns}) ENGINE = Memory")
        self._store.arrange(f"INSERT INTO {full_name}_rows {sql}", params)
        self._store.arrange(
            f"CREATE DICTIONARY {full_name} ({columns}) PRIMARY KEY {key} {source} {layout}"
            " LIFETIME(0)"
        )
        self._store.arrange(f"SYSTEM RELOAD DICTIONARY {full_name}")
        self._store.arrange(f"TRUNCATE TABLE {full_name}_rows")
        return full_name

    def drop(self, names: Iterable[str]) -> None:
        """Drop what `make` made. On a server that is away they end by themselves."""
        with suppress(StoreError):
            for name in names:
                self._store.arrange(f"DROP DICTIONARY IF EXISTS {name}")
                self._store.arrange(f"DROP TABLE IF EXISTS {name}_rows")

    def _ready(self) -> str:
        """The database they are in, beside the store's own."""
        if not self._database:
            (row,) = self._store.query("SELECT currentDatabase() AS name", {})
            database = f"{row['name']}_kept"
            self._store.arrange(f"CREATE DATABASE IF NOT EXISTS {database} ENGINE = Memory")
            self._database = database
        return self._database

    def _user(self) -> str:
        """A server reads the table as somebody, too."""
        address = urlsplit(self._store.url)
        if self._store.is_embedded:
            return ""
        user, password = unquote(address.username or "default"), unquote(address.password or "")
        return f" USER {_quoted(user)} PASSWORD {_quoted(password)}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
