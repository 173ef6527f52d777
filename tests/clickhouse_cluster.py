"""A real ClickHouse cluster on one machine, out of nothing but the Python package `chdb`.

`chdb` carries the whole of clickhouse-local, which can serve: `SYSTEM START LISTEN HTTP` and `TCP`
open ClickHouse's own ports. Only the entry beneath `chdb.query` gets there, `chdb._chdb.query`,
which takes its settings from a `config.xml` in the folder it is started in. Each node is such a
process; it lives as long as the statement that reads its standard input, so it ends with its
parent.

What is real: HTTP and native protocol, users, `remote_servers`, Distributed tables, tokens against
duplicates, views, mutations, data that outlive SIGKILL. What clickhouse-local never starts: the
interserver port, so Replicated tables stay read-only; the queue of `ON CLUSTER`; Keeper. Replicas
here are plain tables that a Distributed table writes to each of.

    python -P tests/clickhouse_cluster.py --shards 3 --replicas 2 --folder nodes    # until Ctrl-C

    with Cluster(folder, shards=3) as cluster:
        cluster.nodes[0].query("SELECT count() FROM cluster('threadline', system.one)")
        cluster.nodes[2].kill()
        cluster.nodes[2].start()
"""

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from xml.sax.saxutils import escape

HOST = "127.0.0.1"
NAME = "threadline"
USER, PASSWORD = "threadline", "se:cret"
START_S = 60

CONFIG = """<clickhouse>
    <listen_host>{host}</listen_host>
    <http_port>{http}</http_port>
    <tcp_port>{tcp}</tcp_port>
    <users_config>users.xml</users_config>
    <macros>
        <cluster>{name}</cluster>
        <shard>{shard}</shard>
        <replica>{replica}</replica>
    </macros>
    <max_server_memory_usage>{memory}</max_server_memory_usage>
    <background_pool_size>2</background_pool_size>
    <remote_servers>{clusters}</remote_servers>
</clickhouse>
"""
CLUSTER = "<{name}><secret>of one machine</secret>{shards}</{name}>"
SHARD = "<shard><internal_replication>false</internal_replication>{replicas}</shard>"
REPLICA = "<replica><host>{host}</host><port>{tcp}</port></replica>"
USERS = """<clickhouse>
    <profiles><default/></profiles>
    <quotas><default/></quotas>
    <users>
        <default>
            <password/><networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile><quota>default</quota>
        </default>
        <{user}>
            <password>{password}</password><networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile><quota>default</quota>
            <access_management>1</access_management>
        </{user}>
    </users>
</clickhouse>
"""

# The last statement ends when standard input does.
SERVE = """
    SYSTEM START LISTEN HTTP;
    SYSTEM START LISTEN TCP;
    SELECT count() FROM file('/dev/stdin', 'LineAsString', 'line String') FORMAT Null
"""


