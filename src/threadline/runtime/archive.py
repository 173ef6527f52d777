"""Whole projects in one ZIP file: everything that was stored of them, as it was stored, and back.

archive.json                    which projects, of when
projects/ID/project.json        name, policy, counts
projects/ID/project.yaml        its settings, as `threadline project export` writes them
projects/ID/events.ndjson       names of columns, then an event a line
projects/ID/TABLE.ndjson        what people decided, of each table of decisions
projects/ID/keys.json           hashes of keys, where they were asked for
exchange_rates.ndjson           of the whole installation
"""

import io
from array import array
from collections.abc import Iterator, Mapping
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast
from zipfile import ZIP_DEFLATED, ZipFile

import msgspec

from threadline import __version__
from threadline.contract.times import format_ms, now_ms
from threadline.control import Control, ControlError, Project
from threadline.ingest.accept import event_id_hash
from threadline.ingest.formats import MAX_LINE_BYTES
from threadline.ingest.row import COLUMNS, Rows, StoredEvent
from threadline.ingest.undoing import Brought
from threadline.runtime.project_changes import merged
from threadline.runtime.project_yaml import ProjectFile
from threadline.runtime.project_yaml import write as write_yaml
from threadline.store import Params, Statements

FORMAT = 1
HEAD = "archive.json"
RATES = "exchange_rates.ndjson"
PEPPER = "pepper"
# A month is written in so many pieces, each of which is in memory at once.
PIECES = 16
EVENTS_AT_ONCE = 1000
BYTES_AT_ONCE = 4 * 1024**2
RATES_AT_ONCE = 50_000
# What the columns are in JSON, where that is not what they are.
WRITTEN = {
    "timestamp": "toUnixTimestamp64Milli(timestamp)",
    "received_at": "toUnixTimestamp64Milli(received_at)",
    "ip_hash": "base64Encode(ip_hash)",
}
MONTHS = """
    SELECT DISTINCT _partition_id AS month FROM events
    WHERE project_id = {project_id:String} ORDER BY month"""
EVENTS = f"""
    SELECT {", ".join(f"{WRITTEN.get(name, f'e.{name}')} AS {name}" for name in COLUMNS)}
    FROM events AS e
    WHERE e.project_id = {{project_id:String}} AND e._partition_id = {{month:String}}
        AND e.visitor % {PIECES} = {{piece:UInt64}}
        AND e.received_at <= {{until:DateTime64(3, 'UTC')}}
    ORDER BY e.visitor, e.timestamp, e.event_id"""
DECIDED = {
    "unlinks": "anonymous_id user_id unlinked decided_at decided_by",
    "account_unlinks": "account_id user_id anonymous_id unlinked decided_at decided_by",
    "alias_decisions": "user_id alias_of decided_at decided_by",
    "aliases": "user_id canonical decided_at decided_by",
}
RATE = "SELECT currency, day, latest FROM exchange_rates FINAL ORDER BY currency, day"

read_event = msgspec.json.Decoder(StoredEvent).decode


class Reads(Statements, Protocol):
    """What an archive needs of a store, wherever that is open."""

    def query_bytes(self, sql: str, params: Params, format: str = "RowBinary") -> bytes: ...


class Head(msgspec.Struct):
    """`projects`: names by ids. `pepper`: tells whether hashes of keys fit where they come to."""

    format: int
    version: str
    at: str
    projects: dict[str, str]
    pepper: str = ""


class OfProject(msgspec.Struct):
    """`placeholder_ids`: how many of its ids were refused."""

    project_id: str
    name: str
    events: int
    placeholder_ids: int = 0


class ArchiveError(ControlError):
    """The file is no archive, or cannot be taken; the message says what to do."""


# -- out ----------------------------------------------------------------------------------------


def write(
    path: Path,
    control: Control,
    store: Reads,
    projects: list[Project],
    with_keys: bool,
    refused: Mapping[str, int],
) -> int:
    """Everything of these projects; how many events. `refused`: how many placeholder ids of each
    were. Raises `StoreError`, `OSError`."""
    until = now_ms()
    total = 0
    pepper = sha256(control.pepper).hexdigest() if with_keys else ""
    names = {project.project_id: project.name for project in projects}
    with ZipFile(path, "w", ZIP_DEFLATED, allowZip64=True) as file:
        for project in projects:
            total += _write_project(
                file, control, store, project, with_keys, until, refused[project.project_id]
            )
        file.writestr(RATES, store.query_bytes(RATE, {}, "JSONEachRow"))
        if with_keys:
            file.writestr(PEPPER, control.pepper.hex())
        head = Head(FORMAT, __version__, format_ms(until), names, pepper)
        file.writestr(HEAD, msgspec.json.encode(head))
    return total


def _write_project(
    file: ZipFile,
    control: Control,
    store: Reads,
    project: Project,
    with_keys: bool,
    until: int,
    refused: int,
) -> int:
    inside = f"projects/{project.project_id}"
    bound: dict[str, object] = {"project_id": project.project_id}
    events = 0
    with file.open(events_name(project.project_id), "w", force_zip64=True) as target:
        target.write(msgspec.json.encode(COLUMNS) + b"\n")
        for some in _pieces(store, bound, until):
            target.write(some)
            events += some.count(b"\n")
    for table, columns in DECIDED.items():
        names = columns.replace(" ", ", ")
        sql = f"SELECT {names} FROM {table} WHERE project_id = {{project_id:String}} ORDER BY ALL"
        file.writestr(f"{inside}/{table}.ndjson", store.query_bytes(sql, bound, "JSONEachRow"))
    file.writestr(
        f"{inside}/project.yaml", write_yaml(project, control.definitions(project.project_id))
    )
    of = OfProject(project.project_id, project.name, events, refused)
    file.writestr(f"{inside}/project.json", msgspec.json.encode(of))
    if with_keys:
        keys = control.key_rows(project.project_id)
        file.writestr(f"{inside}/keys.json", msgspec.json.encode(keys))
    return events


def _pieces(store: Reads, bound: Mapping[str, object], until: int) -> Iterator[bytes]:
    for row in store.query(MONTHS, bound):
        for piece in range(PIECES):
            at = format_ms(until).replace("T", " ").removesuffix("Z")
            values = {**bound, "month": row["month"], "piece": piece, "until": at}
            yield store.query_bytes(EVENTS, values, "JSONCompactEachRow")


# -- in -----------------------------------------------------------------------------------------


class Arriving(NamedTuple):
    """A project of an archive. `into`: the one here that it comes into; None: a new one."""

    of: OfProject
    settings: ProjectFile
    name: str
    into: Project | None


def lines_of(file: ZipFile, member: str) -> Iterator[tuple[int, bytes]]:
    """Its lines with their numbers, from 1. None is read whole that is longer than an event may be:
    raises `ArchiveError`."""
    with file.open(member) as opened, io.BufferedReader(cast(io.RawIOBase, opened)) as lines:
        number = 0
        while line := lines.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise ArchiveError(f"line {number:,} of {member} is over 1 MiB")
            yield number, line


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


def events_name(project_id: str) -> str:
    return f"projects/{project_id}/events.ndjson"


def keys_name(project_id: str) -> str:
    return f"projects/{project_id}/keys.json"


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
    file: ZipFile, project_id: str, into: str, brought: Brought, key: int
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
