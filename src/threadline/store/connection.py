"""Handles of the engine, by way of clickhouse-connect: embedded in this process, or a server."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from threadline.store.address import (
    Address,
    cluster_address,
    host_and_port,
    is_embedded,
    server_address,
)
from threadline.store.errors import UNKNOWN_DATABASE

READERS = 4
CONNECT_S = 5
# All questions at once may take half of the machine's memory; what would take more goes by way of
# the disk where the engine can do that, else it is stopped.
SHARE_OF_MEMORY = 0.5
# The first version that leaves deleted rows out of answers before parts are rewritten.
SEES_DELETIONS = (25, 3)
READONLY = "readonly"
# Planning is most of what a question about few events costs, and this step a fifth of that: it
# looks for conditions that follow from others, which are never written here.
FOR_PLANS = {"optimize_and_compare_chain": "0"}
# What reading a relation once needs (`identity.compose`): clusters do, as one machine wins nothing.
READS_ONCE = {
    "enable_materialized_cte": "1",
    # It looks for parts of tuples in what was read once, where they have no names.
    "optimize_functions_to_subcolumns": "0",
}
# Through its Distributed tables. A join or IN whose right side lies on all nodes is asked once and
# sent to each of them: right whatever it is by, and dear (not of questions: `identity.shards`).
# Without a node there is no answer, never a part of one; and what was written can be read.
OF_CLUSTER = {
    "distributed_product_mode": "global",
    "skip_unavailable_shards": "0",
    "distributed_foreground_insert": "1",
    "insert_distributed_timeout": "30",
    # A shard that is at work says so all the time; one that is frozen takes connections, and says
    # nothing. Three times ten seconds for each statement would be too long to be told of it.
    "handshake_timeout_ms": "3000",
    "connections_with_failover_max_tries": "2",
    "receive_timeout": "10",
}


def share_of_memory(url: str) -> int:
    """Bytes for one question in this process; 0, no limit of ours, on a server: it has its own."""
    if not is_embedded(url):
        return 0
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no such limit
        machine = min(machine, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return int(machine * SHARE_OF_MEMORY / READERS)


def connect(
    url: str, timeout_s: int, given: Mapping[str, object], send_s: int = CONNECT_S
) -> Client:
    """`send_s`: how long a server may take until it accepts a connection, or more of an insert."""
    settings = {name: value for name, value in given.items() if name != READONLY}
    client = _client(url, timeout_s, settings, send_s)
    if sees_deletions(client):
        client.set_client_setting("apply_mutations_on_fly", "1")
    for name, value in {**FOR_PLANS, **(READS_ONCE if cluster_address(url) else {})}.items():
        if name in client.server_settings:
            client.set_client_setting(name, value)
    if READONLY in given:  # after which nothing else can be set
        client.set_client_setting(READONLY, given[READONLY])
    return client


def has_database(url: str) -> bool:
    """Whether the server has the database of this URL; `connect` makes one that is missing."""
    name = server_address(url).database
    client = _client(urlsplit(url)._replace(path="").geturl(), CONNECT_S, {})
    try:
        found = client.query(
            "SELECT 1 FROM system.databases WHERE name = {name:String}", parameters={"name": name}
        )
        return bool(found.result_rows)
    finally:
        client.close()


def sees_deletions(client: Client) -> bool:
    """Whether the engine leaves deleted rows out of answers before parts are rewritten."""
    major, minor, *_ = str(client.server_version).split(".")
    return (int(major), int(minor)) >= SEES_DELETIONS


def _client(
    url: str, timeout_s: int, given: Mapping[str, object], send_s: int = CONNECT_S
) -> Client:
    # Whatever zone the machine or the server is in.
    settings = {"session_timezone": "UTC", **given}
    if is_embedded(url):
        path = Path(urlsplit(url).path)
        path.mkdir(parents=True, exist_ok=True)
        return clickhouse_connect.get_client(interface="chdb", path=str(path), settings=settings)
    address = server_address(url)
    if address.cluster:
        settings = {**OF_CLUSTER, **settings}
    *others, last = address.hosts
    for host in others:
        with suppress(OperationalError):  # the next may answer; `Store.ping` asks every node
            return _server(address, host, timeout_s, settings, send_s)
    return _server(address, last, timeout_s, settings, send_s)


def _server(
    address: Address,
    host: str,
    timeout_s: int,
    settings: Mapping[str, object],
    send_s: int,
) -> Client:
    name, port = host_and_port(host, address.secure)

    def client(database: str | None) -> Client:
        return clickhouse_connect.get_client(
            host=name,
            port=port,
            username=address.user,
            password=address.password,
            secure=address.secure,
            database=database,
            settings=dict(settings),
            connect_timeout=send_s,
            send_receive_timeout=timeout_s,
            # A session outlives a connection that broke, and would lock the next one out.
            autogenerate_session_id=False,
        )

    try:
        return client(address.database)
    except DatabaseError as error:
        if error.code != UNKNOWN_DATABASE:
            raise
    first = client(None)
    create_database(first, address.database)
    first.close()
    return client(address.database)


def create_database(client: Client, name: str) -> None:
    client.command("CREATE DATABASE IF NOT EXISTS {name:Identifier}", parameters={"name": name})
