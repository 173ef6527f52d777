"""What happens to an event between the door and the log, step by step.

    check -> drop placeholder ids -> visitor -> session -> cut and scrub -> source -> agent -> row

Pure given its inputs: nothing is read, nothing is written, so a whole batch either becomes rows or
raises before anything is stored.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
from xxhash import xxh3_64_intdigest

from threadline.classify import Site, classify
from threadline.contract.bodies import MAX_PROPERTIES_BYTES, Event, Identify
from threadline.contract.decoding import FieldErrors
from threadline.contract.errors import InvalidPayload, PlaceholderId
from threadline.contract.ids import PLACEHOLDERS, Placeholders, is_placeholder
from threadline.contract.replies import Notice
from threadline.contract.values import FIRST_MS, address_text, moment_ms, properties_text
from threadline.enrich import (
    address_hash,
    cookieless_id,
    cut_parameters,
    no_country,
    random_id,
    read_agent,
    session_id,
    time_ordered_id,
)
from threadline.ingest.row import Row, Rows

MAX_WARNINGS = 100


@dataclass(frozen=True, slots=True)
class IngestContext:
    """Who sent the request, as far as the server can know. `id_key`: for hashes of event_ids.
    `scrub`: takes out of addresses what must not be stored. `skew_ms`: how far the sender's clock
    is behind ours. `country_of`: looks an address up."""

    project_id: str
    site: Site
    scrub: Callable[[str], str]
    browser_key: bool
    address: str
    address_hash: bytes
    user_agent: str
    country: str
    salt: bytes
    id_key: int
    now_ms: int
    skew_ms: int = 0
    placeholders: Placeholders = PLACEHOLDERS
    country_of: Callable[[str], str] = no_country
    max_properties_bytes: int = MAX_PROPERTIES_BYTES


class Accepted(NamedTuple):
    """Rows for the log, and what the answer says of them. `placeholder_ids`: how many ids the
    events lost because they are none."""

    rows: Rows
    first_event_id: str
    warnings: list[Notice]
    placeholder_ids: int


def accept(events: list[Event], sender: IngestContext, in_batch: bool) -> Accepted:
    """The events as rows.

    Raises `InvalidPayload` for the first event that is not acceptable, with its index if it came
    in a batch.
    """
    rows: list[Row] = []
    hashes = array("Q")
    warnings: list[Notice] = []
    first_event_id = ""
    project_id, now_ms, scrub = sender.project_id, sender.now_ms, sender.scrub
    skew = sender.skew_ms
    senders_agent = read_agent(sender.user_agent)
    max_bytes = sender.max_properties_bytes
    for index, event in enumerate(events):
        at = index if in_batch else None
        timestamp, properties, ip = check(event, now_ms - skew, at, max_bytes)
        if skew:
            timestamp = _corrected(timestamp, sender, index, warnings)
        agent, country, ip_hash = senders_agent, sender.country, sender.address_hash
        if not sender.browser_key:  # servers speak for browsers; browsers for themselves
            if event.user_agent is not None:
                agent = read_agent(event.user_agent)
            if ip is not None:
                country = sender.country_of(ip)
                ip_hash = address_hash(sender.salt, project_id, ip)
        user_id, anonymous_id = event.user_id, event.anonymous_id
        if user_id is not None and is_placeholder(user_id, sender.placeholders):
            warnings.append(_placeholder(index, "user_id", user_id))
            user_id = None
        if anonymous_id is not None and is_placeholder(anonymous_id, sender.placeholders):
            warnings.append(_placeholder(index, "anonymous_id", anonymous_id))
            anonymous_id = None
        made = anonymous_id is None
        visitor = _make_visitor(sender) if anonymous_id is None else anonymous_id
        event_id = event.event_id
        if not event_id:
            event_id = time_ordered_id()
            hashes.append(0)
        else:
            hashes.append(event_id_hash(sender.id_key, project_id, event_id))
        if index == 0:
            first_event_id = event_id
        # Before anything looks at them, so that what is stored says the same when read again.
        url = scrub(_cut("url", event.url, index, warnings))
        referrer = scrub(_cut("referrer", event.referrer, index, warnings))
        found = classify(url, referrer, sender.site)
        said = found.click_ids + found.utm if sender.browser_key else found.click_ids
        if said and event.event != "$identify":  # traits are of a person, not of a page
            properties = with_properties(properties, said)
        rows.append(
            (
                project_id,
                timestamp,
                event_id,
                event.event,
                visitor,
                made,
                user_id,
                event.session_id or session_id(visitor, timestamp),
                found.source,
                found.medium,
                found.campaign,
                found.confidence,
                found.rule_id,
                url,
                scrub(_cut("path", event.path, index, warnings)) if event.path else _path(url),
                referrer,
                country,
                agent.device_type,
                agent.browser,
                agent.os,
                properties,
                ip_hash,
                now_ms,
                found.term,
                found.content,
                sender.site.version,
                agent.is_bot,
            )
        )
    lost = sum(notice.code == PlaceholderId.code for notice in warnings)
    return Accepted(Rows.encode(rows, hashes), first_event_id, warnings, lost)


def event_id_hash(id_key: int, project_id: str, event_id: str) -> int:
    """64 bits that stand for this event of this project; never 0.

    Keyed, so that nobody can make an id that passes for another project's.
    """
    return xxh3_64_intdigest(f"{project_id}\0{event_id}".encode(), id_key) or 1


def identify_event(body: Identify, placeholders: Placeholders = PLACEHOLDERS) -> Event:
    """An identify call as the `$identify` event it is stored as. Raises `PlaceholderId`."""
    for field in ("user_id", "anonymous_id"):
        value = getattr(body, field)
        if is_placeholder(value, placeholders):
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


def check(
    event: Event,
    now_ms: int,
    index: int | None = None,
    max_bytes: int = MAX_PROPERTIES_BYTES,
) -> tuple[int, str, str | None]:
    """The event's time (milliseconds since 1970), properties and address, past all limits that a
    type cannot say. Raises `InvalidPayload`, naming the event's index in its batch if there is
    one."""
    try:
        return (
            moment_ms(event.timestamp, now_ms),
            properties_text(event.properties, max_bytes),
            None if event.ip is None else address_text(event.ip),
        )
    except ValueError:
        raise _explain(event, now_ms, index, max_bytes) from None


def _explain(event: Event, now_ms: int, index: int | None, max_bytes: int) -> InvalidPayload:
    errors: FieldErrors = {}
    try:
        moment_ms(event.timestamp, now_ms)
    except ValueError as error:
        errors["timestamp"] = [str(error)]
    try:
        address_text("::" if event.ip is None else event.ip)
    except ValueError as error:
        errors["ip"] = [str(error)]
    try:
        properties_text(event.properties, max_bytes)
    except ValueError as error:
        name = "traits" if index is None and event.event == "$identify" else "properties"
        errors[name] = [str(error)]
    if index is None:
        return InvalidPayload("The event is invalid; nothing was stored.", fieldErrors=errors)
    return InvalidPayload(
        f"Event {index} of the batch is invalid; nothing was stored.",
        index=index,
        fieldErrors=errors,
    )


def few(warnings: list[Notice]) -> list[Notice]:
    """The first hundred, and how many more there are."""
    if len(warnings) <= MAX_WARNINGS:
        return warnings
    more = len(warnings) - MAX_WARNINGS
    return [*warnings[:MAX_WARNINGS], Notice(0, "", "more", f"And {more:,} more warnings.")]


def _placeholder(index: int, field: str, value: str) -> Notice:
    message = f"{value!r} is a placeholder, not an id; the event was stored without it."
    return Notice(index, field, PlaceholderId.code, message)


def _cut(field: str, address: str | None, index: int, warnings: list[Notice]) -> str:
    if not address:
        return ""
    kept = cut_parameters(address)
    if kept is not address:
        message = "The parameters after the 40th were cut off."
        warnings.append(Notice(index, field, "cut", message))
    return kept


def _corrected(timestamp: int, sender: IngestContext, index: int, warnings: list[Notice]) -> int:
    """The event's time by our clock. A sender whose clock is so wrong that its events would fall
    before all time is not believed: the event keeps its own time, or gets ours."""
    corrected = timestamp + sender.skew_ms
    if corrected >= FIRST_MS:
        return corrected
    message = "The time when the batch was sent cannot be right; it was not taken into account."
    warnings.append(Notice(index, "timestamp", "clock_ignored", message))
    return min(timestamp, sender.now_ms)


def _make_visitor(sender: IngestContext) -> str:
    if sender.browser_key:
        return cookieless_id(sender.salt, sender.project_id, sender.address, sender.user_agent)
    return random_id()


def with_properties(sent: str, more: tuple[tuple[str, str], ...]) -> str:
    """The JSON object with more strings in it, except where it has such a name already."""
    names = msgspec.json.decode(sent, type=dict[str, msgspec.Raw])
    added = {name: value for name, value in more if name not in names}
    if not added:
        return sent
    text = msgspec.json.encode(added).decode()
    return f"{text[:-1]},{sent[1:]}" if names else text


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""
