"""More shards for a cluster, while events come in and questions are asked.

The servers know the larger cluster under a name of its own beside the one that is in use. The key
(`cluster.BY_VISITOR`) sends each visitor to the shard that has them, or to a new one: so the new
ones get their visitors' rows, partition by partition, and again what has changed since, while
nobody looks at them. In the end, for a moment, nothing is inserted and nothing asked: the last of
it is brought, tables are divided anew, and the others' rows of those visitors are deleted.

From the first table that is divided anew the smaller cluster cannot be opened any more, and until
the last row is deleted neither can the larger one: the new shards' note of being added goes last
(`cluster.check_own`). So whoever was killed in between does the rest once more.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from string import Template
from typing import NamedTuple

from clickhouse_connect.driver.client import Client

from threadline.store import cluster, moving
from threadline.store.address import Address, cluster_address, without_password
from threadline.store.cluster import ADDED, Division, Place
from threadline.store.connection import CONNECT_S, connect
from threadline.store.engine import Store
from threadline.store.errors import StoreError, store_errors
from threadline.store.moving import MovedTable
from threadline.store.versions import Version, versions

STATEMENT_S = 60
# A month is read at once.
LONGEST_S = 24 * 3600
# To try it would be a mutation, which waits for the merges of large parts.
MAY_DELETE = Template("CHECK GRANT ALTER DELETE ON $table")


class MovedRound(NamedTuple):
    """What was done in one round. `versions`: of what is brought now; `months`: of events, those
    that were; `deleted`: rows that were there before may be gone."""

    versions: list[Version]
    months: list[str]
    deleted: bool


class Addition:
    """`store`: with the shards that there are; `added`: those that come to them, empty or filled by
    an earlier try."""

    def __init__(self, store: Store, url: str, added: Sequence[Store]) -> None:
        self.store, self.url, self.added = store, url, added
        described = moving.described(store)
        self.divided = [table for table in described.values() if table.is_divided]

    def size(self) -> int:
        """Bytes to bring in the first round, about; unpacked."""
        names = {table.name for table in self.divided}
        every = sum(each.size for each in moving.partitions(self.store) if each.table in names)
        return every * len(self.added) // (len(self.store.nodes) + len(self.added))

    def versions(self) -> list[Version]:
        """Of all partitions now. Raises `StoreError`."""
        tables = [*(table.name for table in self.divided), *moving.FOLLOW]
        return [
            version
            for number, node in enumerate(self.store.nodes)
            for version in versions(node, number, tables)
        ]

    def bring(self, known: Sequence[Version], read: Callable[[int], None]) -> MovedRound:
        """Have the new shards hold what is theirs, as far as it is not what it was in `known`.
        `read` is called with how many bytes came. Raises `StoreError`."""
        now = {each.place: each for each in self.versions()}
        before = {each.place: each for each in known}
        lost = [
            place
            for place, version in before.items()
            if place not in now or now[place].lost_rows(version)
        ]
        came = [
            place
            for place, version in now.items()
            if place not in before or version.block != before[place].block
        ]
        changed = {(table, partition) for _, table, partition in [*lost, *came]}
        self._drop_others({(table, partition) for _, table, partition in now})
        for table in self.divided:
            for partition in sorted(of for name, of in changed if name == table.name):
                self._bring(table, partition, not known, read)
        months = sorted(partition for table, partition in changed if table == "events")
        return MovedRound([*now.values()], months, bool(lost))

    def divide(self) -> None:
        """As below, and from here on the store is the larger cluster: where this fails, it is away
        until the rest is done. Nothing may be inserted or asked meanwhile."""
        self.store.divide(self.url, [node.url for node in (*self.store.nodes, *self.added)])
        divide(self.url)
        self.store.open()

    def _drop_others(self, wanted: set[tuple[str, str]]) -> None:
        """What came in an earlier round, and is nowhere any more."""
        names = {table.name for table in self.divided}
        for node in self.added:
            for each in moving.partitions(node):
                if each.table in names and each[:2] not in wanted:
                    moving.drop(node, each.table, each.partition)

    def _bring(
        self, table: MovedTable, partition: str, compares: bool, read: Callable[[int], None]
    ) -> None:
        """`compares`: an earlier try may have brought it."""
        for node in self.added:
            if compares:
                there = moving.digest_of([node], table, partition)
                here = moving.digest_of(self.store.nodes, table, partition, node.owns)
                if here == there:
                    continue
            moving.pour(self.store.nodes, node, table, partition, read)


@contextmanager
def addition(store: Store, url: str) -> Iterator[Addition]:
    """What it takes to go on with the cluster of this URL, which has more shards. The new ones get
    the schema. Raises `StoreError`."""
    nodes = _in_order(url)
    there = [node.url for node in store.nodes]
    now, wanted = _cluster(store.url), _cluster(url)
    if nodes == there:
        raise StoreError(f"{without_password(url)} has no shards besides those that there are.")
    if now.cluster == wanted.cluster or nodes[: len(there)] != there:
        raise StoreError(
            "The larger cluster needs a name of its own in remote_servers, and in it the shards of"
            f" {now.cluster} first, in the same order; both URLs have to name them in the same way,"
            " with the same user and database."
        )
    _check_servers(wanted, nodes)
    with ExitStack() as opened:
        added = [
            opened.enter_context(Store(node, query_seconds=LONGEST_S))
            for node in nodes[len(there) :]
        ]
        for number, node in enumerate(added, start=len(there) + 1):
            node.open()
            node.owns = cluster.own_visitors(Place(number, len(nodes)))
            _claim(node)
            moving.check_alike(moving.described(store), moving.described(node))
        more = Addition(store, url, added)
        _check_rights(nodes, wanted, more.divided)
        yield more


def is_begun(url: str) -> bool:
    """Whether tables are divided between all shards of this cluster already, on some node. Raises
    `StoreError`."""
    address, nodes = _cluster(url), _in_order(url)
    for node in nodes:
        with _client(node) as client:
            if cluster.division(client, address) == Division(address.cluster, len(nodes)):
                return True
    return False


def is_interrupted(url: str) -> bool:
    """Whether shards are being added to make this cluster: some are noted as new. Nobody else may
    `divide` it: where shards have changed places, all rows are another's. Raises `StoreError`."""
    address = _cluster(url)
    for node in _in_order(url):
        with _client(node) as client:
            if cluster.is_added(client, address):
                return True
    return False


