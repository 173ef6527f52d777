"""The names of what an event says, and what callers write instead."""

from collections.abc import Iterable, Mapping

FIELDS = (
    "event",
    "properties",
    "user_id",
    "anonymous_id",
    "timestamp",
    "url",
    "path",
    "referrer",
    "session_id",
    "event_id",
    "user_agent",
    "ip",
)
# As other tools call them, where the name itself does not tell.
ELSEWHERE = {
    "name": "event",
    "type": "event",
    "traits": "properties",
    "props": "properties",
    "distinct_id": "user_id or anonymous_id",
    "time": "timestamp",
    "ts": "timestamp",
    "messageId": "event_id",
    "insert_id": "event_id",
    "$insert_id": "event_id",
    "page": "url",
}


def ignored(names: Mapping[object, int] | Iterable[object]) -> str:
    """A sentence about fields that no event has, and what may have been meant."""
    return ", ".join(f"{name!r} ({_meant(name)})" for name in list(names)[:10])


def _meant(name: object) -> str:
    from difflib import get_close_matches  # here, because hardly any program ever needs it

    found = ELSEWHERE.get(str(name)) or next(
        iter(get_close_matches(str(name).lower(), FIELDS, 1, 0.7)), None
    )
    return f"did you mean {found}?" if found else "put it into properties"
