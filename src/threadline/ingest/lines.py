"""Events out of files: NDJSON or CSV, packed or not, checked line by line."""

import codecs
import hashlib
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from itertools import dropwhile, islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

import msgspec

from threadline.contract.bodies import MAX_BATCH_EVENTS, Event, ExportedEvent
from threadline.contract.decoding import decode
from threadline.contract.errors import InvalidPayload
from threadline.contract.replies import Notice
from threadline.ingest.checking import Checked, check
from threadline.ingest.columns import Columns, columns, is_export, tool_of
from threadline.ingest.formats import FORMATS, FileError, RawLine
from threadline.ingest.unpacking import DAMAGE, OTHERWISE, is_utf16, unpacked

__all__ = ["CheckedEvents", "EventFile", "FileError", "Line", "Lines"]

ENDINGS = {".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson", ".csv": "csv"}
PACKINGS = (".gz", ".zst")
HASHED_BYTES = 1 << 20
# What notes of before 0.1.0 called a file by: its ends alone.
END_BYTES = 64 * 1024

_decoders = {kind: msgspec.json.Decoder(kind) for kind in (Event, ExportedEvent)}


class Line(NamedTuple):
    """One event, or None where the line is not one, for the `reason` given. Numbers start at 1;
    `row` is the line as it is in the file."""

    number: int
    event: Event | None
    reason: str = ""
    row: bytes = b""


class CheckedEvents(list[Event]):
    """Events, and what `checking.check` found of each, so that it is not asked again.

    `warnings`: what was changed in them so far."""

    def __init__(self) -> None:
        super().__init__()
        self.checked: list[Checked] = []
        self.warnings: list[Notice] = []

    def without(self, known: Collection[str]) -> Self:
        """The others, with what was found of them."""
        if not known:
            return self
        others = type(self)()
        others.warnings = self.warnings
        for event, checked in zip(self, self.checked, strict=True):
            if event.event_id not in known:
                others.append(event)
                others.checked.append(checked)
        return others


class Lines(NamedTuple):
    """Consecutive lines, no more than go into a batch. `numbers`: of those that are events. `last`:
    the number of the last."""

    last: int
    numbers: list[int]
    events: CheckedEvents
    rejected: list[Line]