def divide(url: str) -> None:
    """Divide the tables between the shards of this cluster, new ones among them, and delete on each
    what is another's. Once more does what is left of it. Raises `StoreError`."""
    address, nodes = _cluster(url), _in_order(url)

    def distribute(node: str) -> None:
        with _client(node, STATEMENT_S) as client:
            cluster.distribute(client, address, len(nodes), anew=True)

    def delete(shard: int) -> None:
        with Store(nodes[shard]) as node:
            tables = [each.name for each in moving.described(node).values() if each.is_divided]
            for table in tables:
                others = f"NOT ({cluster.own_visitors(Place(shard + 1, len(nodes)))})"
                node.delete(table, others, {})

    with ThreadPoolExecutor(len(nodes), "threadline-divide") as beside:
        list(beside.map(distribute, nodes))
        list(beside.map(delete, range(len(nodes))))
    with ExitStack() as opened:
        for node in [opened.enter_context(Store(each)) for each in nodes]:
            if ADDED in moving.origins(node):
                moving.end(node)


def _in_order(url: str) -> list[str]:
    """The URLs of a cluster's nodes, first shard first. Raises `StoreError`."""
    address = _cluster(url)
    found = {}
    for node in address.nodes:
        with _client(node) as client:
            found[node] = cluster.place(client, address.cluster)
    return cluster.in_order(address.cluster, found)


def _check_servers(address: Address, nodes: Sequence[str]) -> None:
    """Raises `StoreError` where not each of them reaches all of them, in order: once tables are
    divided it is too late."""
    servers = []
    for node in nodes:
        with _client(node) as client:
            servers.append(tuple(client.query(cluster.SERVER).result_rows[0]))
    try:
        for node in nodes:
            with _client(node) as client:
                cluster.check_servers(client, address, servers)
    except StoreError as error:
        raise StoreError(
            f"Not every node reaches every shard of the cluster {address.cluster} as its"
            f" remote_servers describe it, so nothing was changed. {error}"
        ) from error


def _check_rights(nodes: Sequence[str], wanted: Address, tables: Sequence[MovedTable]) -> None:
    """Raises `StoreError` where the user may not do on one of these nodes what it takes in the end:
    once tables are divided it is too late."""
    try:
        for node in nodes:
            with _client(node) as client:
                cluster.try_distributing(client, wanted)
                for table in tables:
                    if not client.query(MAY_DELETE.substitute(table=table.name)).result_rows[0][0]:
                        raise StoreError(f"The user lacks ALTER DELETE ON {table.name}.")
    except StoreError as error:
        raise StoreError(
            "On one of the shards the user may not do what it takes, so nothing was changed; grant"
            f" the user the same on all of them, and try again. {error}"
        ) from error


def _claim(node: Store) -> None:
    """Raises `StoreError` where anything is there that no try to add it has brought."""
    if ADDED in moving.origins(node):
        return
    for table in moving.table_names():
        if node.query(moving.ANY_ROW, {"table": table}):
            raise StoreError(
                f"{without_password(node.url)} is not empty ({table}), so it cannot become a shard:"
                " drop that database, if nobody needs it."
            )
    moving.begin(node, ADDED, ADDED)


def _cluster(url: str) -> Address:
    address = cluster_address(url)
    if address is None:
        raise StoreError(
            f"{without_password(url)} is not a cluster, so no shards can be added: it has no"
            " ?cluster=NAME. `threadline migrate-store` moves all events into one."
        )
    return address


@contextmanager
def _client(node: str, timeout_s: int = CONNECT_S) -> Iterator[Client]:
    """Of a node by its URL. Raises `StoreError` naming it."""
    with cluster.naming(node), store_errors(), closing(connect(node, timeout_s, {})) as client:
        yield client
