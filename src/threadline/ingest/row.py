"""The stored columns, and rows of them as they lie in the log.

A row is encoded once, when it is accepted, in the form the store itself reads: its values one after
the other in MessagePack, rows without anything between them. Whatever comes later, on the way from
the log to the store, joins and cuts bytes.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from sys import byteorder
from typing import NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from threadline.store import WrittenEvent

Value = str | int | bool | bytes | None
Row = Sequence[Value]


class StoredEvent(msgspec.Struct, array_like=True, gc=False):
    """One row of `events`, column by column, in this order. Times are milliseconds since 1970
    (UTC); `ip_hash` is 16 bytes.

    What later versions add comes last; its default is what it was in rows from before.
    """

    project_id: str
    timestamp: int
    event_id: str
    event_name: str
    anonymous_id: str = ""
    anonymous_id_generated: bool = False
    user_id: str | None = None
    session_id: str = ""
    source: str = ""
    medium: str = ""
    campaign: str = ""
    source_confidence: str = ""
    source_rule_id: str = ""
    url: str = ""
    path: str = ""
    referrer: str = ""
    country: str = ""
    device_type: str = ""
    browser: str = ""
    os: str = ""
    properties: str = "{}"
    ip_hash: bytes = bytes(16)
    received_at: int = 0
    term: str = ""
    content: str = ""
    classifier_version: str = ""
    is_bot: bool = False
    channel: str = ""


COLUMNS = list(StoredEvent.__struct_fields__)
# What later versions added, as it is in rows from before.
ADDED: dict[str, Value] = {
    field.name: field.default
    for field in msgspec.structs.fields(StoredEvent)[COLUMNS.index("term") :]
}
Hashes = NDArray[np.uint64]
Positions = NDArray[np.intp]

# Of a block that is to be looked into; which of the columns then.
MOST_WRITTEN = 100
WHERE = [
    COLUMNS.index(name)
    for name in ("project_id", "anonymous_id", "anonymous_id_generated", "user_id")
]

# What is older lies in the first month, and no time is later (schema/017_baseline.sql).
FIRST_MS, LAST_MS = (
    int(datetime(*at, tzinfo=UTC).timestamp() * 1000) for at in ((2020, 1, 1), (2299, 12, 31))
)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list)
# The list's own header is not part of a row.
HEADER = _encoder.encode([None] * len(COLUMNS))[: -len(COLUMNS)]
HEADER_BYTES = len(HEADER)


class Rows(NamedTuple):
    """Encoded rows. `lengths`: of each row in bytes, as 32 bits. `hashes`: of each row's event_id
    where its client made it, else zero, as 64 bits (see `accept.event_id_hash`)."""

    body: bytes
    lengths: bytes
    hashes: bytes

    @classmethod
    def encode(cls, rows: Iterable[StoredEvent | Row], hashes: "array[int]") -> Self:
        encoded = _encoder.encode
        bodies = [encoded(values)[HEADER_BYTES:] for values in rows]
        return cls(b"".join(bodies), array("I", map(len, bodies)).tobytes(), hashes.tobytes())

    @classmethod
    def one(cls, body: bytes) -> Self:
        """A single row that is encoded already, whose event_id is not to be looked up."""
        return cls(body, len(body).to_bytes(4, byteorder), bytes(8))

    @classmethod
    def join(cls, many: Sequence["Rows"]) -> Self:
        return cls(*map(b"".join, zip(*many, strict=True)))

    def migrated(self, columns: int) -> Self:
        """The same rows, of an older version that knew so many columns, as this one has them."""
        added = b"".join(_encoder.encode(ADDED[name]) for name in COLUMNS[columns:])
        ends = self._ends().tolist()
        bodies = [self.body[a:b] + added for a, b in pairwise(ends)]
        return type(self)(b"".join(bodies), array("I", map(len, bodies)).tobytes(), self.hashes)

    @property
    def size(self) -> int:
        return len(self.lengths) // 4

    def event_hashes(self) -> Hashes:
        return np.frombuffer(self.hashes, dtype=np.uint64)

    def part(self, start: int, end: int) -> bytes:
        """The body of the rows from `start` to before `end`."""
        ends = self._ends()
        return self.body[ends[start] : ends[end]]

    def without(self, positions: Positions) -> Self:
        """The same without these rows."""
        if not len(positions):
            return self
        ends = self._ends()
        # What lies between two rows that go is copied in one piece.
        starts = ends[[0, *(positions + 1)]]
        stops = ends[[*positions, self.size]]
        kept = [self.body[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]
        lengths = np.delete(np.frombuffer(self.lengths, dtype=np.uint32), positions)
        hashes = np.delete(self.event_hashes(), positions)
        return type(self)(b"".join(kept), lengths.tobytes(), hashes.tobytes())

    def written(self) -> list[WrittenEvent] | None:
        """Where these events were, for whoever keeps answers; None of many: that takes its time,
        and who looks sees so many as fast by asking."""
        if self.size > MOST_WRITTEN:
            return None
        rows = (decode(self.body[a:b]) for a, b in pairwise(self._ends().tolist()))
        found = [[values[at] for at in WHERE] for values in rows]
        return [
            WrittenEvent(
                str(project),
                None if generated and user is not None else str(device),
                None if user is None else str(user),
            )
            for project, device, generated, user in found
        ]

    def months(self) -> dict[str, set[str]]:
        """Of each project, the months that its events lie in, as the store divides them."""
        found: dict[str, set[str]] = {}
        for a, b in pairwise(self._ends().tolist()):
            project, timestamp, *_ = decode(self.body[a:b])
            if not isinstance(timestamp, int):  # the store has refused it
                continue
            at = datetime.fromtimestamp(min(max(timestamp, FIRST_MS), LAST_MS) // 1000, UTC)
            found.setdefault(str(project), set()).add(f"{at:%Y%m}")
        return found

    def _ends(self) -> Positions:
        """Where rows end, a zero before them."""
        lengths = np.frombuffer(self.lengths, dtype=np.uint32)
        return np.concatenate([[0], np.cumsum(lengths, dtype=np.intp)])


NO_ROWS = Rows(b"", b"", b"")


def encode(values: StoredEvent | Row) -> bytes:
    """One row, as the Struct or as its values."""
    return _encoder.encode(values)[HEADER_BYTES:]


def decode(body: bytes) -> Row:
    """One row again, of whatever types: the store may have refused it for them. Raises
    `msgspec.DecodeError` if it is no row."""
    values: Row = _decoder.decode(HEADER + body)
    return values


def by_column(body: bytes) -> Mapping[str, Value]:
    """The same, each value with the name of its column."""
    return dict(zip(COLUMNS, decode(body), strict=True))
