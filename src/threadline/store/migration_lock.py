"""One process migrates a store at a time.

The embedded engine lets no second process in. A server does, so there the lock is a table: whoever
makes `schema_lock_N` has it, because a table is made once. Its rows say that its owner lives, and
in the end that the lock is free; it stays, so that no number comes twice. The next one makes
`schema_lock_N+1`, when the lock is free or its owner has been silent for `LEASE_S`.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from string import Template
from typing import NamedTuple

import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from threadline.store.address import is_embedded
from threadline.store.connection import CONNECT_S, connect
from threadline.store.errors import TABLE_ALREADY_EXISTS, UNKNOWN_TABLE, StoreAway

LEASE_S = 60
SIGN_EVERY_S = 10
LOOK_AGAIN_S = 0.5

LOCKS = """
    SELECT toUInt32(extract(name, '[0-9]+$')) AS number,
        dateDiff('second', metadata_modification_time, now()) AS age_s
    FROM system.tables
    WHERE database = currentDatabase() AND match(name, '^schema_lock_[0-9]+$')
    ORDER BY number"""
LOCK = Template("""
    CREATE TABLE schema_lock_$number (
        owner String, at DateTime('UTC') DEFAULT now(), released Bool
    )
    ENGINE = MergeTree ORDER BY at""")
SIGN = Template(
    "INSERT INTO schema_lock_$number (owner, released) VALUES ({owner:String}, {released:Bool})"
)
SIGNS = Template("""
    SELECT count() AS signs, max(released) AS released, any(owner) AS owner,
        dateDiff('second', max(at), now()) AS silent_s
    FROM schema_lock_$number""")

_logger = structlog.get_logger("threadline.migrations")
_in_this_process = threading.Lock()


class HeldLock(NamedTuple):
    """A lock that somebody has, and for how long nothing was heard of them."""

    owner: str
    silent_s: int


@contextmanager
def migration_lock(url: str, client: Client) -> Iterator[Callable[[], None]]:
    """The lock, as long as the block lasts; waits for it. What it gives raises `StoreAway` where
    another process has taken over, because this one was silent too long."""
    if is_embedded(url):
        with _in_this_process:
            yield lambda: None
        return
    number = _acquire(client)
    left = threading.Event()
    signing = threading.Thread(target=_sign_on, args=(url, number, left), daemon=True)
    signing.start()
    try:
        yield lambda: _hold(client, number)
    finally:
        left.set()
        signing.join()
        with suppress(ClickHouseError):  # then the next one waits until the lease is over
            _sign(client, number, released=True)


def _acquire(client: Client) -> int:
    """The number of the lock that is ours now."""
    waiting = False
    while True:
        numbers = [int(number) for number, _ in client.query(LOCKS).result_rows]
        newest = max(numbers, default=0)
        held = _held(client, newest) if newest else None
        if held is None or held.silent_s >= LEASE_S:
            try:
                client.command(LOCK.substitute(number=newest + 1))
            except DatabaseError as error:  # another one was quicker
                if error.code != TABLE_ALREADY_EXISTS:
                    raise
                continue
            if not _is_newest(client, newest + 1):
                # Since we looked, others had it and dropped it: this number is an old one.
                client.command(f"DROP TABLE IF EXISTS schema_lock_{newest + 1} SYNC")
                continue
            if held:
                _logger.warning("migration_taken_over", owner=held.owner, silent_s=held.silent_s)
            _sign(client, newest + 1, released=False)
            for number in numbers:
                client.command(f"DROP TABLE IF EXISTS schema_lock_{number} SYNC")
            return newest + 1
        if not waiting:
            _logger.info("migration_waits", owner=held.owner, silent_s=held.silent_s)
            waiting = True
        time.sleep(LOOK_AGAIN_S)


def _held(client: Client, number: int) -> HeldLock | None:
    """Who has this lock; None if it is free."""
    try:
        ((signs, released, owner, silent_s),) = client.query(
            SIGNS.substitute(number=number)
        ).result_rows
    except DatabaseError as error:
        if error.code != UNKNOWN_TABLE:
            raise
        return HeldLock(
            "another process", 0
        )  # which has the next one, and has just dropped this one
    if released:
        return None
    if not signs:  # just made, or its owner died in that moment
        silent_s = next((age for lock, age in client.query(LOCKS).result_rows if lock == number), 0)
    return HeldLock(str(owner), int(silent_s))


def _is_newest(client: Client, number: int) -> bool:
    ((newest, _),) = client.query(LOCKS).result_rows[-1:] or [(0, 0)]
    return bool(newest == number)


def _hold(client: Client, number: int) -> None:
    if not _is_newest(client, number):
        raise StoreAway("Another process has taken over the migration of the event store.")


def _sign(client: Client, number: int, released: bool) -> None:
    params = {"owner": f"{socket.gethostname()} {threading.get_native_id()}", "released": released}
    client.command(SIGN.substitute(number=number), parameters=params)


def _sign_on(url: str, number: int, left: threading.Event) -> None:
    """Show that this process lives, until it has left."""
    while not left.wait(SIGN_EVERY_S):
        with suppress(ClickHouseError):
            client = connect(url, CONNECT_S, {})
            try:
                _sign(client, number, released=False)
            finally:
                client.close()
