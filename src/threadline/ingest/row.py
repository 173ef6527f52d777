"""One event on its way from the door to the store: the shape it has in the log."""

import msgspec


class EventRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The stored columns, in order. Times are milliseconds since 1970 (UTC)."""

    project_id: str
    timestamp: int
    event_id: str
    event_name: str
    anonymous_id: str
    anonymous_id_made: bool
    user_id: str | None
    session_id: str
    source: str
    medium: str
    campaign: str
    source_confidence: str
    source_rule_id: str
    url: str
    path: str
    referrer: str
    country: str
    device_type: str
    browser: str
    os: str
    properties: str
    ip_hash: bytes
    received_at: int


COLUMNS = EventRow.__struct_fields__
