"""What an archive has, taken into the projects that it comes into. It was checked before."""

from array import array
from collections.abc import Iterator, Mapping
from hashlib import sha256
from itertools import islice
from typing import Any
from zipfile import ZipFile

import msgspec

from threadline.control import Control, Project
from threadline.ingest.accept import event_id_hash
from threadline.ingest.row import Rows
from threadline.ingest.undoing import ImportedEvents
from threadline.runtime.archive import (
    DECIDED,
    PEPPER,
    RATES,
    Head,
    events_name,
    keys_name,
    lines_of,
    read_event,
)
from threadline.runtime.arriving import Arriving
from threadline.runtime.project_changes import merged
from threadline.store import Statements

EVENTS_AT_ONCE = 1000
BYTES_AT_ONCE = 4 * 1024**2
RATES_AT_ONCE = 50_000


def take_pepper(control: Control, file: ZipFile) -> None:
    """A folder without any key takes the archive's, so that its keys work there, too."""
    if PEPPER in file.namelist():
        control.adopt_pepper(file.read(PEPPER).decode())


def settle_project(
    control: Control, file: ZipFile, head: Head, each: Arriving
) -> tuple[Project, dict[str, str], str]:
    """The project that it comes into, with all its settings. New keys by kind of a new one that
    brings none that work here, and what there is to say of the old ones."""
    project_id = each.of.project_id
    keys: dict[str, str] = {}
    chosen = each.into
    if chosen is None:
        chosen, made = control.create_project(
            each.name,
            [],
            project_id=project_id,
            with_keys=not _keys_that_work(control, file, head, project_id),
        )
        keys = {kind: str(token) for kind, token in made.items()}
        control.count_placeholder_ids(project_id, each.of.placeholder_ids)
    control.change_settings(chosen.project_id, lambda now: merged(each.settings, now, prune=False))
    return control.project(chosen.project_id), keys, _take_keys(control, file, head, chosen, each)


def _keys_that_work(
    control: Control, file: ZipFile, head: Head, project_id: str
) -> list[dict[str, Any]]:
    name = keys_name(project_id)
    if name not in file.namelist() or head.pepper != sha256(control.pepper).hexdigest():
        return []
    rows: list[dict[str, Any]] = msgspec.json.decode(file.read(name))
    return rows


def _take_keys(control: Control, file: ZipFile, head: Head, chosen: Project, each: Arriving) -> str:
    if keys_name(each.of.project_id) not in file.namelist():
        return ""
    if head.pepper != sha256(control.pepper).hexdigest():
        return (
            "Its keys were hashed with the pepper of another folder, so they cannot work here and"
            " were left out: import into a new folder, or make new keys."
        )
    rows = _keys_that_work(control, file, head, each.of.project_id)
    taken = control.adopt_keys(chosen.project_id, rows)
    return f"{taken:,} keys work here as they did there."


def read_events(
    file: ZipFile, project_id: str, into: str, brought: ImportedEvents, key: int
) -> Iterator[tuple[Rows, int]]:
    """The events as rows of that project, some at a time, and how many of those were there already.
    The archive was checked before."""
    lines = lines_of(file, events_name(project_id))
    next(lines)
    for some in _some(line for _, line in lines):
        events = [read_event(line) for line in some]
        known = brought.known(events)
        new = [event for event in events if event.event_id not in known]
        for event in new:
            event.project_id = into
        brought.note(new)
        hashes = array("Q", (event_id_hash(key, into, event.event_id) for event in new))
        yield Rows.encode(new, hashes), len(events) - len(new)


def _some(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    some: list[bytes] = []
    size = 0
    for line in lines:
        some.append(line)
        size += len(line)
        if len(some) == EVENTS_AT_ONCE or size > BYTES_AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some


def read_decisions(file: ZipFile, project_id: str, into: str, store: Statements) -> int:
    """Add what people decided, but for what is there; how many rows that were. The newest counts,
    as it did."""
    added = 0
    for table, columns in DECIDED.items():
        names = columns.split()
        sql = f"SELECT {', '.join(names)} FROM {table} WHERE project_id = {{project_id:String}}"
        there = {_key(row) for row in store.query(sql, {"project_id": into})}
        rows = [
            row
            for _, line in lines_of(file, f"projects/{project_id}/{table}.ndjson")
            if _key(row := msgspec.json.decode(line)) not in there
        ]
        if rows:
            body = b"\n".join(msgspec.json.encode({**row, "project_id": into}) for row in rows)
            token = sha256(body).hexdigest()
            store.insert(table, ["project_id", *names], "JSONEachRow", body, token)
        added += len(rows)
    return added


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row by what is in it; times come as they are, or as text."""
    return tuple(_text(value) for value in row.values())


def _text(value: object) -> str:
    return (
        str(value)
        .partition("+00:00")[0]
        .replace("T", " ")
        .removesuffix("Z")
        .removesuffix(".000000")
    )


def read_rates(file: ZipFile, store: Statements) -> None:
    """Exchange rates: the newest of each day counts, as before."""
    lines = (line for _, line in lines_of(file, RATES))
    while body := b"".join(islice(lines, RATES_AT_ONCE)):
        token = sha256(body).hexdigest()
        store.insert("exchange_rates", ["currency", "day", "latest"], "JSONEachRow", body, token)