class QueryFailed(Exception):
    """The server's own words. `code`: ClickHouse's number for it."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Node:
    """One server process, with ports that stay the same however often it is killed and started."""

    def __init__(self, folder: Path, shard: int, replica: int) -> None:
        self.folder = folder
        self.shard, self.replica = shard, replica
        self.http, self.tcp = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "default") -> str:
        """As THREADLINE_STORE and THREADLINE_TEST_CLICKHOUSE_URL take it."""
        password = urllib.parse.quote(PASSWORD, safe="")
        return f"clickhouse://{USER}:{password}@{HOST}:{self.http}/{database}"

    def spawn(self) -> None:
        """Start without waiting."""
        command = [sys.executable, "-P", os.path.abspath(__file__), "--serve", str(self.folder)]
        with (self.folder / "out.txt").open("ab") as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True
            )

    def start(self) -> Self:
        """Returns when it answers."""
        self.spawn()
        self.wait()
        return self

    def wait(self) -> None:
        assert self._process
        deadline = time.monotonic() + START_S
        while True:
            try:
                urllib.request.urlopen(f"http://{HOST}:{self.http}/ping", timeout=5).close()
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    said = (self.folder / "out.txt").read_text()[-2000:]
                    raise RuntimeError(f"The node in {self.folder} did not start: {said}") from None
                time.sleep(0.05)

    def query(
        self,
        sql: str,
        params: Mapping[str, object] | None = None,
        body: bytes | None = None,
        **settings: object,
    ) -> str:
        """The answer as tab-separated text. `params`: for `{name:Type}`; `body`: rows to insert.

        Raises `QueryFailed`, and `URLError` while the node is down.
        """
        given = {f"param_{name}": value for name, value in (params or {}).items()} | settings
        if body is not None:
            given["query"], payload = sql, body
        else:
            payload = sql.encode()
        address = f"http://{HOST}:{self.http}/?{urllib.parse.urlencode(given)}"
        request = urllib.request.Request(
            address,
            payload,
            {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD},
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            code = int(error.headers.get("X-ClickHouse-Exception-Code") or 0)
            raise QueryFailed(error.read().decode().strip(), code) from None

    def kill(self) -> None:
        """SIGKILL: what a power cut leaves is what is on disk."""
        assert self._process
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(timeout=10)

    def pause(self) -> None:
        """A node that neither answers nor is gone. `resume` ends it."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """At once: to end by itself takes the engine five seconds, and nobody goes on with it."""
        if self._process and self._process.poll() is None:
            self.kill()

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid


class Cluster:
    """Every node knows the same cluster, under the name `threadline`; `shard` and `replica` count
    from 1. `also`: names of clusters of only so many of the first shards."""

    def __init__(
        self,
        folder: Path,
        shards: int = 2,
        replicas: int = 1,
        memory: int = 2 << 30,
        also: Mapping[str, int] = {},
    ) -> None:
        self.nodes = [
            Node(folder / f"shard{shard}-replica{replica}", shard, replica)
            for shard in range(1, shards + 1)
            for replica in range(1, replicas + 1)
        ]
        self._shards = {**also, NAME: shards}
        clusters = "".join(
            CLUSTER.format(name=name, shards="".join(map(self._described, range(1, many + 1))))
            for name, many in self._shards.items()
        )
        for node in self.nodes:
            node.folder.mkdir(parents=True, exist_ok=True)
            (node.folder / "config.xml").write_text(
                CONFIG.format(
                    host=HOST,
                    http=node.http,
                    tcp=node.tcp,
                    name=NAME,
                    shard=node.shard,
                    replica=node.replica,
                    memory=memory,
                    clusters=clusters,
                )
            )
            (node.folder / "users.xml").write_text(
                USERS.format(user=USER, password=escape(PASSWORD))
            )

    def start(self) -> Self:
        for node in self.nodes:
            node.spawn()
        for node in self.nodes:
            node.wait()
        return self

    def _described(self, shard: int) -> str:
        replicas = (node.tcp for node in self.nodes if node.shard == shard)
        return SHARD.format(
            replicas="".join(REPLICA.format(host=HOST, tcp=tcp) for tcp in replicas)
        )

    def url(self, database: str, name: str = NAME) -> str:
        """As THREADLINE_STORE takes it: all nodes of the cluster of this name."""
        nodes = (node for node in self.nodes if node.shard <= self._shards[name])
        hosts = ",".join(f"{HOST}:{node.http}" for node in nodes)
        login = f"{USER}:{urllib.parse.quote(PASSWORD, safe='')}"
        return f"clickhouse://{login}@{hosts}/{database}?cluster={name}"

    def each(self, sql: str) -> list[str]:
        """The same statement on every node: what `ON CLUSTER` would do."""
        return [node.query(sql) for node in self.nodes]

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class ClickHouse:
    """One server by itself, which is started when it is to be there."""

    def __init__(self, folder: Path) -> None:
        self._cluster = Cluster(folder, shards=1)
        (self.node,) = self._cluster.nodes
        self.url, self.kill = self.node.url, self.node.kill

    @property
    def data(self) -> Path:
        """Where the engine has its files."""
        return self.node.folder / "data"

    def start(self) -> Self:
        """Returns when it answers."""
        self.node.start()
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._cluster.stop()


def free_port() -> int:
    """Not of those that outgoing connections get: a node has its ports before it listens, and again
    whenever it was killed."""
    while True:
        port = random.randrange(10_000, 32_768)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port


def serve(folder: Path) -> None:
    """Be a node."""
    os.chdir(folder)
    from chdb import _chdb

    # Absolute: the engine puts a relative path together wrongly where it syncs folders.
    answer = vars(_chdb)["query"](SERVE, "TabSeparated", path=os.path.abspath("data"))
    if answer.has_error():
        sys.exit(answer.error_message())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="kept; by default a temporary one")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        with Cluster(folder, options.shards, options.replicas) as cluster:
            for node in cluster.nodes:
                print(f"shard {node.shard} replica {node.replica}: {node.url()}  tcp {node.tcp}")
            print("Ctrl-C, or SIGTERM, ends it.", flush=True)
            ends = {signal.SIGINT, signal.SIGTERM}
            signal.pthread_sigmask(signal.SIG_BLOCK, ends)
            signal.sigwait(ends)


if __name__ == "__main__":
    main()
