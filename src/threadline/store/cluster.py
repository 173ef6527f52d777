"""A ClickHouse cluster: which of its nodes has what.

Every node has all tables of a store in a database of its own (`address.LOCAL`), and its views fill
the states there. All that is of a visitor lies on one shard, so whatever follows from one
visitor's events is made where they are. In the database that is asked there is a Distributed table
over those of all nodes, for each of them.

What belongs to nobody's device (decisions, ids that came, notes) lies on the first shard only.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from string import Template
from typing import NamedTuple

from clickhouse_connect.driver.client import Client

from threadline.store.address import LOCAL, Address, without_password
from threadline.store.connection import create_database
from threadline.store.errors import StoreError

# Jumping moves as few rows as may be when a shard is added.
BY_VISITOR = Template("jumpConsistentHash(visitor, $shards)")
FIRST_SHARD = "0"
# Tables over which there is none yet, or one with other columns, as before a migration.
TO_MAKE = """
    SELECT table, countIf(here AND name = 'visitor') AS has_visitor
    FROM (
        SELECT table, name, type, default_expression, database = {local:String} AS here
        FROM system.columns
        WHERE database IN ({local:String}, {database:String}) AND table IN (
            SELECT name FROM system.tables
            WHERE database = {local:String} AND endsWith(engine, 'MergeTree')
                AND NOT match(name, '_[0-9a-f]{32}$|^schema_|^undone_|^unfinished_move$')
        )
    )
    GROUP BY table
    HAVING {anew:Bool} OR arraySort(groupArrayIf((name, type, default_expression), here))
        != arraySort(groupArrayIf((name, type, default_expression), NOT here))
    ORDER BY table != 'events', table"""
ENGINE = """
    SELECT engine_full FROM system.tables
    WHERE database = {database:String} AND name = 'events'"""
OF_ENGINE = re.compile(r"Distributed\('([^']+)', .*jumpConsistentHash\(visitor, (\d+)\)")
# A node's note of a move into its database that is not finished: from where. Of one that is to be
# a new shard it is `ADDED`.
UNFINISHED = "unfinished_move"
ADDED = "threadline shard add"
IS_NOTED = f"""
    SELECT 1 FROM system.tables
    WHERE database = {{database:String}} AND name = '{UNFINISHED}'"""
IS_ADDED = f"SELECT 1 FROM {{database:Identifier}}.{UNFINISHED} WHERE origin = '{ADDED}' LIMIT 1"
# A look at some is enough to see that shards have changed places, or are more than they were.
ASTRAY = Template("""
    SELECT count() AS astray
    FROM (SELECT visitor FROM events LIMIT 10000)
    WHERE NOT ($own)""")
MEMBERS = """
    SELECT shard_num, replica_num, is_local FROM system.clusters
    WHERE cluster = {cluster:String}
    ORDER BY shard_num, replica_num"""
# By what a server says of itself: under which name others know it may differ.
SERVER = "SELECT hostName(), tcpPort()"
SERVERS = Template(
    "SELECT hostName(), tcpPort() FROM cluster('$cluster', system.one) ORDER BY _shard_num"
)
CLUSTERS = "SELECT DISTINCT cluster FROM system.clusters ORDER BY cluster"
DISTRIBUTED = Template("""
    CREATE OR REPLACE TABLE $database.$named AS $local.$table
    ENGINE = Distributed($cluster, $local, $table, $key)""")
# What was decided about a visitor is not where the visitor's events are: it is read by itself.
ON_FIRST_SHARD = ("unlinks", "account_unlinks")


class Place(NamedTuple):
    """Of a node in its cluster: which shard it is, the first being 1, and how many there are."""

    shard: int
    shards: int


def place(client: Client, cluster: str) -> Place:
    """Where this node is. Raises `StoreError`."""
    rows = list(client.query(MEMBERS, parameters={"cluster": cluster}).named_results())
    if not rows:
        known = ", ".join(name for (name,) in client.query(CLUSTERS).result_rows)
        raise StoreError(f"It does not know the cluster {cluster}; there are {known or 'none'}.")
    several = [row["shard_num"] for row in rows if row["replica_num"] > 1]
    if several:
        raise StoreError(
            f"Shard {several[0]} of the cluster {cluster} has several replicas. Threadline's tables"
            " are not replicated, so answers would depend on which of them is asked. Describe to"
            " all nodes, in remote_servers, a cluster with one replica of each shard, and name it."
        )
    mine = [int(row["shard_num"]) for row in rows if row["is_local"]]
    if len(mine) != 1:
        raise StoreError(f"It finds itself {len(mine)} times in the cluster {cluster}, not once.")
    return Place(mine[0], len(rows))


def own_visitors(place: Place) -> str:
    """SQL: a visitor is one of this node's."""
    return f"{BY_VISITOR.substitute(shards=place.shards)} = {place.shard - 1}"


