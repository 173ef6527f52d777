"""Deleting all that is stored of a project, from the store, the log's file and the folder.

Its id alone tells what goes, so whoever does it again, after a crash, ends in the same place.
Nobody can send to it any more, and what came before is in the store.
"""

import sqlite3
import time
from array import array
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from string import Template

import msgspec
import numpy as np

from threadline.identity.resolution import PROJECT
from threadline.ingest import dead_letters
from threadline.ingest.accept import event_id_hash
from threadline.ingest.row import Hashes
from threadline.jobs import table as jobs
from threadline.store import Params, Store

# All tables that have rows of projects; events last, because they tell which event_ids to forget.
TABLES = (
    "half_hours",
    "names",
    "account_links",
    "visitor_touches",
    "user_touches",
    "traits",
    "device_users",
    "links",
    "traffic_sources",
    "unlinks",
    "account_unlinks",
    "alias_decisions",
    "aliases",
    "events",
)
# By month; where a month has nothing of other projects, it is dropped as a whole.
MONTHLY = ("half_hours", "names", "events")
OF_WORK = "subject = {project_id:String}"

# The log knows an id for some days; most events that lie here are older.
LATELY = f"{PROJECT} AND received_at >= {{since:DateTime64(3, 'UTC')}}"
HOW_MANY = f"SELECT count() AS events FROM events WHERE {LATELY}"
EVENT_IDS = f"""
    SELECT event_id FROM events
    WHERE {LATELY} AND visitor BETWEEN {{first:UInt64}} AND {{last:UInt64}}"""
# Of more events than go at once, those of so large a part of all visitors at a time.
STRETCHES = 256
VISITORS = 1 << 64
ROW = msgspec.json.Decoder(tuple[str])
# The engine refuses more than a thousand deletions at a time.
IDS_AT_ONCE = 250_000
LOOK_AGAIN_S = 0.1
OWN_MONTHS = Template("""
    SELECT DISTINCT _partition_id AS month FROM $table
    GROUP BY month HAVING countIf(project_id != {project_id:String}) = 0
    ORDER BY month""")
LEFT = " UNION ALL ".join(
    f"SELECT count() AS rows FROM {table} WHERE {PROJECT}" for table in TABLES
)


def forget_event_ids(
    store: Store, project_id: str, id_key: int, since: str, forget: Callable[[Hashes], None]
) -> None:
    """That these ids came. `id_key`: the log's; `since`: a time as the store takes it; `forget`:
    the writer's. Raises `StoreError`."""
    params: dict[str, object] = {"project_id": project_id, "since": since}
    (lately,) = store.query(HOW_MANY, params)
    width = VISITORS // (STRETCHES if lately["events"] > IDS_AT_ONCE else 1)
    hashes = array("Q")
    for first in range(0, VISITORS, width):
        of_stretch = {**params, "first": first, "last": first + width - 1}
        for line in store.query_bytes(EVENT_IDS, of_stretch, "JSONCompactEachRow").splitlines():
            hashes.append(event_id_hash(id_key, project_id, ROW.decode(line)[0]))
        if len(hashes) >= IDS_AT_ONCE or (hashes and first + width == VISITORS):
            forget(np.frombuffer(hashes, dtype=np.uint64))
            hashes = array("Q")
            _await(store)


def _await(store: Store) -> None:
    while any(deletion.table == "event_ids" for deletion in store.deletions()):
        time.sleep(LOOK_AGAIN_S)


def remove_from_store(
    store: Store,
    project_id: str,
    no_inserts: Callable[[], AbstractContextManager[object]],
    progressed: Callable[[int, str], None] = lambda done, table: None,
) -> None:
    """No answer has any of it from here on; the disk has it until what held it is rewritten.
    `progressed`: how many tables are done, and the next. Raises `StoreError`."""
    params = {"project_id": project_id}
    with no_inserts():
        for done, table in enumerate(TABLES):
            progressed(done, table)
            for node in store.nodes:
                _remove(node, table, params)
        store.delete("unfinished_work", OF_WORK, params)


def _remove(store: Store, table: str, params: Params) -> None:
    if table in MONTHLY:
        for row in store.query(OWN_MONTHS.substitute(table=table), params):
            store.execute(f"ALTER TABLE {table} DROP PARTITION ID '{int(row['month'])}'")
    if store.query(f"SELECT 1 FROM {table} WHERE {PROJECT} LIMIT 1", params):
        store.delete(table, PROJECT, params)


def is_any_left(store: Store, project_id: str) -> bool:
    """Whether the store has anything of the project. Raises `StoreError`."""
    return any(row["rows"] for row in store.query(LEFT, {"project_id": project_id}))


def in_folder(db: sqlite3.Connection) -> set[str]:
    """Projects that the log's file has anything of which waits for somebody."""
    found = db.execute("SELECT project_id FROM dead_letters UNION SELECT project_id FROM jobs")
    return {str(project_id) for (project_id,) in found if project_id}


def remove_from_folder(db: sqlite3.Connection, folder: Path, project_id: str) -> None:
    """From the log's file what waits for somebody or tells what was done, and notes of imports."""
    dead_letters.drop_of_project(db, project_id)
    jobs.drop_of_project(db, project_id)
    for notes in (folder / "imports").glob(f"*-{project_id}.json"):
        with suppress(FileNotFoundError):
            notes.unlink()