class EventFile:
    """One file of events, read from its beginning or from behind a line."""

    def __init__(
        self,
        path: Path,
        format: str | None = None,
        renamed: Mapping[str, str] | None = None,
        ignored: Collection[str] = (),
    ) -> None:
        """`format`: ndjson or csv; None: by the file's name. `renamed`: columns or fields of the
        file that have another name here. `ignored`: those that are left out. Raises `FileError`,
        `OSError`."""
        self.path = path
        suffixes = [suffix.lower() for suffix in path.suffixes]
        packing = suffixes.pop() if suffixes and suffixes[-1] in PACKINGS else ""
        found = format or ENDINGS.get(suffixes[-1] if suffixes else "")
        if not found:
            raise FileError(
                f"{path.name}: NDJSON or CSV? Give --format; names that end in "
                f"{', '.join(ENDINGS)} (and {' or '.join(PACKINGS)}) are understood."
            )
        self.format = found
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe could wait for ever
            raise FileError(
                f"{path} is not a regular file. An interrupted import continues by reading "
                f"the file again: write it to one first, for example: cat {path} > events.{found}"
            )
        self._raw: BinaryIO = path.open("rb")
        self.size = os.fstat(self._raw.fileno()).st_size
        self.fingerprint = self._fingerprint()
        options = [f"--map {theirs}={ours}" for theirs, ours in sorted((renamed or {}).items())]
        self.options = " ".join([*options, *(f"--ignore {name}" for name in sorted(ignored))])
        self._stream = unpacked(self._raw, packing)
        try:
            self._look_at_beginning()
            self._format = FORMATS[found](
                self._stream, path.name, dict(renamed or {}), frozenset(ignored)
            )
        except DAMAGE as error:
            raise self._damaged(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._raw.close()

    @property
    def bytes_read(self) -> int:
        """Of `size`, as the file lies on disk."""
        return self._raw.tell()

    @property
    def columns(self) -> Columns:
        """What the file's columns mean: of NDJSON, the fields of its first lines."""
        found = columns(self._format.names)
        return found._replace(
            ignored=self._format.left_out,
            inside=self._format.inside,
            tool=tool_of([*self._format.theirs, *self._format.inside]),
        )

    def lines(self, now_ms: int, after: int = 0) -> Iterator[Line]:
        """As `batches`, one by one, in the order of the file."""
        for some in self.batches(now_ms, after):
            events = map(Line, some.numbers, some.events)
            yield from sorted([*events, *some.rejected], key=lambda line: line.number)

    def batches(self, now_ms: int, after: int = 0) -> Iterator[Lines]:
        """The lines after this number. An event without an id gets one that is the same whenever
        this file is read. Raises `FileError` where a packed file is broken, after all before it."""
        wanted = self._format.lines()
        if after:
            wanted = dropwhile(lambda raw: raw[0] <= after, wanted)
        broken: Exception | None = None
        while not broken:
            some: list[RawLine] = []
            try:
                some.extend(islice(wanted, MAX_BATCH_EVENTS))
            except DAMAGE as error:
                broken = error  # what comes before it is read first
            if some:
                yield self._read(some, now_ms)
            elif not broken:
                return
        raise self._damaged(broken) from broken

    def _damaged(self, error: Exception) -> FileError:
        return FileError(f"{self.path.name} is cut short or damaged: {error}.")

    def _read(self, some: list[RawLine], now_ms: int) -> Lines:
        """Decoding many lines in one go takes half the time; when that fails, one by one."""
        kind = ExportedEvent if is_export(self._format.names) else Event
        try:
            text = b"\n".join([json for _, json, _, reason in some if not reason])
            text.decode()
            decoded: list[Event | None] = [*_decoders[kind].decode_lines(text)]
        except (ValueError, RecursionError):
            decoded = []
        if len(decoded) != len(some):
            decoded = [None] * len(some)
        numbers: list[int] = []
        events = CheckedEvents()
        rejected: list[Line] = []
        for (number, json, row, reason), event in zip(some, decoded, strict=True):
            try:
                if reason:
                    raise FileError(reason)
                if event is None:
                    event = decode(json, kind, now_ms, events.warnings, name_unknown=False)
                checked = _checked(event, now_ms)
            except (InvalidPayload, FileError) as error:
                rejected.append(Line(number, None, _reason(error), row))
                continue
            if event.event_id is None:
                event.event_id = f"import-{self.fingerprint}-{number}"
            numbers.append(number)
            events.append(event)
            events.checked.append(checked)
        return Lines(some[-1][0], numbers, events, rejected)

    def _look_at_beginning(self) -> None:
        """Past a byte order mark. Raises `FileError` for what is no text of events."""
        beginning = self._stream.peek(8)[:8]  # type: ignore[attr-defined]
        for mark, what in OTHERWISE.items():
            if beginning.startswith(mark):
                raise FileError(f"{self.path.name} {what}.")
        if is_utf16(beginning):
            raise FileError(
                f"{self.path.name} is UTF-16; save it as UTF-8, for example: "
                f"iconv -f UTF-16 -t UTF-8 {self.path.name} > events.{self.format}"
            )
        if beginning.startswith(codecs.BOM_UTF8):
            self._stream.read(len(codecs.BOM_UTF8))
        if self.format == "ndjson" and beginning.lstrip(codecs.BOM_UTF8).lstrip()[:1] == b"[":
            raise FileError(
                f"{self.path.name} is one JSON array; NDJSON has an object a line: "
                f"jq -c '.[]' {self.path.name} > events.ndjson"
            )

    def _fingerprint(self) -> str:
        """Of the name and all that is in it: a file that was mended is another."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(f"{self.path.name}\0{self.size}\0".encode(errors="surrogateescape"))
        while part := self._raw.read(HASHED_BYTES):
            digest.update(part)
        self._raw.seek(0)
        return digest.hexdigest()


def former_fingerprint(path: Path) -> str:
    """By which older notes know a file, so that it is not imported again."""
    size = path.stat().st_size
    digest = hashlib.blake2b(digest_size=8)
    digest.update(f"{path.name}\0{size}\0".encode(errors="surrogateescape"))
    with path.open("rb") as file:
        digest.update(file.read(END_BYTES))
        file.seek(max(0, size - END_BYTES))
        digest.update(file.read(END_BYTES))
    return digest.hexdigest()


def _checked(event: Event, now_ms: int) -> Checked:
    """Raises `InvalidPayload`, or `FileError` for properties that are text but not JSON."""
    # What the API answers, and what a CSV cell can hold, is the object as text.
    if bytes(event.properties).startswith(b'"'):
        try:
            event.properties = msgspec.Raw(msgspec.json.decode(event.properties).encode())
            msgspec.json.decode(event.properties)  # is it JSON?
        except (ValueError, RecursionError):
            raise FileError("properties: Expected an object, as JSON") from None
    return check(event, now_ms)


def _reason(error: InvalidPayload | FileError) -> str:
    if isinstance(error, FileError):
        return str(error)
    fields = error.details.get("fieldErrors")
    if isinstance(fields, dict) and fields:
        return "; ".join(f"{name or 'line'}: {messages[0]}" for name, messages in fields.items())
    return str(error).replace("The body", "The line")
