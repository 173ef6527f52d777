"""Events out of files: NDJSON or CSV, packed or not, one after the other with its line number."""

import codecs
import csv
import hashlib
import io
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

import msgspec

from threadline.contract.bodies import Event
from threadline.contract.cells import unescaped
from threadline.contract.decoding import decode
from threadline.contract.errors import InvalidPayload
from threadline.contract.times import format_ms
from threadline.ingest.columns import EXPORTED, FIELDS, OURS, Columns, columns, map_hint, meant
from threadline.ingest.steps import check
from threadline.ingest.unpacking import DAMAGE, OTHERWISE, is_utf16, unpacked

FORMATS = {".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson", ".csv": "csv"}
PACKINGS = (".gz", ".zst")
MAX_LINE_BYTES = 1024**2
# Enough of both ends of a file to tell it from another of the same name and size.
FINGERPRINT_BYTES = 64 * 1024
# So many lines say which fields an NDJSON file has.
SAMPLE_LINES = 500

TOGETHER = 500

UNIX_TIME = re.compile(r"(\d{9,10})(\.\d+)?|(\d{12,13})")

_decoder = msgspec.json.Decoder(Event)


class FileError(Exception):
    """The file cannot be read as events at all, or no further; the message says what to do."""


class Line(NamedTuple):
    """One event, or None where the line is none, for the `reason` given. Numbers start at 1; `row`
    is the line as it is in the file."""

    number: int
    event: Event | None
    reason: str = ""
    row: bytes = b""


class _Raw(NamedTuple):
    """A line as the JSON that it stands for, or what is wrong with it."""

    number: int
    json: bytes
    row: bytes
    reason: str = ""


