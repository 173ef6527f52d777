"""Whether an archive is whole, which is known before anything of it is written."""

import re
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

import msgspec

from threadline.contract.times import EARLIEST_MS, LATEST_MS
from threadline.control import ControlError
from threadline.control.changes import KEY_COLUMNS
from threadline.control.names import checked_name
from threadline.ingest.row import ADDED, COLUMNS, StoredEvent
from threadline.runtime.archive import (
    DECIDED,
    FORMAT,
    HEAD,
    PEPPER,
    RATES,
    ArchiveError,
    Head,
    OfProject,
    events_name,
    keys_name,
    lines_of,
    read_event,
)
from threadline.runtime.project_yaml import ProjectFile
from threadline.runtime.project_yaml import read as read_yaml

# Of members that are read whole; of others it is a line that may not be longer than an event.
MOST_BYTES = 4 * 1024**2
CHUNK_BYTES = 256 * 1024
MAX_EVENT_ID = 128
# It becomes part of the name of a file.
PROJECT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
LEAST_COLUMNS = len(COLUMNS) - len(ADDED)
# Of those that cannot be unpacked a little at a time, nobody knows how much comes.
PACKINGS = (ZIP_STORED, ZIP_DEFLATED)
# What a broken ZIP raises, wherever it is broken.
DAMAGE = (BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError)
UNFIT = (*DAMAGE, KeyError, ValueError, ControlError)

# Of columns of decisions and rates that are no texts.
TYPES: dict[str, Any] = {
    "unlinked": bool,
    "decided_at": datetime,
    "day": date,
    "latest": dict[str, Any] | list[Any],
}

_values = msgspec.json.Decoder(list[msgspec.Raw]).decode
_keys = msgspec.json.Decoder(list[dict[str, Any]]).decode


class Archive(NamedTuple):
    """`projects`: with their settings, by their ids; all of it is whole."""

    path: Path
    file: ZipFile
    head: Head
    projects: dict[str, tuple[OfProject, ProjectFile]]


def open_archive(path: Path) -> Archive:
    """Read it through once. Raises `ArchiveError`."""
    try:
        file = ZipFile(path)
        head = msgspec.json.decode(_small(file, HEAD), type=Head)
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except UNFIT:
        raise ArchiveError(
            f"{path} is not an export of Threadline, or is damaged: `threadline export -o FILE.zip`"
            " makes one. Nothing was imported."
        ) from None
    if head.format > FORMAT:
        raise ArchiveError(f"{path} was written by a newer Threadline; import it with that one.")
    try:
        projects = {each: _project(file, head, each) for each in head.projects}
        _rows(file, RATES, "currency day latest".split())
        _check_pepper(file, head)
        _read_through(file, {events_name(each) for each in projects})
    except UNFIT as error:
        file.close()
        raise ArchiveError(
            f"{path} is damaged, or was changed after it was written: {_said(error)}. Nothing was"
            " imported. Copy it here once more, or make it anew: threadline export -o FILE.zip"
        ) from None
    except BaseException:
        file.close()
        raise
    return Archive(path, file, head, projects)


def _said(error: Exception) -> str:
    """On one line."""
    said = error.args[0] if isinstance(error, KeyError) else error
    return " ".join(str(said).split()).rstrip(".") or type(error).__name__


def _small(file: ZipFile, member: str) -> bytes:
    info = file.getinfo(member)
    if info.file_size > MOST_BYTES:
        raise ArchiveError(f"{member} is over {MOST_BYTES // 1024**2} MiB")
    if info.compress_type not in PACKINGS:
        raise ArchiveError(f"{member} is packed otherwise than Threadline does")
    return file.read(member)


def _read_through(file: ZipFile, events: Collection[str]) -> None:
    """Of every member, also one that nobody asks for, the checksum is right at its end. Events were
    read to theirs."""
    for info in file.infolist():
        if info.filename in events and info is file.getinfo(info.filename):
            continue
        if info.compress_type not in PACKINGS:
            raise ArchiveError(f"{info.filename!r} is packed otherwise than Threadline does")
        with file.open(info) as opened:
            while opened.read(CHUNK_BYTES):
                pass


