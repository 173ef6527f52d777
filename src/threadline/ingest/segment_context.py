"""What the `context` of a Segment-spec call says of page, browser and group, as far as the contract
has a place for it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec

from threadline.contract.bodies import MAX_ADDRESS, MAX_USER_ID
from threadline.contract.replies import Notice
from threadline.contract.segment import MAX_MESSAGE_BYTES, Message
from threadline.contract.values import address_text
from threadline.ingest.steps import Warnings

# What RudderStack's browser client calls the referrer of a visit that has none.
NO_REFERRER = "$direct"
CAMPAIGN = {
    "source": "utm_source",
    "medium": "utm_medium",
    "name": "utm_campaign",
    "term": "utm_term",
    "content": "utm_content",
}


# What of `context` is used, and as what.
IN_CONTEXT: Mapping[str, tuple[tuple[type, ...], str]] = {
    "page": ((dict,), "an object"),
    "campaign": ((dict,), "an object"),
    "traits": ((dict,), "an object"),
    "userAgent": ((str,), "a text"),
    "ip": ((str,), "a text"),
    "locale": ((str,), "a text"),
    "timezone": ((str,), "a text"),
    "groupId": ((str, int), "a text or a whole number"),
}


def read_context(raw: msgspec.Raw, warnings: Warnings) -> Mapping[str, Any]:
    """It, with a warning for what is of another type than the spec has there."""
    context = as_object(raw)
    if not context and not is_empty(raw):
        warnings.warn("context", "ignored", "Expected an object; it was ignored.")
    for name, (kinds, expected) in IN_CONTEXT.items():
        found = context.get(name)
        if found is not None and (not isinstance(found, kinds) or isinstance(found, bool)):
            warnings.warn(f"context.{name}", "ignored", f"Expected {expected}; it was ignored.")
    return context


def shared_context(raw: msgspec.Raw, notices: list[Notice]) -> Mapping[str, Any]:
    """What is used of a batch's context. It is read anew with each of its calls, so it may be no
    longer than one of them."""
    if len(bytes(raw)) > MAX_MESSAGE_BYTES:
        message = f"It has more than {MAX_MESSAGE_BYTES // 1024} KiB, and was ignored."
        notices.append(Notice(0, "context", "ignored", message))
        return {}
    context = as_object(raw)
    return {name: context[name] for name in IN_CONTEXT if name in context}


def share(context: Mapping[str, Any], message: Message) -> None:
    """What a batch says of all its calls counts where a call says nothing of it."""
    if context:
        own = as_object(message.context)
        message.context = msgspec.Raw(msgspec.json.encode({**context, **own}))


def group_of(context: Mapping[str, Any], warnings: Warnings) -> str | None:
    """Of which group the user is, where a library says that of every call. Half an id is another's:
    one that is too long is left out."""
    found = context.get("groupId")
    if not isinstance(found, str | int) or isinstance(found, bool):
        return None
    if len(str(found)) <= MAX_USER_ID:
        return str(found)
    message = f"It has more than {MAX_USER_ID} characters; the event was stored without it."
    warnings.warn("context.groupId", "ignored", message)
    return None


def url_of(url: str, campaign: Mapping[str, Any]) -> str | None:
    """With what it does not say itself of the campaign: that is where sources are read from, now
    and whenever stored events are classified anew. So it is the page's address that is cut."""
    said = {name: text for key, name in CAMPAIGN.items() if (text := _campaign(campaign, key))}
    address, hash_, fragment = url.partition("#")
    if said:
        there = {name for name, _ in parse_qsl(address.partition("?")[2])}
        said = {name: text for name, text in said.items() if name not in there}
    if not said:
        return url[:MAX_ADDRESS] or None
    more = f"{'&' if '?' in address else '?'}{urlencode(said)}"
    if len(url) + len(more) <= MAX_ADDRESS:
        return f"{address}{more}{hash_}{fragment}"
    return f"{address[: max(0, MAX_ADDRESS - len(more))]}{more}"[:MAX_ADDRESS]


def referrer_of(text: str) -> str | None:
    """None for what says that there is none."""
    return None if text == NO_REFERRER else text[:MAX_ADDRESS] or None


def agent_of(text: str, warnings: Warnings) -> str | None:
    """The user agent."""
    if len(text) > MAX_ADDRESS:
        message = f"It has more than {MAX_ADDRESS:,} characters; the rest was cut off."
        warnings.warn("context.userAgent", "cut", message)
    return text[:MAX_ADDRESS] or None


def ip_of(text: str, warnings: Warnings) -> str | None:
    """The address in its shortest form; None for what is none."""
    try:
        return address_text(text) if text else None
    except ValueError:
        warnings.warn("context.ip", "ignored", "It is no IP address, and was ignored.")
        return None


def as_object(raw: msgspec.Raw) -> Mapping[str, Any]:
    """Empty for what is none."""
    try:
        found = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def part_of(context: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Empty where it is no object."""
    found = context.get(name)
    return found if isinstance(found, dict) else {}


def text_of(part: Mapping[str, Any], name: str) -> str:
    """Empty where it is no text."""
    found = part.get(name)
    return found if isinstance(found, str) else ""


def is_empty(raw: msgspec.Raw) -> bool:
    """Whether nothing is said, also as PHP says it."""
    return bytes(raw).translate(None, b" \t\r\n") in (b"{}", b"null", b"[]")


def _campaign(part: Mapping[str, Any], name: str) -> str:
    found = part.get(name)
    is_one = isinstance(found, str | int | float) and not isinstance(found, bool)
    return str(found) if is_one else ""
