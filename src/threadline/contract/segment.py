"""The wire shapes of the Segment spec, as its client libraries send them.

A message is read leniently: what its library put into `context` is looked at where it has the type
that the spec gives it, and passed over where not.
"""

from typing import Annotated

import msgspec

from threadline.contract.bodies import MAX_EVENT_NAME, EventId, Timestamp, no_properties

MAX_MESSAGE_BYTES = 32 * 1024
MAX_BATCH_BYTES = 500 * 1024
MAX_BATCH_MESSAGES = 2500

# What browser libraries call the routes.
SHORT = {
    "/v1/t": "/v1/track",
    "/v1/i": "/v1/identify",
    "/v1/p": "/v1/page",
    "/v1/s": "/v1/screen",
    "/v1/g": "/v1/group",
    "/v1/a": "/v1/alias",
    "/v1/b": "/v1/batch",
    "/beacon/v1/batch": "/v1/batch",
}

Properties = Annotated[
    msgspec.Raw,
    msgspec.Meta(
        extra_json_schema={"type": "object"},
        description=f"With the rest of the call at most {MAX_MESSAGE_BYTES // 1024} KiB of JSON.",
    ),
]
# Some libraries send numbers as they got them.
Id = str | int


class Message(msgspec.Struct, kw_only=True, rename="camel"):
    """One call of a Segment-spec library. Unknown fields are ignored."""

    type: (
        Annotated[
            str,
            msgspec.Meta(
                description="track, identify, page, screen, group or alias. Needed in a batch;"
                " elsewhere the route says it."
            ),
        ]
        | None
    ) = None
    message_id: EventId | None = None
    anonymous_id: Id | None = None
    user_id: Id | None = None
    previous_id: Id | None = None
    group_id: Id | None = None
    event: Annotated[str, msgspec.Meta(max_length=MAX_EVENT_NAME)] | None = None
    name: Annotated[str, msgspec.Meta(max_length=1024)] | None = None
    category: Annotated[str, msgspec.Meta(max_length=1024)] | None = None
    properties: Properties = msgspec.field(default_factory=no_properties)
    traits: Properties = msgspec.field(default_factory=no_properties)
    context: Annotated[
        msgspec.Raw,
        msgspec.Meta(
            extra_json_schema={"type": "object"},
            description="The parts that are used: page, campaign, userAgent, ip, locale, "
            "timezone, traits and groupId.",
        ),
    ] = msgspec.field(default_factory=no_properties)
    timestamp: Timestamp | None = None
    original_timestamp: Timestamp | None = None
    sent_at: Timestamp | None = None
    write_key: (
        Annotated[str, msgspec.Meta(description="The key, where no header carries it.")] | None
    ) = None


class Messages(msgspec.Struct, kw_only=True, rename="camel"):
    """A batch of calls of a Segment-spec library: what is good of it is stored, and the rest named
    in the answer."""

    batch: Annotated[
        list[msgspec.Raw],
        msgspec.Meta(
            min_length=1,
            max_length=MAX_BATCH_MESSAGES,
            extra_json_schema={"items": {"$ref": "#/components/schemas/Message"}},
        ),
    ]
    sent_at: Timestamp | None = None
    write_key: str | None = None
    context: msgspec.Raw = msgspec.field(default_factory=no_properties)