def in_order(cluster: str, found: Mapping[str, Place]) -> list[str]:
    """The nodes, first shard first, by what each said of itself. Raises `StoreError` where they are
    not all of one cluster."""
    sizes = {place.shards for place in found.values()}
    if len(sizes) > 1:
        raise StoreError(f"The nodes do not agree on what the cluster {cluster} is made of.")
    missing = set(range(1, max(sizes) + 1)) - {place.shard for place in found.values()}
    if missing:
        raise StoreError(
            f"THREADLINE_STORE does not name all nodes of the cluster {cluster}: shard"
            f" {min(missing)} is not there. Write all hosts, with commas."
        )
    return sorted(found, key=lambda node: found[node][0])


def check_servers(client: Client, address: Address, servers: Sequence[tuple[str, int]]) -> None:
    """Raises `StoreError` where this node, asking the cluster, reaches one of the others not, or
    not in its place. `servers`: of all shards, each by what it says of itself (`SERVER`)."""
    reached = client.query(SERVERS.substitute(cluster=address.cluster)).result_rows
    for shard, (own, found) in enumerate(zip(servers, reached, strict=True), start=1):
        if own != tuple(found):
            raise StoreError(
                f"Its remote_servers have {found[0]}:{found[1]} for shard {shard} of the cluster"
                f" {address.cluster}, and that is {own[0]}:{own[1]}. Describe the shards in the"
                " same order on all nodes."
            )


class Division(NamedTuple):
    """Of the events: the cluster that they are asked through, and its shards."""

    cluster: str
    shards: int


def division(client: Client, address: Address) -> Division | None:
    """How the events are divided; None where nobody has divided them yet."""
    rows = client.query(ENGINE, parameters={"database": address.database}).result_rows
    found = OF_ENGINE.match(str(rows[0][0])) if rows else None
    return Division(found[1], int(found[2])) if found else None


def is_added(client: Client, address: Address) -> bool:
    """Whether the node is to be a new shard of this cluster, and nobody has finished that."""
    local = {"database": f"{address.database}{LOCAL}"}
    noted = client.query(IS_NOTED, parameters=local).result_rows
    return bool(noted and client.query(IS_ADDED, parameters=local).result_rows)


def check_own(client: Client, address: Address, place: Place) -> None:
    """Raises `StoreError` where the events are divided between more shards, or fewer, where the
    node has some of another one, or is still being added."""
    now = division(client, address)
    if now and now.shards != place.shards:
        raise StoreError(
            f"The events are divided between {now.shards} shards (cluster {now.cluster}), and the"
            f" cluster {address.cluster} has {place.shards}. Set THREADLINE_STORE to all of those;"
            " `threadline shard add` adds more, and goes on where it was interrupted."
        )
    # Until all that others have of its own is deleted: a look at some rows may miss that.
    if is_added(client, address):
        raise StoreError(
            f"It is being added to the cluster {address.cluster}, or that was interrupted;"
            " `threadline shard add` goes on where it was."
        )
    if client.query(ASTRAY.substitute(own=own_visitors(place))).result_rows[0][0]:
        raise StoreError(
            f"It is shard {place.shard} of {place.shards}, but has events of another one. Which"
            " shard is which has to stay as it was when the first event came; `threadline shard"
            " add` adds more, and goes on where it was interrupted."
        )


def distribute(client: Client, address: Address, shards: int, anew: bool = False) -> None:
    """Make, on one node, the tables that are asked, over those of all nodes; events first, which
    `division` looks at. `anew`: also those that there are, as it is where the cluster has another
    name now."""
    create_database(client, address.database)
    anew = anew or division(client, address) != Division(address.cluster, shards)
    bound = {"database": address.database, "local": f"{address.database}{LOCAL}"}
    tables = client.query(TO_MAKE, parameters={**bound, "anew": anew}).result_rows
    for table, has_visitor in tables:
        by_visitor = has_visitor and table not in ON_FIRST_SHARD
        key = BY_VISITOR.substitute(shards=shards) if by_visitor else FIRST_SHARD
        _distribute_one(client, address, table, key)


def _distribute_one(
    client: Client, address: Address, table: str, key: str, named: str | None = None
) -> None:
    """`named`: as no table of the schema is."""
    names = {
        "database": address.database,
        "local": f"{address.database}{LOCAL}",
        "table": table,
        "named": named or table,
    }
    written = {what: quoted(name) for what, name in names.items()}
    client.command(DISTRIBUTED.substitute(cluster=f"'{address.cluster}'", key=key, **written))


def try_distributing(client: Client, address: Address) -> None:
    """Make a table as `distribute` does, of a name that none has, and drop it: whether the user
    may."""
    create_database(client, address.database)
    _distribute_one(client, address, "events", FIRST_SHARD, UNFINISHED)
    client.command(f"DROP TABLE {quoted(address.database)}.{quoted(UNFINISHED)} SYNC")


def quoted(name: str) -> str:
    """Where the engine takes no bound identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


@contextmanager
def naming(node: str) -> Iterator[None]:
    """An error says of which node it is, by its URL."""
    try:
        yield
    except StoreError as error:
        raise type(error)(f"The node at {without_password(node)}: {error}") from error
