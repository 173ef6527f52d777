"""Events out of files: NDJSON or CSV, packed or not, one after the other with its line number."""

import csv
import gzip
import hashlib
import io
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self, cast

import msgspec
import zstandard

from threadline.contract.bodies import Event, decode
from threadline.contract.errors import InvalidPayload
from threadline.ingest.accept import check

FORMATS = {".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson", ".csv": "csv"}
PACKINGS = (".gz", ".zst")
MAX_LINE_BYTES = 1024**2
# Enough of both ends of a file to tell it from another of the same name and size.
FINGERPRINT_BYTES = 64 * 1024

TOGETHER = 500

_decoder = msgspec.json.Decoder(Event)
FIELDS = msgspec.structs.fields(Event)


class FileError(Exception):
    """The file cannot be read as events at all; the message says what to do."""


class Line(NamedTuple):
    """One event, or None where the line is none, for the `reason` given. Numbers start at 1."""

    number: int
    event: Event | None
    reason: str = ""
    text: str = ""


class EventFile:
    """One file of events, read from its beginning or from behind a line."""

    def __init__(self, path: Path, format: str | None = None) -> None:
        """`format`: ndjson or csv; None: by the file's name. Raises `FileError`, `OSError`."""
        self.path = path
        suffixes = [suffix.lower() for suffix in path.suffixes]
        packing = suffixes.pop() if suffixes and suffixes[-1] in PACKINGS else ""
        found = format or FORMATS.get(suffixes[-1] if suffixes else "")
        if not found:
            raise FileError(
                f"{path.name}: NDJSON or CSV? Give --format; names that end in "
                f"{', '.join(FORMATS)} (and {' or '.join(PACKINGS)}) are understood."
            )
        self.format = found
        self._raw: BinaryIO = path.open("rb")
        self.size = os.fstat(self._raw.fileno()).st_size
        self.fingerprint = self._fingerprint()
        self._stream = _unpacked(self._raw, packing)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._raw.close()

    @property
    def bytes_read(self) -> int:
        """Of `size`, as the file lies on disk."""
        return self._raw.tell()

    def lines(self, now_ms: int, behind: int = 0) -> Iterator[Line]:
        """The lines after number `behind`. An event without an id gets one that is the same
        whenever this file is read. Raises `FileError` where a packed file is broken."""
        raw_lines = self._ndjson() if self.format == "ndjson" else self._csv()
        try:
            wanted = (line for line in raw_lines if line[0] > behind)
            while some := list(islice(wanted, TOGETHER)):
                yield from self._read(some, now_ms)
        except (EOFError, OSError, zstandard.ZstdError) as error:
            raise FileError(f"{self.path.name} is cut short or damaged: {error}.") from error

    def _read(self, some: list[tuple[int, bytes | str]], now_ms: int) -> Iterator[Line]:
        """Decoding many lines in one go takes half the time; when that fails, one by one."""
        try:
            text = b"\n".join(raw for _, raw in some if isinstance(raw, bytes))
            text.decode()
            events = _decoder.decode_lines(text)
        except (ValueError, RecursionError):
            events = []
        together = len(events) == len(some)
        for place, (number, raw) in enumerate(some):
            yield self._line(number, raw, now_ms, events[place] if together else None)

    def _line(self, number: int, raw: bytes | str, now_ms: int, event: Event | None) -> Line:
        """`event`: the line, if it is decoded already."""
        if isinstance(raw, str):
            return Line(number, None, raw)
        try:
            event = event or decode(raw, Event, now_ms)
            # What the API answers, and what a CSV cell can hold, is the object as text.
            if bytes(event.properties).startswith(b'"'):
                event.properties = msgspec.Raw(msgspec.json.decode(event.properties).encode())
                msgspec.json.decode(event.properties)  # is it JSON?
            check(event, now_ms)
        except InvalidPayload as error:
            return Line(number, None, _reason(error), raw.decode(errors="replace").strip())
        except (ValueError, RecursionError):
            reason = "properties: Expected an object, as JSON"
            return Line(number, None, reason, raw.decode(errors="replace").strip())
        if event.event_id is None:
            event.event_id = f"import-{self.fingerprint}-{number}"
        return Line(number, event)

    def _ndjson(self) -> Iterator[tuple[int, bytes | str]]:
        """Line number and line, or what is wrong with it."""
        number = 0
        while line := self._stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                while line and not line.endswith(b"\n"):
                    line = self._stream.readline(MAX_LINE_BYTES)
                yield number, "the line is over 1 MiB"
            elif line.strip():
                yield number, line

    def _csv(self) -> Iterator[tuple[int, bytes | str]]:
        csv.field_size_limit(MAX_LINE_BYTES)
        # Kept, because it would take the file with it.
        self._text = io.TextIOWrapper(
            self._stream, "utf-8-sig", errors="surrogateescape", newline=""
        )
        table = csv.reader(self._text)
        names = next(table, [])
        if "event" not in names:
            known = ", ".join(field.name for field in FIELDS)
            raise FileError(
                f"{self.path.name}: the first line has to name the columns, `event` among them. "
                f"Known: {known}; others are ignored."
            )
        while True:
            try:
                cells = next(table)
            except StopIteration:
                return
            except csv.Error as error:
                yield table.line_num, str(error)
                continue
            if cells:
                yield table.line_num, _as_json(dict(zip(names, cells, strict=False)))

    def _fingerprint(self) -> str:
        digest = hashlib.blake2b(digest_size=8)
        digest.update(f"{self.path.name}\0{self.size}\0".encode(errors="surrogateescape"))
        digest.update(self._raw.read(FINGERPRINT_BYTES))
        self._raw.seek(max(0, self.size - FINGERPRINT_BYTES))
        digest.update(self._raw.read(FINGERPRINT_BYTES))
        self._raw.seek(0)
        return digest.hexdigest()


def _unpacked(raw: BinaryIO, packing: str) -> BinaryIO:
    if packing == ".gz":
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if packing == ".zst":
        unpacker = zstandard.ZstdDecompressor()
        stream = unpacker.stream_reader(raw, read_across_frames=True)
        return cast(BinaryIO, io.BufferedReader(stream))
    return raw


def _as_json(row: dict[str, str]) -> bytes | str:
    """A table's row as the JSON object it stands for: an empty cell is a field not given."""
    given = {field.name: row[field.name] for field in FIELDS if row.get(field.name)}
    try:
        return msgspec.json.encode(given)
    except UnicodeEncodeError:
        return "it is not UTF-8"


def _reason(error: InvalidPayload) -> str:
    fields = error.details.get("fieldErrors")
    if isinstance(fields, dict) and fields:
        return "; ".join(f"{name or 'line'}: {messages[0]}" for name, messages in fields.items())
    return str(error).replace("The body", "The line")
