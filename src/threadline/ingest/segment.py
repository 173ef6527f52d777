"""A call of a Segment-spec library as the event it is stored as; docs/segment.md has the table.

Pure. What a library says of page and browser goes where the contract has a place for it; the rest
of `context` is passed over. Addresses that are too long are cut, which a later step says: nobody
who sends them could make them shorter.
"""

from array import array
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from threadline.contract.bodies import MAX_ADDRESS, MAX_ANONYMOUS_ID, MAX_USER_ID, Event
from threadline.contract.errors import ApiError, InvalidPayload
from threadline.contract.replies import Notice
from threadline.contract.segment import MAX_MESSAGE_BYTES, Id, Message
from threadline.contract.values import properties_text
from threadline.ingest.accept import Accepted, event_id_hash
from threadline.ingest.context import IngestContext
from threadline.ingest.row import Rows, StoredEvent
from threadline.ingest.segment_context import (
    agent_of,
    as_object,
    group_of,
    ip_of,
    is_empty,
    part_of,
    read_context,
    referrer_of,
    text_of,
    url_of,
)
from threadline.ingest.steps import SCREEN, Warnings, stored_event, with_properties

EVENT_NAMES = {
    "identify": "$identify",
    "page": "$pageview",
    "screen": SCREEN,
    "group": "$group",
}


class AliasCall(NamedTuple):
    """Two users who are one person. `message`: the call that says so."""

    user_id: str
    alias_of: str
    message: Message


class Calls:
    """What becomes of the calls of one request: rows, aliases to decide on, and what is refused.

    `aliases`, `refused`: with the call's place in its batch.
    """

    def __init__(self, size: int, context: IngestContext, notices: list[Notice]) -> None:
        """`size`: how many there are. `notices`: what was mended in the body as a whole."""
        self.size = size
        self.context = context
        self._uncorrected = replace(context, skew_ms=0)
        self.warnings = Warnings(notices=notices)
        self.aliases: list[tuple[int, AliasCall]] = []
        self.refused: list[tuple[int, ApiError]] = []
        self._stored: list[StoredEvent] = []
        self._hashes = array("Q")
        self._devices: set[str] = set()

    def take(
        self, index: int, message: Message, kind: str, context: IngestContext | None = None
    ) -> None:
        """The call, which is one of type `kind`. `context`: where it is not that of all."""
        self.warnings.index = index
        try:
            found = read(message, kind, self.warnings)
            if isinstance(found, AliasCall) and found.user_id in self._devices:
                found = identified(message, found)
            if isinstance(found, AliasCall):
                self.aliases.append((index, found))
                return
            self._store(index, message, found, context or self.context)
        except ApiError as error:
            self.refuse(index, error)

    def identify(self, index: int, alias: AliasCall) -> None:
        """The alias of a visitor. Raises `InvalidPayload`."""
        self._store(index, alias.message, identified(alias.message, alias), self.context)

    def _store(self, index: int, message: Message, sent: Event, context: IngestContext) -> None:
        """The call as this event. Raises `InvalidPayload`."""
        context = self._uncorrected if is_corrected(message) else context
        self.warnings.index = index
        self._stored.append(stored_event(sent, context, self.warnings))
        known = context.id_key, context.project_id
        self._hashes.append(event_id_hash(*known, sent.event_id) if sent.event_id else 0)
        self._devices.add(sent.anonymous_id or "")

    def refuse(self, index: int, error: ApiError) -> None:
        """It is not stored."""
        self.refused.append((index, error))

    def accepted(self) -> Accepted:
        """What is stored of them; perhaps nothing."""
        rows = Rows.encode(self._stored, self._hashes)
        return Accepted(rows, "", self.warnings.notices, self.warnings.bots)


def read(message: Message, kind: str, warnings: Warnings) -> Event | AliasCall:
    """The call, which is one of type `kind`. Raises `InvalidPayload`."""
    user_id = _id("userId", message.user_id, MAX_USER_ID)
    anonymous_id = _id("anonymousId", message.anonymous_id, MAX_ANONYMOUS_ID)
    if kind == "alias":
        return _read_alias(message, user_id, anonymous_id)
    name = message.event if kind == "track" else EVENT_NAMES.get(kind)
    if name is None and kind != "track":
        allowed = ", ".join(("track", "alias", *EVENT_NAMES))
        raise _invalid("type", f"Expected one of {allowed}, not {kind!r}")
    if not name:
        raise _invalid("event", "Required")
    context = read_context(message.context, warnings)
    _warn_of_others(message, kind, warnings)
    page = part_of(context, "page")
    properties = msgspec.Raw(_properties(message, kind, context, warnings).encode())
    # A page view's properties say more surely which page it was.
    said = as_object(properties) if kind == "page" else {}
    return Event(
        event=name,
        event_id=message.message_id,
        timestamp=message.timestamp or message.original_timestamp,
        anonymous_id=anonymous_id,
        user_id=user_id,
        url=url_of(text_of(said, "url") or text_of(page, "url"), part_of(context, "campaign")),
        path=(text_of(said, "path") or text_of(page, "path"))[:MAX_ADDRESS] or None,
        referrer=referrer_of(text_of(said, "referrer") or text_of(page, "referrer")),
        user_agent=agent_of(text_of(context, "userAgent"), warnings),
        ip=ip_of(text_of(context, "ip"), warnings),
        properties=properties,
    )


