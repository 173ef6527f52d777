"""What the nodes of one store do one after the other: advisory locks of the PostgreSQL that they
share. Each ends with the connection that holds it, so with its process, however that ends."""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors

from threadline.control.errors import ControlFileError
from threadline.control.others import Taken, Turn
from threadline.control.postgres_connections import Connection, Connections

# Any number, so that they are ours; the second one says which.
SPACE = 723_611_840
TURN, INSERTING, DECIDING, MAINTAINING = range(1, 5)
# What others have to finish first takes moments; a mutation may take longer.
PATIENCE_S = 120.0
# A process that is frozen in its turn would hold up all nodes: PostgreSQL ends a session that says
# nothing for so long. The fence keeps out what it sends later.
IN_TURN = "SET idle_session_timeout = '30s'"
AFTER_TURN = "SET idle_session_timeout = 0"
KNOWS_IDLE = 140_000  # PostgreSQL 14

LAST_TURN = "SELECT number, life, ended FROM turns"
TAKE_TURN = "UPDATE turns SET number = %s, life = %s, ended = FALSE"
END_TURN = "UPDATE turns SET ended = TRUE"
FORGOT = "UPDATE forgettings SET number = number + 1"
FORGOTTEN = "SELECT number FROM forgettings"


class NodeLocks:
    """As `Others`. Safe to use from several threads."""

    are_there = True

    def __init__(self, connections: Connections) -> None:
        """The tables of `nodes` have to be there."""
        self._connections = connections
        self._idle: list[Connection] = []
        self._taking = threading.Lock()
        # What was on its way when a process was killed may land when the next one is there.
        self._life = secrets.token_hex(8)

    @contextmanager
    def turn(self, after: int) -> Iterator[Turn]:
        with self._locked(TURN) as connection:
            row = self._ask(connection, LAST_TURN)
            if row is None:
                raise ControlFileError(f"{self._connections.name}: the table turns is empty.")
            bounded = connection.as_it_is().info.server_version >= KNOWS_IDLE
            if bounded:
                self._ask(connection, IN_TURN)
            last, life, ended = row
            number = max(int(last), after) + 1
            self._ask(connection, TAKE_TURN, number, self._life)
            yield Turn(number, life != self._life or not ended)
            self._ask(connection, END_TURN)
            if bounded:
                self._ask(connection, AFTER_TURN)

    @contextmanager
    def inserting(self) -> Iterator[None]:
        with self._locked(INSERTING, "_shared"):
            yield

    @contextmanager
    def nobody_inserts(self) -> Iterator[None]:
        with self._locked(INSERTING):
            yield

    @contextmanager
    def deciding(self) -> Iterator[None]:
        with self._locked(DECIDING):
            yield

    @contextmanager
    def forgetting(self) -> Iterator[None]:
        with self._locked(DECIDING) as connection:
            yield
            self._ask(connection, FORGOT)

    def forgotten(self) -> int:
        with self._locked(DECIDING) as connection:
            (number,) = self._ask(connection, FORGOTTEN) or (0,)
            return int(number)

    @contextmanager
    def maintaining(self) -> Iterator[None]:
        with self._locked(MAINTAINING, wait=False):
            yield

    @contextmanager
    def _locked(self, what: int, shared: str = "", wait: bool = True) -> Iterator[Connection]:
        """Raises `ControlFileError`, and `Taken` where it is not waited for."""
        with self._taking:
            connection = self._idle.pop() if self._idle else self._connections.another()
        try:
            self._acquire(connection, what, shared, wait)
            yield connection
            # Where the connection broke in between, this says so.
            self._ask(connection, f"SELECT pg_advisory_unlock{shared}({SPACE}, {what})")
        except Taken:
            raise
        except BaseException:
            connection.close()  # which gives up what it holds
            raise
        finally:
            with self._taking:
                self._idle.append(connection)

    def _acquire(self, connection: Connection, what: int, shared: str, wait: bool) -> None:
        sql = f"SELECT pg_{'' if wait else 'try_'}advisory_lock{shared}({SPACE}, {what})".encode()
        latest = time.monotonic() + PATIENCE_S
        while True:
            try:
                with self._connections.asked(connection):
                    taken = connection.first(sql).fetchone()
            except ControlFileError as error:
                patient = time.monotonic() < latest
                if not (isinstance(error.__cause__, errors.LockNotAvailable) and patient):
                    raise
                continue
            if not wait and not (taken and taken[0]):
                raise Taken
            return

    def _ask(self, connection: Connection, sql: str, *values: object) -> tuple[Any, ...] | None:
        """On the connection as it is: if it broke, what it held is lost."""
        with self._connections.asked(connection):
            db = connection.as_it_is()
            cursor: psycopg.Cursor[Any] = db.execute(sql.encode(), values or None)
            return cursor.fetchone() if cursor.description else None
