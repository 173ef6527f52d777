"""Moving all events of a data folder from one store into another, and proving that it is the same.

Of what was there before nothing is taken for granted: whatever differs is moved again. So a move
that was killed is finished by doing it once more, also where the old store was written to in
between.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from threadline.control import Control
from threadline.control.opened import open_nodes
from threadline.control.others import node_of
from threadline.identity import states
from threadline.ingest.log import Log
from threadline.ingest.recovery import others_of, outliving
from threadline.ingest.writer import Writer
from threadline.runtime import events_store
from threadline.runtime.comparing import Progressed, incomparable_in
from threadline.settings import Settings
from threadline.store import Store, StoreError, moving, without_password
from threadline.store.address import LOCAL, host_and_port, is_embedded, server_address
from threadline.store.connection import has_database
from threadline.store.errors import store_errors
from threadline.store.moving import MovedTable, Partition

# Longer than it takes to read a month.
QUESTION_S = 24 * 3600
COUNT = "SELECT count() AS rows FROM {table:Identifier}"
OTHER_LOGS = "SELECT count() AS rows FROM logs WHERE log_hash NOT IN {known:Array(String)}"
LOGS = "SELECT log_hash FROM logs ORDER BY number"

# The notes of what is under way in a store.
WORK = "unfinished_work"


@contextmanager
def opened(url: str) -> Iterator[Store]:
    """The store, which has to answer. Raises `StoreError`, `SchemaError`."""
    with Store(url, query_seconds=QUESTION_S) as store:
        try:
            store.open()
        except StoreError as error:
            raise StoreError(
                f"The store at {without_password(url)} cannot be opened: {error}"
            ) from error
        yield store


def check_urls(source: str, target: str) -> None:
    """Raises `StoreError` for what cannot be moved, before anything is opened or made."""
    shown = without_password(source)
    if source == target:
        raise StoreError(f"FROM and TO are the same store, {shown}.")
    if is_embedded(source) and is_embedded(target):
        raise StoreError(
            "Both stores are folders: stop the server and copy the folder (cp -a"
            f" {urlsplit(source).path} {urlsplit(target).path}). This command moves from a folder"
            " to a ClickHouse server or cluster, back, and between those."
        )
    if is_embedded(source):
        there = Path(urlsplit(source).path).is_dir()
    else:
        try:
            with store_errors():
                there = has_database(source)
        except StoreError as error:
            raise StoreError(f"The store at {shown} cannot be opened: {error}") from error
    if not there:
        raise StoreError(f"There is no store at {shown}, so there is nothing to move.")


def claim(folder: Path, source: Store, target: Store) -> bool:
    """Note in the target that a move into it is under way; whether it goes on with one. Raises
    `StoreError` where the source has not this folder's events, or the target has events of its
    own."""
    shown, to = events_store.name_of(source.url, folder), events_store.name_of(target.url, folder)
    written = events_store.written_by(folder)
    logs = [row["log_hash"] for row in source.query(LOGS, {})]
    origin = logs[0] if logs else shown
    unfinished, note = moving.origins(target), events_store.read(folder)
    ends_it = origin in unfinished and note is not None and note.store == to
    if not ends_it:
        events_store.check(folder, source.url, source)
    if written.any and not events_store.knows(source, written):
        raise StoreError(
            f"{shown} was not written from {folder}: its log is another's. Name the data folder"
            " that the events of this store belong to with --data."
        )
    if unfinished and origin not in unfinished:
        raise StoreError(
            f"A move from {', '.join(unfinished.values())} into {to} is not finished. Finish that"
            f" one, or name another store, or remove this one: {how_to_remove(target.url)}"
        )
    if not unfinished:
        check_empty(target, to, [*logs, written.log_hash])
    moving.begin(target, origin, shown)
    moving.clear(target)
    return bool(unfinished)


def check_empty(target: Store, to: str, logs: list[str]) -> None:
    """Raises `StoreError` for a store with anything in it. `logs`: what a server noted of these,
    that was started with it for a moment, is nothing."""
    for table in moving.table_names():
        sql = OTHER_LOGS if table == "logs" else COUNT
        (found,) = target.query(sql, {"table": table, "known": logs})
        if found["rows"]:
            raise StoreError(
                f"{to} is not empty ({table}: {int(found['rows']):,} rows), and two stores cannot"
                " be made one. Nothing was changed. Name another store, such as a new database on"
                f" the same server, or remove this one: {how_to_remove(target.url)}"
            )


def drain(settings: Settings, source: Store) -> None:
    """As `write_log`. Raises `StoreError` also where the store does not take it."""
    if not write_log(settings, source):
        raise StoreError(
            f"Events wait in the log ({Path(settings.data) / 'log.db'}), and the store that they"
            " are to be moved from does not take them. Nothing was moved; threadline doctor says"
            " what is wrong."
        )


def write_log(settings: Settings, store: Store) -> bool:
    """Write what lies in the log into the store, requests to forget among it: a block that is half
    on its way is known there, and nowhere else. False where the store does not take it. No server
    may run. Raises `StoreError`, `LogError`."""
    folder = Path(settings.data)
    if not (folder / "log.db").exists():
        return True
    with Control.of(settings, create=False) as control:
        log = Log(folder, settings.log_max_bytes, control.event_id_key)
    try:
        _refuse_while_others_run(settings, node_of(log.log_id))
        with others_of(settings) as others:
            Writer(log, store, settings.dedup_days, others=others).close()
        return log.acked_seq <= log.written_seq
    finally:
        log.close()


def _refuse_while_others_run(settings: Settings, own: str) -> None:
    """Raises `StoreError` for other nodes that write into the store, or have something for it."""
    if not settings.is_one_of_several:
        return
    with open_nodes(settings.control) as nodes:
        left = [
            node.name
            for node in nodes.listed()
            if node.node != own and (node.is_away or not (node.stopped or node.is_silent))
        ]
    if left:
        raise StoreError(
            f"Other nodes run, or may have events that are not in the store: {', '.join(left)}."
            " Stop each with SIGTERM, so that it writes what it has; threadline node list shows"
            " when. One that was killed has to start for it, or be taken off the list: threadline"
            " node remove."
        )


def move(
    source: Store,
    target: Store,
    settings: Settings,
    progressed: Progressed,
    makes: Callable[[str], None] = lambda state: None,
    ahead: bool = False,
) -> None:
    """Make every partition of the target what it is in the source. `progressed`: bytes, and bytes
    of all. `makes`: is called with each state to come that is made anew. `ahead`: events still come
    in, so it is done once more, and what has to be made in the end is left for then. Raises
    `StoreError`."""
    described = moving.described(source)
    moving.check_alike(described, moving.described(target))
    wanted = moving.partitions(source)
    there = {each[:2] for each in moving.partitions(target)}
    incomparable = incomparable_in(source, target)
    total, before = sum(each.size for each in wanted), 0

    def bring(each: Partition) -> None:
        nonlocal before
        table, done = described[each.table], before

        def read(size: int, end: int = before + each.size) -> None:
            nonlocal done
            done = min(done + size, end)  # packed otherwise, so it may be a little more
            progressed(done, total)

        if (
            each.table in incomparable
            or each[:2] not in there
            or not _same(source, target, table, each)
        ):
            moving.move(source, target, table, each.partition, read)
        before += each.size
        progressed(before, total)

    for each in wanted:
        if each.table != WORK and not (ahead and each.table in incomparable):
            bring(each)
    if ahead:
        return
    if target.cluster:
        kept = outliving(settings)
        states.rebuild(target, moving.FOLLOW, progressed=makes, outliving=kept)
    for each in wanted:  # of which making states has left some there
        if each.table == WORK:
            bring(each)
    for gone in moving.partitions(target):
        if gone[:2] not in {each[:2] for each in wanted}:
            moving.drop(target, gone.table, gone.partition)


def _same(source: Store, target: Store, table: MovedTable, each: Partition) -> bool:
    here, there = (moving.digest(store, table, each.partition) for store in (source, target))
    return here == there


def finish(folder: Path, source: Store, target: Store) -> None:
    """The folder's events lie in the target from now on."""
    events_store.note_moved(folder, source.url, target.url)
    moving.end(target)


def how_to_remove(url: str) -> str:
    """What to type to be rid of a store, once nothing needs it."""
    if is_embedded(url):
        return f"rm -r {urlsplit(url).path}"
    address = server_address(url)
    hosts = " and ".join(host_and_port(host, address.secure)[0] for host in address.hosts)
    names = [address.database, *([f"{address.database}{LOCAL}"] if address.cluster else [])]
    return " and ".join(f"DROP DATABASE `{name}`" for name in names) + f" on {hosts}."
