"""What happens to an event between the request and the log: `STEPS`, from top to bottom.

Each step is a plain function of the event as it was sent, the row that it becomes, and the context
that it came in. It fills in its part of the row. A step that changes what was sent warns; one that
cannot go on raises an `ApiError`, and the event is not stored. Both say why by a code, by which
they are counted in `/metrics`.

Pure given the context: nothing is read, nothing is written.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

import msgspec

from threadline.classify import classify
from threadline.contract.bodies import MAX_ADDRESS, Event, ExportedEvent
from threadline.contract.errors import PlaceholderId
from threadline.contract.ids import is_placeholder
from threadline.contract.replies import Notice
from threadline.contract.times import DAY_MS, format_ms
from threadline.contract.values import FIRST_MS
from threadline.enrich import (
    Agent,
    address_hash,
    browser_word,
    cookieless_id,
    cut_parameters,
    os_word,
    random_id,
    read_agent,
    session_id,
    time_ordered_id,
)
from threadline.ingest.account import no_account
from threadline.ingest.checking import Checked, check
from threadline.ingest.context import IngestContext
from threadline.ingest.row import StoredEvent


@dataclass(slots=True)
class Warnings:
    """What was changed in the events so far. `index`: of the event whose turn it is. `in_batch`:
    whether an error names it. `bots`: of each that is stored as a bot's, which kind."""

    in_batch: bool = False
    index: int = 0
    notices: list[Notice] = field(default_factory=list)
    bots: list[str] = field(default_factory=list)

    def warn(self, name: str, reason: str, message: str) -> None:
        """`name`: of the field. `reason`: a code."""
        self.notices.append(Notice(self.index, name, reason, message))


# A screen of an app is one without an address.
SCREEN = "$screen"
# Source, medium, confidence and rule of what happened on no page.
NO_PAGE = ("direct", "direct", "low", "no_page")
# What sends the agents of bots, as a sentence names it.
SENDERS = {
    "ai_agent": "an AI agent",
    "preview": "a link preview service",
    "mail_scanner": "an e-mail scanner",
    "monitor": "a monitoring service",
    "headless": "a headless browser",
    "crawler": "a crawler or another program",
}

Step = Callable[[StoredEvent, Event, IngestContext, Warnings], None]


def shape(stored: StoredEvent, sent: Event, context: IngestContext, warnings: Warnings) -> None:
    """Time and properties, past all limits that a type cannot say. Raises `InvalidPayload`."""
    now_ms, skew_ms = context.now_ms, context.skew_ms
    index = warnings.index if warnings.in_batch else None
    stored.timestamp, stored.properties = check(
        sent, now_ms - skew_ms, index, context.max_properties_bytes
    )
    if skew_ms:
        stored.timestamp = _corrected(stored.timestamp, context, warnings)
    if context.keeping.is_limited:
        _warn_old(stored, context, warnings)


def placeholder_ids(
    stored: StoredEvent, sent: Event, context: IngestContext, warnings: Warnings
) -> None:
    """The ids, but for those that would merge strangers into one person."""
    if sent.user_id is not None:
        if is_placeholder(sent.user_id, context.placeholders):
            _warn_placeholder("user_id", sent.user_id, warnings)
        else:
            stored.user_id = sent.user_id
    if sent.anonymous_id is not None:
        if is_placeholder(sent.anonymous_id, context.placeholders):
            _warn_placeholder("anonymous_id", sent.anonymous_id, warnings)
        else:
            stored.anonymous_id = sent.anonymous_id


def account(stored: StoredEvent, sent: Event, _context: IngestContext, warnings: Warnings) -> None:
    """Nothing is changed; but whoever sends what is no account should know."""
    if message := no_account(sent.event, stored.properties):
        warnings.warn("properties", "no_account", message)


def generated_ids(
    stored: StoredEvent, sent: Event, context: IngestContext, _warnings: Warnings
) -> None:
    """Ids that the sender did not give."""
    stored.event_id = sent.event_id or time_ordered_id()
    if not stored.anonymous_id:
        stored.anonymous_id = _generate_visitor(context)
        stored.anonymous_id_generated = True
    stored.session_id = sent.session_id or session_id(stored.anonymous_id, stored.timestamp)


def agent(stored: StoredEvent, sent: Event, context: IngestContext, warnings: Warnings) -> None:
    """Device, browser and country. Servers speak for browsers; browsers for themselves. What a
    server says of itself is nobody's browser, and says nothing of who did it."""
    user_agent, country, ip_hash = context.user_agent, context.country, context.address_hash
    if not context.browser_key:
        if sent.user_agent is not None:
            user_agent = sent.user_agent
        if sent.ip is not None:
            country = context.country_of(sent.ip)
            ip_hash = address_hash(context.salt, context.project_id, sent.ip)
    stored.country, stored.ip_hash = country, ip_hash
    if not user_agent and isinstance(sent, ExportedEvent):
        _take_agent(stored, sent)
        return
    found = read_agent(user_agent)
    stored.device_type, stored.browser, stored.os, stored.is_bot, reason = found
    if reason:
        warnings.bots.append(reason)
        warnings.warn("user_agent", "stored_as_bot", _stored_as_bot(found))


def _take_agent(stored: StoredEvent, sent: ExportedEvent) -> None:
    """What an export says of the visitor's agent, also one of an older version, which took the
    agent of a server for one."""
    device_type = sent.device_type or ""
    if device_type in ("", "bot") and not (sent.url or sent.referrer):
        return
    stored.device_type = "other" if device_type == "bot" else device_type
    stored.browser, stored.os = browser_word(sent.browser or ""), os_word(sent.os or "")
    stored.is_bot = bool(sent.is_bot)


