"""Whole projects in one ZIP file: everything that was stored of them, as it was stored.

archive.json                    which projects, of when
projects/ID/project.json        name, policy, counts
projects/ID/project.yaml        its settings, as `threadline project export` writes them
projects/ID/events.ndjson       names of columns, then an event a line
projects/ID/TABLE.ndjson        what people decided, of each table of decisions
projects/ID/keys.json           hashes of keys, where they were asked for
exchange_rates.ndjson           of the whole installation
"""

import io
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Protocol, cast
from zipfile import ZIP_DEFLATED, ZipFile

import msgspec

from threadline import __version__
from threadline.contract.times import format_ms, now_ms
from threadline.control import Control, ControlError, Project
from threadline.ingest.formats import MAX_LINE_BYTES
from threadline.ingest.row import COLUMNS, StoredEvent
from threadline.runtime.project_yaml import write as write_yaml
from threadline.store import Params, Statements

FORMAT = 1
HEAD = "archive.json"
RATES = "exchange_rates.ndjson"
PEPPER = "pepper"
# A month is written in so many pieces, each of which is in memory at once.
PIECES = 16
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


class ArchiveStore(Statements, Protocol):
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


def write(
    path: Path,
    control: Control,
    store: ArchiveStore,
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
    store: ArchiveStore,
    project: Project,
    with_keys: bool,
    until: int,
    refused: int,
) -> int:
    inside = f"projects/{project.project_id}"
    params: dict[str, object] = {"project_id": project.project_id}
    events = 0
    with file.open(events_name(project.project_id), "w", force_zip64=True) as target:
        target.write(msgspec.json.encode(COLUMNS) + b"\n")
        for some in _pieces(store, params, until):
            target.write(some)
            events += some.count(b"\n")
    for table, columns in DECIDED.items():
        names = columns.replace(" ", ", ")
        sql = f"SELECT {names} FROM {table} WHERE project_id = {{project_id:String}} ORDER BY ALL"
        file.writestr(f"{inside}/{table}.ndjson", store.query_bytes(sql, params, "JSONEachRow"))
    file.writestr(
        f"{inside}/project.yaml", write_yaml(project, control.definitions(project.project_id))
    )
    of = OfProject(project.project_id, project.name, events, refused)
    file.writestr(f"{inside}/project.json", msgspec.json.encode(of))
    if with_keys:
        keys = control.key_rows(project.project_id)
        file.writestr(f"{inside}/keys.json", msgspec.json.encode(keys))
    return events


def _pieces(store: ArchiveStore, params: Mapping[str, object], until: int) -> Iterator[bytes]:
    for row in store.query(MONTHS, params):
        for piece in range(PIECES):
            at = format_ms(until).replace("T", " ").removesuffix("Z")
            values = {**params, "month": row["month"], "piece": piece, "until": at}
            yield store.query_bytes(EVENTS, values, "JSONCompactEachRow")


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


def events_name(project_id: str) -> str:
    return f"projects/{project_id}/events.ndjson"


def keys_name(project_id: str) -> str:
    return f"projects/{project_id}/keys.json"
