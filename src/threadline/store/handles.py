"""The handles of a store: opened and migrated once, then lent out from a pool for each purpose.

A handle serves one query at a time, so reads take one from a small pool, and what writes from
another.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Self

import structlog
from clickhouse_connect.driver.client import Client

from threadline.store import background, cluster
from threadline.store.address import LOCAL, Address, cluster_address, is_embedded, without_password
from threadline.store.connection import (
    CONNECT_S,
    READERS,
    READS_ONCE,
    connect,
    sees_deletions,
    share_of_memory,
)
from threadline.store.errors import StoreAway, StoreError, store_errors
from threadline.store.gate import Gate
from threadline.store.journal import WrittenEvent, journals
from threadline.store.migrating import migrate
from threadline.store.pool import Pool

# The log's writer, and beside it what people decide and what forgets them.
WRITERS = 2
# Files are taken as slowly as who takes them is; questions must not wait for that.
SAVERS = 2
PING_S = 3
# An insert or a mutation may take long; whoever waits longer finds out by trying again.
WRITE_S = 300
# A block may bring months that were missing; the schema bounds how many exist.
ANY_PARTITIONS = {"max_partitions_per_insert_block": 0}

_logger = structlog.get_logger("threadline.store")


class Handles:
    """Of one engine or server, or of all nodes of a cluster. Safe to use from several threads."""

    def __init__(
        self: Self,
        url: str,
        query_seconds: int = 30,
        query_bytes: int | None = None,
        log_sql: bool = False,
    ) -> None:
        """Open and migrate. `url`: `chdb:///absolute/folder` or `clickhouse://…` (see `store_url`).
        `query_bytes`: memory that one question may take; None: its share of the machine's, or
        whatever a server has configured. `log_sql`: each query, with how long it took.

        A server that is away may come later: every use tries again. Raises `SchemaError` for
        a store of another version, `StoreError` if it cannot be opened, for example because another
        process has the folder open or the password is wrong.
        """
        self.url = url
        # Of a node of a cluster: SQL, which visitors are its own.
        self.owns = ""
        self._cluster = cluster_address(url)
        self._query_seconds = query_seconds
        self._query_bytes = query_bytes
        self._log_sql = log_sql
        self._nodes: tuple[Self, ...] = ()
        if self._cluster:
            self._nodes = tuple(map(self._node, self._cluster.nodes))
        self._journal = journals[url]
        # Who asks all nodes passes it; closed, while they are made more.
        self.gate = Gate()
        self._opening = threading.Lock()
        self._migrated = False
        self._was_open = False
        self._reads_once = False
        self._sees_deletions = False
        # The engine gives up first, and says why. From half of the memory on it sorts and groups on
        # disk: `max_bytes_ratio_before_external_group_by` and its like are 0.5 by themselves.
        limits = {
            "max_execution_time": query_seconds,
            "max_memory_usage": query_bytes or share_of_memory(url),
            # A longer list matches everywhere; looking each up first is in vain.
            "use_index_for_in_with_subqueries_max_values": 1000,
        }
        self._readers = self._pool(READERS, query_seconds + CONNECT_S, limits)
        self._savers = self._pool(SAVERS, query_seconds + CONNECT_S, limits)
        self._writers = self._pool(WRITERS, WRITE_S, ANY_PARTITIONS)
        self._pings = self._pool(1, PING_S, {"max_execution_time": PING_S})
        self._beside = ThreadPoolExecutor(READERS, "threadline-query")
        self._open_first()

    def _node(self: Self, url: str) -> Self:
        return type(self)(url, self._query_seconds, self._query_bytes, self._log_sql)

    def _open_first(self) -> None:
        url = without_password(self.url)
        try:
            self.open()
        except StoreAway as error:
            _logger.error("store_away", url=url, error=str(error))
        except StoreError as error:
            raise StoreError(f"The store at {url} cannot be opened: {error}") from error

    def _pool(self, size: int, timeout_s: int, settings: Mapping[str, object]) -> Pool:
        return Pool(lambda: connect(self.url, timeout_s, settings), size)

    def open(self) -> None:
        """Migrate, unless that was done. Raises as the constructor, and `StoreAway`."""
        if self._migrated:
            return
        with self._opening:
            if not self._migrated:
                if self._cluster:
                    self._open_cluster(self._cluster)
                else:
                    with store_errors(), self._writers.handle() as writer:
                        migrate(self.url, writer)
                        self._sees_deletions = sees_deletions(writer)
                if is_embedded(self.url):
                    background.give_way()
                self._migrated = self._was_open = True

    def _open_cluster(self, address: Address) -> None:
        """As `_open_nodes`. What worked before is away, such as where adding shards was cut off."""
        try:
            self._open_nodes(address)
        except StoreError as error:
            raise (StoreAway if self._was_open else type(error))(str(error)) from error

    def _open_nodes(self, address: Address) -> None:
        """Migrate each, then make what is asked of all of them. Raises `StoreError` naming one."""
        found: dict[str, cluster.Place] = {}
        by_url = {node.url: node for node in self._nodes}
        for url, node in by_url.items():
            with cluster.naming(node.url):
                node.open()
                if self._was_open:  # one that is frozen is not waited for as a writer waits
                    node.ping()
                with store_errors(), node._writers.handle() as client:
                    found[url] = cluster.place(client, address.cluster)
        self._nodes = tuple(by_url[url] for url in cluster.in_order(address.cluster, found))
        for node in self._nodes:
            place = found[node.url]
            node.owns = cluster.own_visitors(place)
            with cluster.naming(node.url), store_errors(), node._writers.handle() as client:
                cluster.check_own(client, address, place)
        for node in self._nodes:  # nothing is made on any where one is not as it has to be
            with cluster.naming(node.url), store_errors(), node._writers.handle() as client:
                cluster.distribute(client, address, len(self._nodes))
        with store_errors(), self._writers.handle() as client:
            self._reads_once = all(name in client.server_settings for name in READS_ONCE)

    @property
    def reads_once(self) -> bool:
        """Whether it takes statements with relations AS MATERIALIZED (see `compose`). Raises as
        `open`."""
        self.open()
        return self._reads_once

    @property
    def nodes(self) -> tuple[Self, ...]:
        """Those of a cluster, each with the tables that it has itself; else this one. What follows
        from one visitor's events is made on the node that has them."""
        self.open()
        return self._nodes or (self,)

    @property
    def cluster(self) -> tuple[str, str] | None:
        """The name of the cluster that tables are divided between, and the database in which each
        node has its own; None where they are not divided."""
        address = self._cluster
        return (address.cluster, f"{address.database}{LOCAL}") if address else None

    @contextmanager
    def asking(self) -> Iterator[None]:
        """The nodes stay what they are as long as the block lasts. Raises `StoreBusy`."""
        with self.gate.passing(self._query_seconds):
            yield

    def divide(self: Self, url: str, nodes: Sequence[str]) -> None:
        """From here on it is the cluster of this URL, with nodes of these, and has to be opened
        again. To be called while the gate is closed."""
        there = {node.url: node for node in self._nodes}
        divided = tuple(there.get(node) or self._node(node) for node in nodes)
        self.url, self._cluster, self._nodes = url, cluster_address(url), divided
        self._migrated = False

    @property
    def home(self) -> Self:
        """Where the tables are that are not divided between nodes."""
        return self.nodes[0]

    @property
    def is_embedded(self) -> bool:
        """Whether the engine runs in this process, and nobody else writes to it."""
        return is_embedded(self.url)

    @property
    def changes(self) -> int:
        """Another number than before: this process may have changed what questions read."""
        return self._journal.changes

    def written_since(self, change: int, until: int) -> list[WrittenEvent] | None:
        """Where the events were that came after one number of `changes` and until another; None if
        anything else may have changed."""
        return self._journal.since(change, until)

    @property
    def is_open(self) -> bool:
        """False as long as a server has never been reached."""
        return self._migrated

    def ping(self) -> None:
        """Raises `StoreError` if the store does not answer soon. Waits for no question."""
        self.open()
        if self._cluster:
            for node in self._nodes:
                with cluster.naming(node.url):
                    node.ping()
            return
        with store_errors(), self._pings.handle(PING_S) as client:
            client.query("SELECT 1")

    def close(self) -> None:
        for node in self._nodes:
            node.close()
        self._beside.shutdown()
        for pool in (self._readers, self._savers, self._writers, self._pings):
            pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextmanager
    def _reader(self, wait_s: float | None = None) -> Iterator[Client]:
        """A handle for a question, which waits for its turn no longer than it may run."""
        self.open()
        wait_s = self._query_seconds if wait_s is None else wait_s
        with store_errors(), self._readers.handle(wait_s) as client:
            yield client

    @contextmanager
    def _change(self, written: Sequence[WrittenEvent] | None = None) -> Iterator[Client]:
        """A handle for what others see from then on."""
        try:
            with self._writer() as client:
                yield client
        finally:
            self._journal.note(written)

    @contextmanager
    def _writer(self) -> Iterator[Client]:
        self.open()
        with store_errors(), self._writers.handle() as client:
            yield client
