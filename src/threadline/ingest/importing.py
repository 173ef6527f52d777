"""Importing a file of events: in batches, with notes of how far it came, so that it can go on."""

import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

import msgspec

from threadline.contract.errors import Unavailable
from threadline.ingest.lines import (
    CheckedEvents,
    EventFile,
    FileError,
    Line,
    Lines,
    former_fingerprint,
)
from threadline.ingest.undoing import ImportedEvents, Undone
from threadline.store import Statements

# Batches on their way at the same time: while one is put on disk, the next is read.
IN_FLIGHT = 6
RETRY_S = 0.5
NOTE_EVERY_S = 1.0
# Of the data folder.
NOTES = "imports"

# The warnings that were given, by their codes; of a running server the first hundred of a batch.
Warned = Mapping[str, int] | None
Send = Callable[[CheckedEvents], "Future[Warned]"]


class Notes(msgspec.Struct):
    """How far one file came. `lines`: of it, all settled. `known`: events that were there already
    under their ids, and were left out. `untimed`: accepted events without a time, stored as of
    then. `warnings`: how often each was given, by its code. `rejected_bytes`: of the file of
    rejected lines. `import_id`: by which it can be undone; empty in notes of older versions.
    `options`: by which its columns were read; None in notes of older versions.
    `undone`: what an undo found that began and was interrupted."""

    file: str
    import_id: str = ""
    project_id: str = ""
    began_ms: int = 0
    lines: int = 0
    accepted: int = 0
    known: int = 0
    untimed: int = 0
    rejected: int = 0
    warnings: dict[str, int] = {}
    rejected_bytes: int = 0
    finished: bool = False
    options: str | None = None
    undone: Undone | None = None


class WayIn(NamedTuple):
    """How events get into the log, what looks into the store, and what event_ids are hashed
    with."""

    send: Send
    store: Statements
    id_key: int


