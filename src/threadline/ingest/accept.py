"""What happens to an event between the door and the log, step by step.

    check -> drop placeholder ids -> visitor -> session -> source -> agent -> row

Pure given its inputs: nothing is read, nothing is written, so a whole batch either becomes rows or
raises before anything is stored.
"""

from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from threadline.classify import classify
from threadline.contract.bodies import (
    Event,
    FieldErrors,
    Identify,
    moment_ms,
    properties_text,
)
from threadline.contract.errors import InvalidPayload, PlaceholderId
from threadline.contract.ids import is_placeholder
from threadline.contract.replies import Notice
from threadline.enrich import (
    cookieless_id,
    random_id,
    read_agent,
    session_id,
    time_ordered_id,
)
from threadline.ingest.row import EventRow


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent the request, as far as the server can know."""

    project_id: str
    own_hosts: frozenset[str]
    browser_key: bool
    address: str
    address_hash: bytes
    user_agent: str
    country: str
    salt: bytes
    now_ms: int


class Accepted(NamedTuple):
    """Rows for the log. `client_ids`: those event_ids that the client made, so may repeat."""

    rows: list[EventRow]
    client_ids: frozenset[str]
    warnings: list[Notice]


def accept(events: list[Event], sender: Sender, in_batch: bool) -> Accepted:
    """The events as rows.

    Raises `InvalidPayload` for the first event that is not acceptable, with its index if it came
    in a batch.
    """
    rows: list[EventRow] = []
    warnings: list[Notice] = []
    for index, event in enumerate(events):
        timestamp, properties = _check(event, sender.now_ms, index if in_batch else None)
        warnings += _drop_placeholders(event, index)
        rows.append(_row(event, sender, timestamp, properties))
    client_ids = frozenset(event.event_id for event in events if event.event_id)
    return Accepted(rows, client_ids, warnings)


def identify_event(body: Identify) -> Event:
    """An identify call as the `$identify` event it is stored as. Raises `PlaceholderId`."""
    for field in ("user_id", "anonymous_id"):
        value = getattr(body, field)
        if is_placeholder(value):
            raise PlaceholderId(
                f"{field} {value!r} is a placeholder, not an id; it would merge every caller that "
                "sends it into one person. Call identify only when the user is known.",
                fieldErrors={field: ["Placeholder, not an id"]},
            )
    return Event(
        event="$identify",
        event_id=body.event_id,
        timestamp=body.timestamp,
        anonymous_id=body.anonymous_id,
        user_id=body.user_id,
        properties=body.traits,
    )


def _check(event: Event, now_ms: int, index: int | None) -> tuple[int, str]:
    """The event's time and properties, past all limits that a type cannot say."""
    errors: FieldErrors = {}
    timestamp, properties = 0, ""
    try:
        timestamp = moment_ms(event.timestamp, now_ms)
    except ValueError as error:
        errors["timestamp"] = [str(error)]
    try:
        properties = properties_text(event.properties)
    except ValueError as error:
        name = "traits" if index is None and event.event == "$identify" else "properties"
        errors[name] = [str(error)]
    if errors and index is None:
        raise InvalidPayload("The event is invalid; nothing was stored.", fieldErrors=errors)
    if errors:
        raise InvalidPayload(
            f"Event {index} of the batch is invalid; nothing was stored.",
            index=index,
            fieldErrors=errors,
        )
    return timestamp, properties


def _drop_placeholders(event: Event, index: int) -> list[Notice]:
    warnings = []
    for field in ("user_id", "anonymous_id"):
        value = getattr(event, field)
        if value is not None and is_placeholder(value):
            setattr(event, field, None)
            warnings.append(
                Notice(
                    index,
                    field,
                    PlaceholderId.code,
                    f"{value!r} is a placeholder, not an id; the event was stored without it.",
                )
            )
    return warnings


def _row(event: Event, sender: Sender, timestamp: int, properties: str) -> EventRow:
    anonymous_id = event.anonymous_id or _make_visitor(sender)
    url, referrer = event.url or "", event.referrer or ""
    source = classify(url, referrer, sender.own_hosts)
    agent = read_agent(sender.user_agent)
    return EventRow(
        sender.project_id,
        timestamp,
        event.event_id or time_ordered_id(),
        event.event,
        anonymous_id,
        event.anonymous_id is None,
        event.user_id,
        event.session_id or session_id(anonymous_id, timestamp),
        *source,
        url,
        event.path or _path(url),
        referrer,
        sender.country,
        *agent,
        properties,
        sender.address_hash,
        sender.now_ms,
    )


def _make_visitor(sender: Sender) -> str:
    if sender.browser_key:
        return cookieless_id(sender.salt, sender.project_id, sender.address, sender.user_agent)
    return random_id()


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""
