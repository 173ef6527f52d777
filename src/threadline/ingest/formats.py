"""The lines of a file as the JSON that they stand for: NDJSON as it is, CSV row by row.

Both say which columns there are, under their names here.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from itertools import count, islice
from typing import BinaryIO, Protocol

import msgspec

from threadline.contract.cells import unescaped
from threadline.contract.times import format_ms
from threadline.ingest.columns import (
    KNOWN,
    OF_AGENTS,
    OURS,
    is_export,
    map_hint,
    meant,
    said_tool,
    tool_of,
)
from threadline.ingest.unpacking import DAMAGE

MAX_LINE_BYTES = 1024**2
TOO_LONG = "the line is over 1 MiB"
# So many lines say which fields an NDJSON file has.
SAMPLE_LINES = 500

UNIX_TIME = re.compile(r"(\d{9,10})(\.\d+)?|(\d{12,13})")

# Of a line its number (from 1), the JSON that it stands for, its bytes in the file, and what is
# wrong with it, if anything. A plain tuple, because a million are made every few seconds.
RawLine = tuple[int, bytes, bytes, str]


class FileError(Exception):
    """The file cannot be read as events at all, or no further; the message says what to do."""


class Format(Protocol):
    """`names`: of the columns or fields, after those that were renamed, without those that are
    `left_out`. `theirs`: all of them as the file has them. `inside`: of what is in `properties`."""

    names: list[str]
    left_out: list[str]
    theirs: list[str]
    inside: list[str]

    def lines(self) -> Iterator[RawLine]:
        """All of them; once. Raises `DAMAGE`."""


class Ndjson:
    """An object a line; lines without anything in them are passed over."""

    def __init__(
        self,
        stream: BinaryIO,
        file_name: str,
        renamed: Mapping[str, str],
        ignored: AbstractSet[str] = frozenset(),
    ) -> None:
        """Reads the first lines. Raises `FileError`."""
        self._readline = stream.readline
        self._renamed = renamed
        self._ignored = ignored
        self._broken: Exception | None = None
        self._rest = self._read()
        self._head: list[RawLine] = []
        try:
            self._head.extend(islice(self._rest, SAMPLE_LINES))
        except DAMAGE as error:
            self._broken = error
        names, self.theirs, self.inside = self._read_names(file_name)
        self.names = [name for name in names if name not in ignored]
        self.left_out = [name for name in names if name in ignored]
        # A field that comes later has to be one of ours, too.
        self._taken = {*KNOWN, *names, *ignored}

    def lines(self) -> Iterator[RawLine]:
        for raw in self._head:
            yield self._with_our_names(*raw)
        self._head = []
        if self._broken:
            raise self._broken
        for raw in self._rest:
            yield self._with_our_names(*raw)

    def _read_names(self, file_name: str) -> tuple[list[str], list[str], list[str]]:
        """Under their names here; as the file has them; and of what is in `properties`."""
        theirs: dict[str, None] = {}
        inside: dict[str, None] = {}
        for _, line, _, _ in self._head:
            with suppress(ValueError, RecursionError):  # it is rejected in its turn
                found = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
                theirs |= dict.fromkeys(found)
                if within := found.get("properties"):
                    inside |= msgspec.json.decode(within, type=dict[str, msgspec.Raw])
        names = dict.fromkeys(self._renamed.get(name, name) for name in theirs)
        of_all = f"{file_name}: none of the first {len(self._head)} lines has"
        for of_theirs, ours in self._renamed.items():
            if names and ours not in names:
                raise FileError(f"{of_all} {of_theirs}.")
        if names and "event" not in names:
            hint = map_to_event(list(names))
            tool = said_tool(tool_of([*theirs, *inside]))
            said = f"{of_all} `event`, the name of what happened.{tool}{hint}"
            raise FileError(said)
        return list(names), list(theirs), list(inside)

    def _read(self) -> Iterator[RawLine]:
        readline = self._readline
        numbers = count(1)
        while line := readline(MAX_LINE_BYTES + 1):
            number = next(numbers)
            if len(line) > MAX_LINE_BYTES:
                row = line
                while line and not line.endswith(b"\n"):
                    line = readline(MAX_LINE_BYTES + 1)
                yield number, b"", row, TOO_LONG
            elif not line.isspace():
                yield number, line, line, ""

    def _with_our_names(self, number: int, json: bytes, line: bytes, reason: str) -> RawLine:
        if reason:
            return number, json, line, reason
        try:
            fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        except (ValueError, RecursionError):
            return number, line, line, ""  # what is wrong is said when it is decoded
        if not self._taken.issuperset(fields) and (
            unknown := [name for name in fields if name not in self._taken | {*self._renamed}]
        ):
            return number, b"", line, _unknown_later(unknown)
        if not self._renamed and self._ignored.isdisjoint(fields):
            return number, line, line, ""
        for name in self._ignored:
            fields.pop(name, None)
        for theirs, ours in self._renamed.items():
            if theirs not in fields:
                continue
            if ours in fields:
                return number, b"", line, f"it has {theirs} and {ours}"
            value = fields.pop(theirs)
            if ours == "timestamp" and UNIX_TIME.fullmatch(bytes(value).decode(errors="replace")):
                value = msgspec.Raw(msgspec.json.encode(_iso(bytes(value).decode())))
            fields[ours] = value
        return number, msgspec.json.encode(fields), line, ""


IS_TRUE = {"true": True, "1": True, "false": False, "0": False}


class Csv:
    """Rows under a line of column names."""

    def __init__(
        self,
        stream: BinaryIO,
        file_name: str,
        renamed: Mapping[str, str],
        ignored: AbstractSet[str] = frozenset(),
    ) -> None:
        """Reads the first line. Raises `FileError`."""
        self._renamed, self._ignored = renamed, ignored
        csv.field_size_limit(MAX_LINE_BYTES)
        # Kept, because it would take the file with it.
        self._text = io.TextIOWrapper(stream, "utf-8", errors="surrogateescape", newline="")
        self._taken: list[str] = []
        self._table = csv.reader(self._text_lines(), skipinitialspace=True, strict=True)
        try:
            header = [name.strip() for name in next(self._table, [])]
        except csv.Error as error:
            raise FileError(f"{file_name}: the first line is not CSV: {error}.") from error
        self._exported = is_export(header)
        self.theirs = header
        self.inside: list[str] = []
        self._header = [renamed.get(name, name) for name in header]
        self.names = [name for name in self._header if name not in ignored]
        self.left_out = [name for name in self._header if name in ignored]
        if header:
            self._check(header, file_name)

    def _check(self, header: list[str], file_name: str) -> None:
        if missing := [name for name in self._renamed if name not in header]:
            raise FileError(
                f"{file_name} has no column {missing[0]} to map; it has: {', '.join(header)}."
            )
        if twice := [name for name, times in Counter(self._header).items() if times > 1]:
            raise FileError(f"{file_name}: the column {twice[0]} is there twice; keep one.")
        if "event" not in self._header:
            raise FileError(f"{file_name}: {_no_event(header)}")

    def lines(self) -> Iterator[RawLine]:
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
                reason = TOO_LONG
            if reason:
                yield self._table.line_num, b"", self._row(), reason
            elif cells:
                yield self._record(self._table.line_num, cells)

    def _text_lines(self) -> Iterator[str]:
        """The file's lines; `_taken` keeps those of the row that is being read."""
        while line := self._text.readline(MAX_LINE_BYTES + 1):
            self._taken.append(line)
            rest = line
            while len(line) > MAX_LINE_BYTES and rest and not rest.endswith(("\n", "\r")):
                rest = self._text.readline(MAX_LINE_BYTES)
            yield line

    def _record(self, number: int, cells: list[str]) -> RawLine:
        row = self._row()
        if len(cells) != len(self._header):
            reason = f"the row has {len(cells)} cells, the header {len(self._header)} columns"
            return number, b"", row, reason
        if self._exported:
            cells = [unescaped(cell) for cell in cells]
        named = zip(self._header, cells, strict=True)
        given = {name: cell for name, cell in named if name not in self._ignored}
        if time := given.get("timestamp", "").strip():
            mapped = "timestamp" in self._renamed.values() and UNIX_TIME.fullmatch(time)
            given["timestamp"] = _iso(time) if mapped else time
        try:
            return number, _as_json(given, self._exported), row, ""
        except UnicodeEncodeError:
            return number, b"", row, "it is not UTF-8"
        except FileError as error:
            return number, b"", row, str(error)

    def _row(self) -> bytes:
        return "".join(self._taken).encode(errors="surrogateescape")