class EventFile:
    """One file of events, read from its beginning or from behind a line."""

    def __init__(
        self, path: Path, format: str | None = None, renamed: Mapping[str, str] | None = None
    ) -> None:
        """`format`: ndjson or csv; None: by the file's name. `renamed`: columns or fields of the
        file that have another name here. Raises `FileError`, `OSError`."""
        self.path = path
        self._renamed = dict(renamed or {})
        suffixes = [suffix.lower() for suffix in path.suffixes]
        packing = suffixes.pop() if suffixes and suffixes[-1] in PACKINGS else ""
        found = format or FORMATS.get(suffixes[-1] if suffixes else "")
        if not found:
            raise FileError(
                f"{path.name}: NDJSON or CSV? Give --format; names that end in "
                f"{', '.join(FORMATS)} (and {' or '.join(PACKINGS)}) are understood."
            )
        self.format = found
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe could wait for ever
            raise FileError(
                f"{path} is no regular file. An import that is interrupted goes on by reading the "
                f"file again: write it to one first, for example: cat {path} > events.{found}"
            )
        self._raw: BinaryIO = path.open("rb")
        self.size = os.fstat(self._raw.fileno()).st_size
        self.fingerprint = self._fingerprint()
        self._stream = unpacked(self._raw, packing)
        self._head: list[_Raw] = []
        self._broken: Exception | None = None
        try:
            self._look_at_beginning()
            self._read_names()
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
        return columns(self._names)

    def lines(self, now_ms: int, after: int = 0) -> Iterator[Line]:
        """The lines after this number. An event without an id gets one that is the same whenever
        this file is read. Raises `FileError` where a packed file is broken."""
        raw_lines = self._ndjson() if self.format == "ndjson" else self._csv()
        wanted = (line for line in raw_lines if line.number > after)
        broken: Exception | None = None
        while not broken:
            some: list[_Raw] = []
            try:
                some.extend(islice(wanted, TOGETHER))
            except DAMAGE as error:
                broken = error  # what comes before it is read first
            if not some and not broken:
                return
            yield from self._read(some, now_ms)
        raise self._damaged(broken) from broken

    def _damaged(self, error: Exception) -> FileError:
        return FileError(f"{self.path.name} is cut short or damaged: {error}.")

    def _read(self, some: list[_Raw], now_ms: int) -> Iterator[Line]:
        """Decoding many lines in one go takes half the time; when that fails, one by one."""
        try:
            text = b"\n".join(raw.json for raw in some if not raw.reason)
            text.decode()
            events = _decoder.decode_lines(text)
        except (ValueError, RecursionError):
            events = []
        together = len(events) == len(some)
        for place, raw in enumerate(some):
            yield self._line(raw, now_ms, events[place] if together else None)

    def _line(self, raw: _Raw, now_ms: int, event: Event | None) -> Line:
        """`event`: the line, if it is decoded already."""
        if raw.reason:
            return Line(raw.number, None, raw.reason, raw.row)
        try:
            event = event or decode(raw.json, Event, now_ms)
            # What the API answers, and what a CSV cell can hold, is the object as text.
            if bytes(event.properties).startswith(b'"'):
                event.properties = msgspec.Raw(msgspec.json.decode(event.properties).encode())
                msgspec.json.decode(event.properties)  # is it JSON?
            check(event, now_ms)
        except InvalidPayload as error:
            return Line(raw.number, None, _reason(error), raw.row)
        except (ValueError, RecursionError):
            return Line(raw.number, None, "properties: Expected an object, as JSON", raw.row)
        if event.event_id is None:
            event.event_id = f"import-{self.fingerprint}-{raw.number}"
        return Line(raw.number, event)

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

    def _read_names(self) -> None:
        if self.format == "csv":
            self._open_table()
            return
        names: dict[str, None] = {}
        self._numbered = enumerate(iter(self._next_line, b""), 1)
        try:
            self._head.extend(islice(self._json_lines(), SAMPLE_LINES))
        except DAMAGE as error:
            self._broken = error
        for raw in self._head:
            try:
                names |= dict.fromkeys(msgspec.json.decode(raw.json, type=dict[str, msgspec.Raw]))
            except (ValueError, RecursionError):
                continue  # it is rejected in its turn
        self._names = list(names)
        for theirs, ours in self._renamed.items():
            if names and ours not in names:
                raise FileError(
                    f"{self.path.name}: none of the first {len(self._head)} lines has {theirs}."
                )
        if names and "event" not in names:
            raise FileError(
                f"{self.path.name}: none of the first {len(self._head)} lines has `event`, the name"
                f" of what happened.{_map_to_event(self._names)}"
            )

    def _ndjson(self) -> Iterator[_Raw]:
        yield from self._head
        self._head = []
        if self._broken:
            raise self._broken
        yield from self._json_lines()

    def _json_lines(self) -> Iterator[_Raw]:
        for number, line in self._numbered:
            if len(line) > MAX_LINE_BYTES:
                row = line
                while line and not line.endswith(b"\n"):
                    line = self._next_line()
                yield _Raw(number, b"", row, "the line is over 1 MiB")
            elif line.strip():
                yield (
                    self._with_our_names(number, line)
                    if self._renamed
                    else _Raw(number, line, line)
                )

    def _next_line(self) -> bytes:
        return self._stream.readline(MAX_LINE_BYTES + 1)

    def _with_our_names(self, number: int, line: bytes) -> _Raw:
        try:
            fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        except (ValueError, RecursionError):
            return _Raw(number, line, line)  # what is wrong is said when it is decoded
        for theirs, ours in self._renamed.items():
            if theirs not in fields:
                continue
            if ours in fields:
                return _Raw(number, b"", line, f"it has {theirs} and {ours}")
            value = fields.pop(theirs)
            if ours == "timestamp" and UNIX_TIME.fullmatch(bytes(value).decode(errors="replace")):
                value = msgspec.Raw(msgspec.json.encode(_iso(bytes(value).decode())))
            fields[ours] = value
        return _Raw(number, msgspec.json.encode(fields), line)

    def _open_table(self) -> None:
        csv.field_size_limit(MAX_LINE_BYTES)
        # Kept, because it would take the file with it.
        self._text = io.TextIOWrapper(self._stream, "utf-8", errors="surrogateescape", newline="")
        self._taken: list[str] = []
        self._table = csv.reader(self._text_lines(), skipinitialspace=True, strict=True)
        try:
            header = [name.strip() for name in next(self._table, [])]
        except csv.Error as error:
            raise FileError(f"{self.path.name}: the first line is not CSV: {error}.") from error
        self._exported = set(header) >= EXPORTED
        self._names = [self._renamed.get(name, name) for name in header]
        if not header:
            return
        if missing := [name for name in self._renamed if name not in header]:
            raise FileError(
                f"{self.path.name} has no column {missing[0]} to map; it has: {', '.join(header)}."
            )
        if twice := [name for name, times in Counter(self._names).items() if times > 1]:
            raise FileError(f"{self.path.name}: the column {twice[0]} is there twice; keep one.")
        if "event" not in self._names:
            raise FileError(f"{self.path.name}: {_no_event(header)}")

    def _text_lines(self) -> Iterator[str]:
        """The file's lines; `_taken` keeps those of the row that is being read."""
        while line := self._text.readline(MAX_LINE_BYTES + 1):
            self._taken.append(line)
            rest = line
            while len(line) > MAX_LINE_BYTES and rest and not rest.endswith(("\n", "\r")):
                rest = self._text.readline(MAX_LINE_BYTES)
            yield line

    def _csv(self) -> Iterator[_Raw]:
        while True:
            self._taken.clear()
            cells: list[str] = []
            reason = ""
            try:
                cells = next(self._table)
            except StopIteration:
                return
            except csv.Error as error:
                reason = f"it is not CSV: {error}"
            if any(len(line) > MAX_LINE_BYTES for line in self._taken):
                reason = "the line is over 1 MiB"
            if reason:
                yield _Raw(self._table.line_num, b"", self._row(), reason)
            elif cells:
                yield self._record(self._table.line_num, cells)

    def _record(self, number: int, cells: list[str]) -> _Raw:
        row = self._row()
        if len(cells) != len(self._names):
            reason = f"the row has {len(cells)} cells, the header {len(self._names)} columns"
            return _Raw(number, b"", row, reason)
        if self._exported:
            cells = [unescaped(cell) for cell in cells]
        given = dict(zip(self._names, cells, strict=True))
        if time := given.get("timestamp", "").strip():
            mapped = "timestamp" in self._renamed.values() and UNIX_TIME.fullmatch(time)
            given["timestamp"] = _iso(time) if mapped else time
        try:
            return _Raw(number, _as_json(given), row)
        except UnicodeEncodeError:
            return _Raw(number, b"", row, "it is not UTF-8")

    def _row(self) -> bytes:
        return "".join(self._taken).encode(errors="surrogateescape")

    def _fingerprint(self) -> str:
        digest = hashlib.blake2b(digest_size=8)
        digest.update(f"{self.path.name}\0{self.size}\0".encode(errors="surrogateescape"))
        digest.update(self._raw.read(FINGERPRINT_BYTES))
        self._raw.seek(max(0, self.size - FINGERPRINT_BYTES))
        digest.update(self._raw.read(FINGERPRINT_BYTES))
        self._raw.seek(0)
        return digest.hexdigest()