def _warn_of_others(message: Message, kind: str, warnings: Warnings) -> None:
    """What is there, but not where the spec has it."""
    if message.timestamp == "":
        warnings.warn("timestamp", "ignored", "It is empty, and was ignored.")
    if kind in ("identify", "group") and not is_empty(message.properties):
        warnings.warn("properties", "ignored", f"A call of {kind} has traits; these were ignored.")


def is_corrected(message: Message) -> bool:
    """Whether its `timestamp` has the sender's clock taken out already, as in an export."""
    return message.timestamp is not None and message.original_timestamp is not None


def _read_alias(
    message: Message, user_id: str | None, anonymous_id: str | None
) -> Event | AliasCall:
    previous_id = _id("previousId", message.previous_id, MAX_USER_ID)
    if user_id is None or previous_id is None:
        field = "userId" if user_id is None else "previousId"
        raise _invalid(field, "Required")
    alias = AliasCall(previous_id, user_id, message)
    return identified(message, alias) if previous_id == anonymous_id else alias


def identified(message: Message, alias: AliasCall) -> Event:
    """The call where it is a visitor who turns out to be a user."""
    return Event(
        event="$identify",
        event_id=message.message_id,
        timestamp=message.timestamp or message.original_timestamp,
        anonymous_id=alias.user_id,
        user_id=alias.alias_of,
    )


def _properties(message: Message, kind: str, context: Mapping[str, Any], warnings: Warnings) -> str:
    """Traits or properties as sent, and next to them what the spec keeps elsewhere."""
    field = "traits" if kind in ("identify", "group") else "properties"
    raw = message.traits if field == "traits" else message.properties
    if kind == "identify" and is_empty(raw) and (traits := context.get("traits")):
        raw = msgspec.Raw(msgspec.json.encode(traits))
    try:
        sent = properties_text(raw, MAX_MESSAGE_BYTES)
    except ValueError as error:
        raise _invalid(field, str(error)) from None
    group_id = _id("groupId", message.group_id, MAX_USER_ID)
    more: dict[str, str | None] = {}
    if kind in ("page", "screen"):
        more = {"name": message.name, "category": message.category}
    elif kind == "group" and group_id:
        sent = _of_group(sent, group_id, warnings)
    if kind not in ("identify", "group"):
        more["account_id"] = group_id or group_of(context, warnings)
    if kind != "identify":  # traits are of a person, not of a browser
        more["language"] = text_of(context, "locale")
        more["timezone"] = text_of(context, "timezone")
    return with_properties(sent, tuple((name, value) for name, value in more.items() if value))


def _of_group(traits: str, group_id: str, warnings: Warnings) -> str:
    """Whatever its traits say, a call is about the group that it names."""
    said = msgspec.json.decode(traits, type=dict[str, msgspec.Raw])
    encoded = msgspec.json.encode(group_id)
    for name in ("account_id", "group_id"):
        if name in said and _as_id(said[name]) != group_id:
            message = f"The trait {name} is not the call's groupId, which counts in its place."
            warnings.warn(f"traits.{name}", "ignored", message)
            said[name] = msgspec.Raw(encoded)
    said.setdefault("group_id", msgspec.Raw(encoded))
    return msgspec.json.encode(said).decode()


def _as_id(raw: msgspec.Raw) -> str:
    found = msgspec.json.decode(raw)
    return str(found) if isinstance(found, str | int) else ""


def _id(field: str, value: Id | None, longest: int) -> str | None:
    text = "" if value is None else str(value)
    if len(text) > longest:
        raise _invalid(field, f"Expected at most {longest} characters, got {len(text)}")
    return text or None


def _invalid(field: str, message: str) -> InvalidPayload:
    return InvalidPayload(
        "The call has invalid fields; it was not stored.", fieldErrors={field: [message]}
    )
