"""Backup and restore under ingest load, each killed in the middle of each third, round after round:
does what is restored answer as the original did at the moment of the backup?

    python -m benchmarks.backups --rounds 20
    python -m benchmarks.backups --rounds 20 --store server
    python -m benchmarks.backups --rounds 20 --store cluster

`server` and `cluster` are real ClickHouse processes; of these every other round is restored into a
folder, the others into a new database. Exit status 1, with what differs, at the first round that is
wrong.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.backup.test_backup import Paced, answers, killed, load, same, told
from tests.cli.test_commands import ok
from tests.clickhouse_cluster import Cluster
from tests.ingest.test_crash import BATCH
from tests.support import Project, Server

from benchmarks.report import OUT, Report
from threadline.store import Store

THIRDS = (1 / 6, 3 / 6, 5 / 6)
SHARDS = {"embedded": 0, "server": 1, "cluster": 3}
FEWER_S = 10.0


class Took(NamedTuple):
    """Of the last that were not killed, in seconds."""

    backup_s: float
    restore_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--store", choices=SHARDS, default="embedded")
    options = parser.parse_args()
    report = Report("backups", rounds=options.rounds, store=options.store)
    OUT.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=OUT) as folder,
        _stores(Path(folder), options.store) as stores,
        Server(Path(folder) / "data", THREADLINE_STORE=stores("source")) as server,
    ):
        quiet, busy = told(server), Project(server)
        with load(busy) as senders:
            rounds = Rounds(Path(folder), server, quiet, busy, senders)
            took = [rounds.run(number, stores) for number in range(options.rounds)]
        assert server.stop() == 0
        errors = [line for line in server.lines if '"error"' in line]
        assert not errors, errors[:5]
        acknowledged = sum(sender.sent for sender in senders) * BATCH
    report.row("rounds whose restored answers were all the same", f"{len(took)}")
    report.row("backups and restores that were killed", f"{rounds.kills}")
    report.row("events acknowledged meanwhile", f"{acknowledged:,}")
    for what, seconds in zip(("backup", "restore --check"), zip(*took, strict=True), strict=True):
        report.row(f"{what}, slowest", f"{max(seconds):.1f} s")
    report.save()


@contextmanager
def _stores(folder: Path, kind: str) -> Iterator["Stores"]:
    with ExitStack() as opened:
        cluster = None
        if SHARDS[kind]:
            cluster = opened.enter_context(Cluster(folder / "nodes", shards=SHARDS[kind]))
        yield Stores(kind, cluster)


class Stores:
    """Names of stores, as THREADLINE_STORE takes them."""

    def __init__(self, kind: str, cluster: Cluster | None) -> None:
        self._kind = kind
        self._cluster = cluster

    def __call__(self, database: str) -> str:
        """One that is there, with tables."""
        if self._cluster is None:
            return "chdb"
        nodes = self._cluster.nodes
        url = nodes[0].url(database) if len(nodes) == 1 else self._cluster.url(database)
        Store(url).close()
        return url

    def drop(self, database: str) -> None:
        if self._cluster is not None:
            for name in (database, f"{database}_local"):
                self._cluster.each(f"DROP DATABASE IF EXISTS {name} SYNC")


class Rounds:
    """One after the other, of one server."""

    def __init__(
        self, folder: Path, server: Server, quiet: Project, busy: Project, senders: list[Paced]
    ) -> None:
        self._folder = folder
        self._server = server
        self._quiet, self._busy = quiet, busy
        self._senders = senders
        self._expected = answers(quiet)
        self._chance = Random(25)
        self._took = Took(FEWER_S, FEWER_S)
        self.kills = 0

    def run(self, number: int, stores: Stores) -> Took:
        """Raises `AssertionError` where something is not as it was."""
        target, to = self._folder / "backups", self._folder / "restored"
        source = stores("source")
        back_up = ("backup", str(target), "--data", str(self._server.folder), "--keep", "3")
        self._kill(self._took.backup_s, *back_up, store=source)
        before = [sender.sent for sender in self._senders]
        started = time.monotonic()
        ok(*back_up, THREADLINE_STORE=source)
        backup_s = time.monotonic() - started
        after = [sender.sent + 1 for sender in self._senders]
        ok("backup", "check", str(target))

        into = "chdb" if number % 2 else stores(f"round_{number}")
        restore = ("restore", str(target), "--to", str(to), "--store", into)
        self._kill(self._took.restore_s, *restore, folder=to, database=(stores, number))
        started = time.monotonic()
        said = ok(*restore, "--check")
        restore_s = time.monotonic() - started
        assert "all is as it was" in said, said
        with Server(to, THREADLINE_STORE=into) as server:
            same(answers(self._quiet.again(server)), self._expected)
            stored = {row["event_id"] for row in self._busy.again(server).stored()}
            assert server.stop() == 0
        self._check(stored, before, after)
        shutil.rmtree(to)
        stores.drop(f"round_{number}")
        self._took = Took(backup_s, restore_s)
        print(f"round {number + 1}: {backup_s:.1f} s, {restore_s:.1f} s", flush=True)
        return self._took

    def _kill(
        self,
        whole_s: float,
        *command: str,
        folder: Path | None = None,
        database: tuple[Stores, int] | None = None,
        store: str = "chdb",
    ) -> None:
        """One in the middle of each third of what it takes. What came to its end before is done
        away with."""
        for third in THIRDS:
            at = third + self._chance.uniform(-1 / 6, 1 / 6)
            killed(at, whole_s, *command, THREADLINE_STORE=store)
            self.kills += 1
            if folder and folder.exists() and not (folder / ".restoring").exists():
                shutil.rmtree(folder)
                if database:
                    stores, number = database
                    stores.drop(f"round_{number}")
                    stores(f"round_{number}")

    def _check(self, stored: set[str], before: list[int], after: list[int]) -> None:
        """What each sender had acknowledged, in its order, up to one moment."""
        for number, (least, most) in enumerate(zip(before, after, strict=True)):
            mine = {each for each in stored if each.startswith(f"{number}-")}
            assert mine == {f"{number}-{n}" for n in range(len(mine))}
            assert least * BATCH <= len(mine) <= most * BATCH


if __name__ == "__main__":
    main()
