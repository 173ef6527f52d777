"""Small tables that are in memory only: made once of a question's answer, and looked up in or read
by the questions after it. The process that made one drops it; a server forgets all of them when it
is started again."""

from contextlib import suppress
from itertools import count
from secrets import token_hex
from urllib.parse import unquote, urlsplit

from threadline.store.engine import Store
from threadline.store.errors import StoreError
from threadline.store.statements import Params


class InMemory:
    """Those of one process, which others on the same server do not get in the way of."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._database = ""
        self._process = token_hex(4)
        self._numbers = count(1)

    @property
    def database(self) -> str:
        """The database they are in, beside the store's own."""
        if not self._database:
            (row,) = self._store.query("SELECT currentDatabase() AS name", {})
            database = f"{row['name']}_kept"
            self._store.arrange(f"CREATE DATABASE IF NOT EXISTS {database} ENGINE = Memory")
            self._database = database
        return self._database

    def table(self, name: str, like: str, settings: str = "") -> str:
        """An empty table with the columns of a SELECT; its name in `database`. `settings`: of the
        engine Memory."""
        table = self._new(name)
        engine = f"Memory SETTINGS {settings}" if settings else "Memory"
        self._store.arrange(
            f"CREATE TABLE {self.database}.{table} ENGINE = {engine} EMPTY AS {like}"
        )
        return table

    def insert(self, table: str, sql: str, params: Params) -> None:
        """Add what the statement answers to a table that nobody else knows yet."""
        self._store.arrange(f"INSERT INTO {self.database}.{table} {sql}", params)

    def dictionary(self, name: str, columns: str, layout: str, sql: str, params: Params) -> str:
        """A dictionary of what the statement answers, whose first column is the key; the name by
        which `dictGet` finds it. `columns`, `layout`: as `CREATE DICTIONARY` has them."""
        key = columns.partition(" ")[0]
        table = self._new(name)
        # The engine fills a dictionary from a table, which is empty again afterwards.
        rows = f"{self.database}.{table}_rows"
        source = f"SOURCE(CLICKHOUSE(DB '{self.database}' TABLE '{table}_rows'{self._user()}))"
        self._store.arrange(f"CREATE TABLE {rows} ({columns}) ENGINE = Memory")
        self._store.arrange(f"INSERT INTO {rows} {sql}", params)
        full_name = f"{self.database}.{table}"
        self._store.arrange(
            f"CREATE DICTIONARY {full_name} ({columns}) PRIMARY KEY {key} {source} {layout}"
            " LIFETIME(0)"
        )
        self._store.arrange(f"SYSTEM RELOAD DICTIONARY {full_name}")
        self._store.arrange(f"TRUNCATE TABLE {rows}")
        return full_name

    def drop(self, name: str) -> None:
        """Drop a table or dictionary, by the name that it was given. On a server that is away it
        ends by itself."""
        full_name = name if "." in name else f"{self.database}.{name}"
        with suppress(StoreError):
            if "." in name:
                self._store.arrange(f"DROP DICTIONARY IF EXISTS {full_name}")
                full_name += "_rows"
            self._store.arrange(f"DROP TABLE IF EXISTS {full_name}")

    def _new(self, name: str) -> str:
        return f"{name}_{self._process}_{next(self._numbers)}"

    def _user(self) -> str:
        """A server reads the table as somebody, too."""
        if self._store.is_embedded:
            return ""
        address = urlsplit(self._store.url)
        user, password = unquote(address.username or "default"), unquote(address.password or "")
        return f" USER {_quoted(user)} PASSWORD {_quoted(password)}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