def _as_json(row: dict[str, str]) -> bytes:
    """A table's row as the JSON object it stands for: an empty cell is a field not given."""
    return msgspec.json.encode(
        {field.name: row[field.name] for field in FIELDS if row.get(field.name)}
    )


def _iso(unix_time: str) -> str:
    """Seconds or milliseconds since 1970, as `UNIX_TIME` has them, as ISO 8601."""
    found = UNIX_TIME.fullmatch(unix_time)
    assert found
    milliseconds = int(found[3]) if found[3] else int(float(unix_time) * 1000)
    return format_ms(milliseconds)


def _no_event(header: list[str]) -> str:
    if len(header) == 1 and (other := re.search(r"[;\t|]", header[0])):
        return f"its columns are separated by {other[0]!r}; separate them by commas."
    return (
        f"the first line has to name the columns, `event` among them; it has "
        f"{', '.join(header)}. Known: {', '.join(OURS)}; others are ignored.{_map_to_event(header)}"
    )


def _map_to_event(names: list[str]) -> str:
    hints = {name: "event" for name in names if meant(name) == "event"}
    return f" Perhaps {map_hint(hints)}?" if hints else ""


def _reason(error: InvalidPayload) -> str:
    fields = error.details.get("fieldErrors")
    if isinstance(fields, dict) and fields:
        return "; ".join(f"{name or 'line'}: {messages[0]}" for name, messages in fields.items())
    return str(error).replace("The body", "The line")
