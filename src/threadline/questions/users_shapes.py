"""What `GET /v1/users` is asked with, and what it answers."""

from collections.abc import Generator
from typing import Annotated, Literal

import msgspec

from threadline.questions import amounts
from threadline.questions.answers import Touch
from threadline.questions.cursors import CursorText
from threadline.questions.filters import Filtered
from threadline.questions.named_events import event_text
from threadline.questions.parameters import MAX_LIMIT
from threadline.questions.warned import Warned

# Columns that this question has itself; others are dimensions of people.
OF_CONVERSION = ("converted_at", "seconds_to_conversion", "value")
COLUMNS = (
    *("user_id", "known_since", "first_seen", "last_seen", "first_touch", "devices"),
    *OF_CONVERSION,
)
DEFAULT = "-known_since"
DEFAULT_LIMIT = 100


class UsersParams(Filtered, kw_only=True):
    """`from` and `to` speak of the first touch, and so do source, medium and campaign."""

    search: (
        Annotated[
            str,
            msgspec.Meta(
                min_length=1,
                max_length=200,
                description="Users with this text in their id, e-mail or any other trait; case "
                "does not matter.",
            ),
        ]
        | None
    ) = None
    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    conversion: Annotated[str, event_text("Adds converted_at to each user.")] | None = None
    value_property: (
        Annotated[
            str,
            msgspec.Meta(
                min_length=1,
                description="A number in the properties of `conversion`; adds its sum as value.",
            ),
        ]
        | None
    ) = None
    currency_property: amounts.CurrencyProperty | None = None
    currency: amounts.Currency | None = None
    order: Annotated[
        Literal[
            "-known_since",
            "known_since",
            "-first_seen",
            "first_seen",
            "-last_seen",
            "last_seen",
            "-value",
            "value",
        ],
        msgspec.Meta(description="With `-`, the latest or greatest come first."),
    ] = "-known_since"
    columns: Annotated[
        str,
        msgspec.Meta(
            description=f"What to show for each user, separated by commas: {', '.join(COLUMNS)}, "
            "first.source "
            "and the like, last.source and the like, traits.KEY.",
            extra_json_schema={"type": "array", "items": {"type": "string"}},
        ),
    ] = ""
    limit: (
        Annotated[
            int,
            msgspec.Meta(
                ge=1,
                le=MAX_LIMIT,
                description="Rows in one answer. Default: 100; of ndjson and csv all.",
            ),
        ]
        | None
    ) = None
    cursor: CursorText | None = None
    format: Annotated[
        Literal["json", "ndjson", "csv"],
        msgspec.Meta(
            description="For ndjson and csv the cursor is in the header `Threadline-Next-Cursor`."
        ),
    ] = "json"


class User(msgspec.Struct, omit_defaults=True):
    """`converted_at` and `seconds_to_conversion` appear when `conversion` is asked for, `value`
    with `value_property`, `last_seen` with the order of that name. With `columns` a user has
    exactly those."""

    user_id: str
    known_since: str
    first_touch: Touch
    devices: Annotated[int, msgspec.Meta(description="Devices the user was seen on.")]
    converted_at: str | msgspec.UnsetType | None = msgspec.UNSET
    seconds_to_conversion: float | msgspec.UnsetType | None = msgspec.UNSET
    value: amounts.Value | msgspec.UnsetType = msgspec.UNSET
    last_seen: str | msgspec.UnsetType | None = msgspec.UNSET


class OfColumns(msgspec.Struct):
    """A user of whom the columns were chosen."""


class Users(Warned):
    """In the order that was asked for; else those known last come first."""

    rows: list[User]
    next_cursor: str | None
    shared_devices: list[str]
    stitch: str


class Everybody(Warned, kw_only=True):
    """All users, some at a time: the first of them, and the others, to be closed by who has it.
    `warnings`: of the first."""

    first: list[User]
    others: Generator[list[User]]