def scrub(stored: StoredEvent, sent: Event, context: IngestContext, warnings: Warnings) -> None:
    """Addresses without what must not be stored; before anything looks at them, so that what is
    stored says the same when it is read again."""
    if sent.url:
        stored.url, stored.path, cut = _scrubbed(sent.url, context.scrub)
        _warn_cut("url", sent.url, cut, warnings)
    if sent.path:
        stored.path, _, cut = _scrubbed(sent.path, context.scrub)
        _warn_cut("path", sent.path, cut, warnings)
    if sent.referrer:
        stored.referrer, _, cut = _scrubbed(sent.referrer, context.scrub)
        _warn_cut("referrer", sent.referrer, cut, warnings)


def source(stored: StoredEvent, sent: Event, context: IngestContext, _warnings: Warnings) -> None:
    """Where the visit came from, and the rule that says so. What a server tells of a user, without
    a page and without a visitor's agent, is no visit and came from nowhere."""
    stored.classifier_version = context.site.version
    if not (stored.url or context.browser_key) and is_off_page(stored):
        stored.source, stored.medium, stored.source_confidence, stored.source_rule_id = NO_PAGE
        return
    (
        stored.source,
        stored.medium,
        stored.campaign,
        stored.channel,
        stored.source_confidence,
        stored.source_rule_id,
        stored.term,
        stored.content,
        click_ids,
        utm,
    ) = classify(stored.url, stored.referrer, context.site)
    said = click_ids + utm if context.browser_key else click_ids
    if said and sent.event != "$identify":  # traits are of a person, not of a page
        stored.properties = with_properties(stored.properties, said)


def is_off_page(stored: StoredEvent) -> bool:
    """Whether nothing in the event says that a visitor looked at something."""
    return not (stored.url or stored.referrer or stored.device_type or stored.event_name == SCREEN)


# In this order; `row.encode` comes after the last.
STEPS: tuple[Step, ...] = (shape, placeholder_ids, account, generated_ids, agent, scrub, source)
AFTER_SHAPE = STEPS[1:]


def stored_event(
    sent: Event, context: IngestContext, warnings: Warnings, checked: Checked | None = None
) -> StoredEvent:
    """The event as it is stored. `checked`: what `check` found, if it was asked already. Raises
    `InvalidPayload` for one that is not acceptable."""
    stored = StoredEvent(context.project_id, 0, "", sent.event)
    stored.received_at = context.now_ms
    steps = STEPS
    if checked:
        stored.timestamp, stored.properties = checked
        steps = AFTER_SHAPE
    for step in steps:
        step(stored, sent, context, warnings)
    return stored


def with_properties(sent: str, more: tuple[tuple[str, str], ...]) -> str:
    """The JSON object with more strings in it, except where it has such a name already."""
    names = msgspec.json.decode(sent, type=dict[str, msgspec.Raw])
    added = {name: value for name, value in more if name not in names}
    if not added:
        return sent
    text = msgspec.json.encode(added).decode()
    return f"{text[:-1]},{sent[1:]}" if names else text


def _warn_placeholder(name: str, value: str, warnings: Warnings) -> None:
    message = f"{value!r} is a placeholder, not an id; the event was stored without it."
    warnings.warn(name, PlaceholderId.code, message)


@lru_cache(maxsize=256)
def _stored_as_bot(agent: Agent) -> str:
    named = f" ({agent.browser})" if agent.browser else ""
    return (
        f"The user agent is that of {SENDERS[agent.reason]}{named}. The event is stored as a bot's,"
        " and answers leave it out unless they are asked with include_bots=true."
    )


@lru_cache(maxsize=4096)  # addresses repeat, but strangers may send long ones
def _scrubbed(address: str, scrub: Callable[[str], str]) -> tuple[str, str, bool]:
    """What is stored of an address, its path, and whether parameters were cut off."""
    kept = cut_parameters(address)
    stored = scrub(kept)
    return stored, _path(stored), kept is not address


def _warn_cut(name: str, address: str, cut: bool, warnings: Warnings) -> None:
    if cut:
        warnings.warn(name, "cut", "The parameters after the 40th were cut off.")
    if len(address) == MAX_ADDRESS:
        message = (
            f"It has {MAX_ADDRESS:,} characters, after which browsers' and servers' libraries cut"
            " an address: its end, and a campaign there, may be missing."
        )
        warnings.warn(name, "cut", message)


def _corrected(timestamp: int, context: IngestContext, warnings: Warnings) -> int:
    """The event's time by our clock. A sender whose clock is so wrong that its events would fall
    before all time is not believed: the event keeps its own time, or gets ours."""
    corrected = timestamp + context.skew_ms
    if corrected >= FIRST_MS:
        return corrected
    message = "The time when the batch was sent cannot be right, so it was ignored."
    warnings.warn("timestamp", "clock_ignored", message)
    return min(timestamp, context.now_ms)


def _warn_old(stored: StoredEvent, context: IngestContext, warnings: Warnings) -> None:
    """It is stored all the same, so that first touches come out as if it had come in time."""
    days = context.keeping.days_of(stored.event_name)
    if days is None or stored.timestamp >= (context.now_ms // DAY_MS - days) * DAY_MS:
        return
    message = (
        f"The project keeps {stored.event_name} for {days} days, and this one is from"
        f" {format_ms(stored.timestamp)[:10]}: it is deleted again within a day."
    )
    warnings.warn("timestamp", "older_than_kept", message)


def _generate_visitor(context: IngestContext) -> str:
    if context.browser_key:
        return cookieless_id(context.salt, context.project_id, context.address, context.user_agent)
    return random_id()


def _path(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:
        return ""
