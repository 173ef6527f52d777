"""Connections to PostgreSQL: opened when they are needed, and again when they broke. None is waited
on forever: a server that hangs says nothing at all, and its machine keeps the connection up."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, LiteralString

import psycopg
from psycopg.conninfo import conninfo_to_dict

from threadline.control.address import no_url, without_password
from threadline.control.postgres_errors import said_plainly

# Also where its machine is gone, or its network.
CONNECTING = {
    "application_name": "threadline",
    "client_encoding": "utf8",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
# Of a node that stops in the middle, nobody waits for the lock longer than that.
SESSION = (
    "SET lock_timeout = '10s'; SET statement_timeout = '12s';"
    " SET idle_in_transaction_session_timeout = '20s';"
    # What a machine holds that is gone, the server gives to others soon.
    " SET tcp_keepalives_idle = '5s'; SET tcp_keepalives_interval = '2s';"
    " SET tcp_keepalives_count = 3"
)
ANSWERS_S = 15.0
WATCH_EVERY_S = 1.0


class Connections:
    """Those to one database, and the thread that cuts such on which nothing comes any more."""

    def __init__(self, url: str) -> None:
        """Raises `ControlError`, which does not repeat what may have a password in it."""
        self.name = without_password(url)
        self._address = _address(url)
        self._made: list[Connection] = []
        self._closed = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def another(self) -> "Connection":
        """One more, which is opened when it is first used."""
        connection = Connection(self._address)
        self._made.append(connection)
        return connection

    @contextmanager
    def asked(self, connection: "Connection") -> Iterator[None]:
        """While it is to answer, its errors are said plainly, and it is not waited for forever."""
        connection.asked_at = time.monotonic()
        try:
            with said_plainly(self.name):
                yield
        finally:
            connection.asked_at = None

    def close(self) -> None:
        self._closed.set()
        for connection in self._made:
            connection.close()

    def _watch(self) -> None:
        while not self._closed.wait(WATCH_EVERY_S):
            for connection in [*self._made]:
                asked_at = connection.asked_at
                if asked_at is not None and time.monotonic() - asked_at > ANSWERS_S:
                    connection.cut()


class Connection:
    """One, for one thread at a time."""

    def __init__(self, address: dict[str, Any]) -> None:
        self._address = address
        self.asked_at: float | None = None
        self._db: psycopg.Connection[Any] | None = None
        self._opening = threading.Lock()

    def opened(self) -> "psycopg.Connection[Any]":
        with self._opening:
            if self._db is None or self._db.closed:
                # Prepared statements would be another's behind a pool.
                self._db = psycopg.connect(
                    **{**CONNECTING, **self._address}, autocommit=True, prepare_threshold=None
                )
                self._db.execute(SESSION)
            return self._db

    def as_it_is(self) -> "psycopg.Connection[Any]":
        """The one that is open, also where it broke: what it holds is held by no other."""
        return self._db or self.opened()

    def first(self, sql: LiteralString | bytes) -> "psycopg.Cursor[Any]":
        """A statement that others follow. If the connection turns out to be gone, of which nobody
        may have told, another one is opened for it."""
        db = self.opened()
        try:
            return db.execute(sql)
        except psycopg.OperationalError:
            if not db.closed:
                raise
        return self.opened().execute(sql)

    def cut(self) -> None:
        """Whoever waits on it is told at once that it is gone."""
        with suppress(OSError, psycopg.Error):
            if self._db:
                with socket.socket(fileno=os.dup(self._db.fileno())) as end:
                    end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if self._db:
            self._db.close()


def _address(url: str) -> dict[str, Any]:
    try:
        return conninfo_to_dict(url)
    except psycopg.Error:
        raise no_url() from None
