"""The stored columns, and rows of them as they lie in the log.

A row is encoded once, when it is accepted, in the form the store itself reads: its values one after
the other in MessagePack, rows without anything between them. Whatever comes later, on the way from
the log to the store, joins bytes.
"""

from collections.abc import Iterable, Sequence

import msgspec

# In this order. Times are milliseconds since 1970 (UTC); `ip_hash` is 16 bytes.
COLUMNS = (
    "project_id timestamp event_id event_name anonymous_id anonymous_id_made user_id session_id "
    "source medium campaign source_confidence source_rule_id url path referrer country "
    "device_type browser os properties ip_hash received_at"
).split()
WIDTH = len(COLUMNS)

Value = str | int | bool | bytes | None
Row = Sequence[Value]

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list)


def encode(values: list[Value]) -> bytes:
    """Rows, given as all their values in one list, at least one row."""
    # The list's own header, of three or five bytes, is not part of a row.
    return _encoder.encode(values)[3 if len(values) <= 0xFFFF else 5 :]


def decode(body: bytes, rows: int) -> list[Row]:
    """So many rows again. Raises `msgspec.DecodeError` if they are not there."""
    values = _decoder.decode(b"\xdd" + (rows * WIDTH).to_bytes(4) + body)
    return [values[start : start + WIDTH] for start in range(0, len(values), WIDTH)]


def join(rows: Iterable[Row]) -> bytes:
    """Some of the rows of `decode`, encoded again."""
    return encode([value for row in rows for value in row])
