"""What can be known of an archive before anything of it is written: whether it is whole, and what
its projects come into here."""

import re
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date, datetime
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

import msgspec

from threadline.contract.definitions import Definitions
from threadline.contract.times import EARLIEST_MS, LATEST_MS
from threadline.control import Control, ControlError, Project
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
    Arriving,
    Head,
    OfProject,
    events_name,
    keys_name,
    lines_of,
    read_event,
)
from threadline.runtime.project_changes import merged
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


# -- whether it is whole ------------------------------------------------------------------------


def open_archive(path: Path) -> Archive:
    """Read it through once. Raises `ArchiveError`."""
    try:
        file = ZipFile(path)
        head = msgspec.json.decode(_small(file, HEAD), type=Head)
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except UNFIT:
        raise ArchiveError(
            f"{path} is no export of threadline, or is damaged: `threadline export -o FILE.zip`"
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
        raise ArchiveError(f"{project_id!r} is no id of a project")
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
            raise ArchiveError(f"line {number:,} of {member} is no event of {of.project_id}")
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


# -- whether there is room for it ---------------------------------------------------------------


def arriving(
    archives: Sequence[Archive],
    control: Control | None,
    project: str | None,
    only: str | None,
    name: str | None,
) -> list[list[Arriving]]:
    """What comes into which project, of each archive. `control`: None where there is no folder yet.
    `project`: the one here that a single one comes into. `only`: leave out all others. `name`: of a
    single one, here. Raises `ControlError`."""
    found = [_chosen(archive, only) for archive in archives]
    several = sum(map(len, found)) > 1
    if project is not None and several:
        raise ControlError(
            f"--project is for one project, and there are {_named(found)}: leave it out, or choose"
            " one with --only NAME."
        )
    if name is not None and several:
        raise ControlError(
            f"--as is for one project, and there are {_named(found)}: choose one with --only NAME."
        )
    if name is not None and project is not None:
        raise ControlError("--as names a new project, --project one that is here: leave one out.")
    wanted = None if project is None else _project_here(control, project)
    here = {each.project_id: each for each in control.projects()} if control else {}
    taken = {each.name: each.project_id for each in here.values()}
    planned = []
    for archive, ids in zip(archives, found, strict=True):
        planned.append([_arriving(archive, each, wanted, here, name) for each in ids])
        for each in planned[-1]:
            _check_name(archive.path, each, taken, several)
            _check_settings(archive.path, each, control)
    return planned


def _chosen(archive: Archive, only: str | None) -> list[str]:
    if only is None:
        return [*archive.projects]
    found = [each for each, (of, _) in archive.projects.items() if only in (each, of.name)]
    if not found:
        names = ", ".join(archive.head.projects.values())
        raise ControlError(f"{archive.path} has no project {only!r}; it has {names}.")
    return found


def _named(found: Sequence[Sequence[str]]) -> str:
    return ", ".join(chain.from_iterable(found))


def _project_here(control: Control | None, project: str) -> Project:
    if control is None:
        raise ControlError(
            f"There is no project {project!r} in a folder that is not made yet: leave out"
            " --project, or name another folder with --data."
        )
    return control.project(project)


def _arriving(
    archive: Archive,
    project_id: str,
    wanted: Project | None,
    here: dict[str, Project],
    name: str | None,
) -> Arriving:
    of, settings = archive.projects[project_id]
    values = dict(settings.settings)
    theirs = values.pop("name", of.name)
    if wanted is not None:
        return Arriving(of, settings._replace(settings=values), wanted.name, wanted)
    called = checked_name("project", theirs if name is None else name)
    settings = settings._replace(settings={**values, "name": called})
    return Arriving(of, settings, called, here.get(project_id))


def _check_name(path: Path, each: Arriving, taken: dict[str, str], several: bool) -> None:
    into = each.into.project_id if each.into else each.of.project_id
    if taken.setdefault(each.name, into) == into:
        return
    alone = f"--only {each.of.project_id} " if several else ""
    others = " Import the others with an --only each." if several else ""
    raise ControlError(
        f"Another project here, {taken[each.name]}, is named {each.name!r} already, so nothing of"
        f" {path} was imported. Choose another name with {alone}--as NAME, or add it to that one"
        f" with {alone}--project {taken[each.name]}.{others}"
    )


def _check_settings(path: Path, each: Arriving, control: Control | None) -> None:
    if each.into and control:
        now = each.into, control.definitions(each.into.project_id)
    else:
        now = Project("", each.name, None, frozenset(), frozenset()), Definitions()
    try:
        merged(each.settings, now, prune=False)
    except ControlError as error:
        raise ControlError(
            f"The settings of {each.of.name} in {path} do not fit, so nothing was imported: {error}"
        ) from None