def _project(file: ZipFile, head: Head, project_id: str) -> tuple[OfProject, ProjectFile]:
    if not PROJECT_ID.fullmatch(project_id):
        raise ArchiveError(f"{project_id!r} is not the id of a project")
    inside = f"projects/{project_id}"
    of = _decoded(f"{inside}/project.json", _small(file, f"{inside}/project.json"), OfProject)
    if (of.project_id, of.name) != (project_id, head.projects[project_id]):
        raise ArchiveError(f"{inside}/project.json is of another project than {HEAD} says")
    checked_name("project", of.name)
    settings = read_yaml(_small(file, f"{inside}/project.yaml").decode())
    for table, columns in DECIDED.items():
        _rows(file, f"{inside}/{table}.ndjson", columns.split())
    name = keys_name(project_id)
    if name in file.namelist():
        for row in _each(name, 1, _keys, _small(file, name)):
            if not row.keys() >= {*KEY_COLUMNS}:
                raise ArchiveError(f"{name} has something else than keys")
    _check_events(file, of)
    return of, settings


def _decoded(member: str, body: bytes, kind: type[OfProject]) -> OfProject:
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"{member}: {error}") from None


def _each(member: str, number: int, decode: Callable[[bytes], Any], line: bytes) -> Any:
    try:
        return decode(line)
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"line {number:,} of {member} cannot be read: {error}") from None


def _rows(file: ZipFile, member: str, columns: Sequence[str]) -> None:
    kind = msgspec.defstruct(
        "Row", [(name, TYPES.get(name, str)) for name in columns], forbid_unknown_fields=True
    )
    decode = msgspec.json.Decoder(kind).decode
    for number, line in _lines(file, member):
        _each(member, number, decode, line)


def _lines(file: ZipFile, member: str) -> Iterator[tuple[int, bytes]]:
    if file.getinfo(member).compress_type not in PACKINGS:
        raise ArchiveError(f"{member} is packed otherwise than Threadline does")
    return lines_of(file, member)


def _check_pepper(file: ZipFile, head: Head) -> None:
    if PEPPER in file.namelist():
        pepper = bytes.fromhex(_small(file, PEPPER).decode())
        if sha256(pepper).hexdigest() != head.pepper:
            raise ArchiveError("its pepper is not the one that its keys were hashed with")


def _check_events(file: ZipFile, of: OfProject) -> None:
    member = events_name(of.project_id)
    lines = _lines(file, member)
    _, first = next(lines, (1, b"[]"))
    columns = _each(member, 1, msgspec.json.decode, first)
    if not isinstance(columns, list) or columns[:LEAST_COLUMNS] != COLUMNS[:LEAST_COLUMNS]:
        raise ArchiveError(f"the first line of {member} does not name the columns of events")
    if columns != COLUMNS[: len(columns)]:
        raise ArchiveError(
            f"{member} has other columns than this version knows, as that of a newer Threadline"
            " has: then import it with that one"
        )
    number = 1
    for number, line in lines:
        width = len(_each(member, number, _values, line))
        event: StoredEvent = _each(member, number, read_event, line)
        if width != len(columns) or not _is_storable(event, of.project_id):
            raise ArchiveError(f"line {number:,} of {member} is not an event of {of.project_id}")
    if number - 1 != of.events:
        raise ArchiveError(
            f"{member} has {number - 1:,} events, and project.json says {of.events:,}"
        )


def _is_storable(event: StoredEvent, project_id: str) -> bool:
    return (
        event.project_id == project_id
        and 0 < len(event.event_id) <= MAX_EVENT_ID
        and EARLIEST_MS <= event.timestamp <= LATEST_MS
        and EARLIEST_MS <= event.received_at <= LATEST_MS
        and len(event.ip_hash) == 16
    )