def notes_of(path: Path, file: str, project_id: str) -> Notes:
    """Those that there are, or new ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=Notes)
    import_id = f"imp-{secrets.token_hex(4)}"
    return Notes(file, import_id, project_id, time.time_ns() // 1_000_000)


def save_notes(path: Path, notes: Notes) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(notes))
    fresh.replace(path)


def ids_path(notes_folder: Path, notes: Notes) -> Path:
    """Where it is written down what the import brought."""
    return notes_folder / f"{notes.import_id or 'before'}.ids"


def brought(notes_folder: Path, notes: Notes, key: int, store: Statements) -> ImportedEvents:
    """What this import brings, as it is written down. `key`: `id_key`."""
    return ImportedEvents(ids_path(notes_folder, notes), store, notes.project_id, key)


def all_notes(folder: Path) -> dict[Path, Notes]:
    """Of every import there was into this data folder, oldest first."""
    found = {
        path: msgspec.json.decode(path.read_bytes(), type=Notes)
        for path in (folder / NOTES).glob("*.json")
    }
    return dict(sorted(found.items(), key=lambda each: each[1].began_ms))


class _Batch(NamedTuple):
    """`known`: events that stay out of it. `before`: those that it brought already."""

    lines: Lines
    on_disk: "Future[Warned]"
    known: int
    before: int


class Import:
    """One file on its way in.

    What was sent and not noted before a crash is sent again; the events' ids keep it from counting
    twice.
    """

    def __init__(
        self,
        file: EventFile,
        folder: Path,
        project_id: str,
        bring: Callable[[Notes], ImportedEvents] | None = None,
    ) -> None:
        """`folder`: where notes are kept. `bring`: what the store has already, and where to write
        down what it has not; None: there is nothing to look at."""
        self._file = file
        former = former_fingerprint(file.path)
        if (folder / f"{former}-{project_id}.json").exists():
            file.fingerprint = former
        self._notes_path = folder / f"{file.fingerprint}-{project_id}.json"
        self.rejected_path = file.path.with_name(f"{file.path.name}.rejected")
        self.repeated = False
        self.notes = notes_of(self._notes_path, str(file.path), project_id)
        if self.notes.lines and self.notes.options not in (None, file.options):
            raise FileError(
                f"{file.path} was imported with {self.notes.options or 'no --map and no --ignore'}"
                " before. To import it in another way, take that back first:"
                f" threadline import undo {self.notes.import_id}"
            )
        self.notes.options = file.options
        self._brought = bring(self.notes) if bring else None
        self._noted_at = 0.0

    def run(self, send: Send, settled: Callable[[], None] = lambda: None) -> None:
        """Read on from where it stopped. `settled` is called whenever some more is done.

        `send` may fail with `Unavailable`: the batch is sent again. Raises `FileError` when all
        that could be read is in, and what else `send` fails with; the notes are up to date then.
        """
        waiting: deque[_Batch] = deque()
        broken: FileError | None = None
        last = self.notes.lines
        try:
            try:
                self._save()
                for lines in self._file.batches(time.time_ns() // 1_000_000, last):
                    last = lines.last
                    waiting.append(self._sent_new(lines, send))
                    if len(waiting) == IN_FLIGHT:
                        self._settle(waiting.popleft(), send)
                        settled()
            except FileError as error:
                broken = error  # what comes before it goes in first
            while waiting:
                self._settle(waiting.popleft(), send)
                settled()
            if broken:
                raise FileError(f"{broken} All before it is in: {last:,} lines.") from broken
            self.notes.finished = True
        finally:
            self._save()

    def _sent_new(self, lines: Lines, send: Send) -> _Batch:
        """What the store has already stays out of it."""
        if self._brought is None:
            return _Batch(lines, _sent(send, lines.events), 0, 0)
        known = self._brought.known(lines.events)
        new = lines.events.without(known)
        self._brought.note(new)
        before = self._brought.brought_before(known)
        there = len(lines.events) - len(new) - before
        return _Batch(lines._replace(events=new), _sent(send, new), there, before)

    def _settle(self, batch: _Batch, send: Send) -> None:
        lines, on_disk, known, before = batch
        while True:
            try:
                warned = on_disk.result() or {}
                break
            except Unavailable:
                time.sleep(RETRY_S)
                on_disk = _sent(send, lines.events)
        self._reject(lines.rejected)
        self.notes.lines = lines.last
        self.notes.accepted += len(lines.events) + before
        self.notes.known += known
        self.notes.untimed += sum([event.timestamp is None for event in lines.events])
        self.notes.rejected += len(lines.rejected)
        warnings = Counter(notice.code for notice in lines.events.warnings) + Counter(warned)
        if warnings:
            self.notes.warnings = dict(warnings + Counter(self.notes.warnings))
        if time.monotonic() - self._noted_at > NOTE_EVERY_S:
            self._save()
            self._noted_at = time.monotonic()

    def _reject(self, lines: list[Line]) -> None:
        if not lines:
            return
        with self.rejected_path.open("ab") as file:
            file.truncate(self.notes.rejected_bytes)  # what was not noted before a crash
            file.seek(0, 2)
            for line in lines:
                file.write(msgspec.json.encode(_rejected(line)) + b"\n")
            self.notes.rejected_bytes = file.tell()

    def _save(self) -> None:
        save_notes(self._notes_path, self.notes)


def _rejected(line: Line) -> dict[str, object]:
    """The line, so that its bytes can be had again: what is not UTF-8 is written as Latin-1, which
    any bytes are."""
    said: dict[str, object] = {"line": line.number, "reason": line.reason}
    row = line.row.rstrip(b"\r\n")
    try:
        return {**said, "text": row.decode()}
    except UnicodeDecodeError:
        return {**said, "text": row.decode("latin-1"), "encoding": "latin-1"}


def _sent(send: Send, events: CheckedEvents) -> "Future[Warned]":
    if events:
        return send(events)
    nothing: Future[Warned] = Future()
    nothing.set_result(None)
    return nothing
