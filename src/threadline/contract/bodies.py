"""What callers send: one Struct a route. `decoding` reads them, `values` what a type cannot say."""

from typing import Annotated

import msgspec

from threadline.contract.policies import Policy

MAX_BATCH_EVENTS = 1000
MAX_ANONYMOUS_ID = 128
MAX_USER_ID = 256
MAX_EVENT_NAME = 128
MAX_ADDRESS = 2048
MAX_PROPERTIES_BYTES = 8192
MAX_PROPERTIES_DEPTH = 32
MAX_DROPPED = 1_000_000

# Ids that the server generates are always new; those of clients have to be looked up. An empty id
# counts as not given.
EventId = Annotated[str, msgspec.Meta(max_length=128)]
AnonymousId = Annotated[str, msgspec.Meta(max_length=MAX_ANONYMOUS_ID)]
UserId = Annotated[str, msgspec.Meta(max_length=MAX_USER_ID)]
# Where a request is about this one id.
GivenAnonymousId = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ANONYMOUS_ID)]
GivenUserId = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_USER_ID)]
Address = Annotated[str, msgspec.Meta(max_length=MAX_ADDRESS)]
Timestamp = Annotated[
    str, msgspec.Meta(description="ISO 8601; without an offset: UTC. Default: now.")
]
# Kept as the caller wrote it: decoding would lose big numbers, duplicate keys and key order.
Properties = Annotated[
    msgspec.Raw,
    msgspec.Meta(
        extra_json_schema={"type": "object"},
        description=f"At most {MAX_PROPERTIES_BYTES} bytes of JSON and {MAX_PROPERTIES_DEPTH}"
        " levels; stored as sent.",
    ),
]


def no_properties() -> msgspec.Raw:
    return msgspec.Raw(b"{}")


class Event(msgspec.Struct, kw_only=True, gc=False):
    """One event. Unknown fields are ignored and named in the answer's `warnings`, and so are the
    fields that the server makes."""

    event: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=MAX_EVENT_NAME,
            description="A leading $ is for system events: $pageview, $identify.",
        ),
    ]
    event_id: EventId | None = None
    timestamp: Timestamp | None = None
    anonymous_id: AnonymousId | None = None
    user_id: UserId | None = None
    session_id: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    url: Address | None = None
    path: Address | None = None
    referrer: Address | None = None
    user_agent: (
        Annotated[
            str,
            msgspec.Meta(
                max_length=MAX_ADDRESS,
                description="The visitor's user agent, if a server sends the event (sk). The "
                "request's own is used only with a browser key.",
            ),
        ]
        | None
    ) = None
    ip: (
        Annotated[
            str,
            msgspec.Meta(
                max_length=64,
                description="The visitor's IP address, if a server sends the event (sk). Never "
                "stored; see docs/privacy.md. Default: the request's own.",
            ),
        ]
        | None
    ) = None
    properties: Properties = msgspec.field(default_factory=no_properties)


# What an export says of the visitor's agent, which is not stored itself.
AgentWord = Annotated[str, msgspec.Meta(max_length=128)]


class ExportedEvent(Event, kw_only=True, gc=False):
    """An event out of an export, as `threadline import` sends it."""

    device_type: AgentWord | None = None
    browser: AgentWord | None = None
    os: AgentWord | None = None
    is_bot: bool | None = None


class Batch(msgspec.Struct, gc=False):
    """Body of `POST /v1/batch`: stored as a whole or not at all."""

    events: Annotated[list[Event], msgspec.Meta(min_length=1, max_length=MAX_BATCH_EVENTS)]
    key: (
        Annotated[
            str,
            msgspec.Meta(description="A browser key, if no header can carry it, as in a beacon."),
        ]
        | None
    ) = None
    sent_at: (
        Annotated[
            str,
            msgspec.Meta(
                description="ISO 8601, by the sender's clock, when the batch left. The minutes "
                "that this clock is off by are taken out of the events' times."
            ),
        ]
        | None
    ) = None
    dropped: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            le=MAX_DROPPED,
            description="Number of events that the sender had to drop because its queue was full.",
        ),
    ] = 0


class ExportedBatch(msgspec.Struct, gc=False):
    """Events out of an export; only the temporary key of `threadline import` may send them so."""

    events: Annotated[list[ExportedEvent], msgspec.Meta(min_length=1, max_length=MAX_BATCH_EVENTS)]


class Identify(msgspec.Struct, kw_only=True):
    """Body of `POST /v1/identify`: stored as a `$identify` event with the traits as properties."""

    anonymous_id: GivenAnonymousId
    user_id: GivenUserId
    traits: Properties = msgspec.field(default_factory=no_properties)
    event_id: EventId | None = None
    timestamp: Timestamp | None = None


class Forget(msgspec.Struct, kw_only=True):
    """Body of `POST /v1/forget`: exactly one of the two ids. `anonymise`: of a user, leave events
    of one random person in the place of theirs, so that sums stay."""

    user_id: GivenUserId | None = None
    anonymous_id: GivenAnonymousId | None = None
    anonymise: bool = False


class Link(msgspec.Struct, kw_only=True):
    """A device and a user that was seen on it."""

    anonymous_id: GivenAnonymousId
    user_id: GivenUserId


class AccountLink(msgspec.Struct, kw_only=True):
    """An account and one of its people: exactly one of the two ids."""

    account_id: GivenUserId
    user_id: GivenUserId | None = None
    anonymous_id: GivenAnonymousId | None = None


class Alias(msgspec.Struct, kw_only=True):
    """A user that is the same person as another."""

    user_id: GivenUserId
    alias_of: GivenUserId


class Unalias(msgspec.Struct, kw_only=True):
    """A user that is to be a person of its own again."""

    user_id: GivenUserId


class IdentityPreview(msgspec.Struct, kw_only=True):
    """A decision that is not made: exactly one of the four. `stitch`: the policy to see it under;
    default: the project's, else `next`."""

    unlink: Link | None = None
    link_again: Link | None = None
    alias: Alias | None = None
    unalias: Unalias | None = None
    stitch: Policy | None = None