FORMATS: dict[str, type[Ndjson] | type[Csv]] = {"ndjson": Ndjson, "csv": Csv}


def _as_json(row: dict[str, str], exported: bool) -> bytes:
    """A table's row as the JSON object it stands for: an empty cell is a field not given."""
    names = (*OURS, *OF_AGENTS) if exported else OURS
    given: dict[str, object] = {name: row[name] for name in names if row.get(name)}
    if "is_bot" in given:
        said = row["is_bot"].strip().lower()  # spreadsheets write it large
        if said not in IS_TRUE:
            raise FileError(f"is_bot: {row['is_bot']!r} is neither true nor false")
        given["is_bot"] = IS_TRUE[said]
    return msgspec.json.encode(given)


def _unknown_later(names: list[str]) -> str:
    listed = " ".join(f"--ignore {name}" for name in names)
    return f"it has fields that are not known here: {', '.join(names)}; {listed} leaves them out"


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
        f"{', '.join(header)}. Known: {', '.join(OURS)}.{said_tool(tool_of(header))}"
        f"{map_to_event(header)}"
    )


def map_to_event(names: list[str]) -> str:
    """The option that would give one of these columns the name `event`."""
    hints = {name: "event" for name in names if meant(name) == "event"}
    return f" Perhaps {map_hint(hints)}?" if hints else ""
