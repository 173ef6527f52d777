"""`GET /v1/users`: who they are and where they came from."""

from collections.abc import Generator
from contextlib import closing
from typing import Annotated, Literal, NamedTuple, cast

import msgspec

from threadline.contract.times import format_utc
from threadline.identity.compose import fill
from threadline.identity.stitch import OF_USERS, WHERE_USERS_LIE
from threadline.questions import amounts
from threadline.questions.amounts import Amounts, Doubts, Totals
from threadline.questions.answers import (
    FORGOTTEN,
    SHARED_DEVICES,
    Touch,
    of_columns,
    seconds_between,
    touch_row,
)
from threadline.questions.context import Context
from threadline.questions.cursors import (
    CursorText,
    read_cursor,
    read_number,
    write_cursor,
    write_number,
)
from threadline.questions.dimensions import (
    DID,
    DIMENSIONS,
    SEGMENT,
    TRAITS,
    nearest_dimension,
    scope_of,
)
from threadline.questions.filters import Filtered, plain, refused, split
from threadline.questions.named_events import (
    NamedEvent,
    amounts_of,
    event_text,
    read_event,
    several_currencies,
)
from threadline.questions.parameters import MAX_LIMIT
from threadline.questions.user_list import CONVERTING, DEVICE_COUNTS, TOUCH_DETAILS, UserList
from threadline.questions.warned import (
    AnswerWarning,
    Warned,
    noted,
    unknown_events,
    unknown_sources,
)
from threadline.store import Query, Row, bound_ms

# Columns that this question has itself; others are dimensions of people.
OF_CONVERSION = ("converted_at", "seconds_to_conversion", "value")
COLUMNS = (
    *("user_id", "known_since", "first_seen", "last_seen", "first_touch", "devices"),
    *OF_CONVERSION,
)
OF_PEOPLE = [name for name, each in DIMENSIONS.items() if each.scope == "person"]
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
                description="Users whose id, e-mail or any other trait has this text in it, in "
                "capitals or not.",
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
        msgspec.Meta(description="With `-` the latest, or the greatest, come first."),
    ] = "-known_since"
    columns: Annotated[
        str,
        msgspec.Meta(
            description=f"What to show of each user, by commas: {', '.join(COLUMNS)}, first.source "
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


FILTERS = {
    "from_": "t.first_touch.timestamp >= {from_:DateTime64(3, 'UTC')}",
    "to": "t.first_touch.timestamp < {to:DateTime64(3, 'UTC')}",
    "source": "n.source = {source:String}",
    "medium": "n.medium = {medium:String}",
    "campaign": "n.campaign = {campaign:String}",
}
BEHIND_CURSOR = (
    "(known_since < {cursor_at:DateTime64(3, 'UTC')}"
    " OR (known_since = {cursor_at:DateTime64(3, 'UTC')} AND user_id > {cursor_id:String}))"
)

CONVERSIONS = """
WITH considered AS (
    $converting
)
SELECT owner AS user_id, min(timestamp) AS converted_at
FROM owned_events
WHERE owner IN {user_ids:Array(String)}
GROUP BY owner"""


class Asked(NamedTuple):
    """What was asked, as it was understood. `question`: for its cursors. `warnings`: what comes up
    on the way."""

    values: dict[str, object]
    columns: list[str]
    converting: NamedEvent | None
    paid: Amounts | None
    order: str
    question: str
    warnings: list[AnswerWarning]

    @property
    def facts(self) -> list[str]:
        """Columns that are known of people, like first.source."""
        return [name for name in self.columns if name not in COLUMNS]


def ask(context: Context, params: UsersParams) -> Users:
    """Users who pass the filters, each with the first touch. Raises `InvalidParams`, also for a
    cursor of another question."""
    asked, limit = _read(context, params), params.limit or DEFAULT_LIMIT
    query = _list(context, params, asked, limit + 1).query(
        context, params.order, asked.paid, limit + 1, params.cursor is not None
    )
    rows = context.reading.query(*query)
    page, more = rows[:limit], len(rows) > limit
    users, shared, has_converted = _shown(context, params, asked, page)
    unknown = _unknown(context, params, asked, bool(page), has_converted)
    cursor = None
    if more and params.order == DEFAULT:
        cursor = write_cursor(asked.question, page[-1], "known_since", "user_id")
    elif more:
        cursor = write_number(asked.question, page[-1]["order_number"], page[-1]["user_id"])
    return Users(
        users,
        cursor,
        shared,
        context.resolution.policy,
        warnings=noted([*unknown, *asked.warnings]),
    )


def everybody(context: Context, params: UsersParams) -> Everybody:
    """All of them by one statement: what a page looks up for its users is joined for everybody.
    Raises as `ask`."""
    asked = _read(context, params)
    found = _list(context, params, asked, None)
    found.details(context, asked.converting and asked.converting.condition)
    behind = params.cursor is not None
    query = found.query(context, params.order, asked.paid, None, behind)

    def batches() -> Generator[list[User]]:
        with closing(context.reading.stream(*query)) as blocks:
            if asked.paid and not asked.paid.currency:
                # How sums are shown follows from which currencies any of them has.
                yield _users(params, asked, [row for rows in blocks for row in rows])
                return
            for rows in blocks:
                yield _users(params, asked, rows)

    others = batches()
    first = next(others, [])
    # That a name never came is so for all, should the first of them not be enough to tell.
    unknown = _unknown(context, params, asked, bool(first), is_told=False)
    return Everybody(first=first, others=others, warnings=noted([*unknown, *asked.warnings]))


def _unknown(
    context: Context, params: UsersParams, asked: Asked, is_anybody: bool, is_told: bool
) -> list[AnswerWarning]:
    """Names that never came. `is_told`: somebody converted, so the conversion's came."""
    unknown = []
    if asked.converting and not is_told:
        unknown = unknown_events(context, {"conversion": [asked.converting.event]})
    if not is_anybody:
        named = {name: getattr(params, name) for name in ("source", "medium", "campaign")}
        unknown += unknown_sources(context, named)
    return unknown


def _read(context: Context, params: UsersParams) -> Asked:
    """Raises `InvalidParams`."""
    values: dict[str, object] = {}
    converting = None
    if params.conversion is not None:
        converting = read_event(context, params.conversion, "conversion", values)
    paid = amounts_of(converting, params, "conversion and value_property")
    columns = _columns(params, converting, paid)
    if params.order.endswith("value") and paid is None:
        raise refused("order", "the order by value goes with conversion and value_property")
    # The cursor of the default order holds for other filters, too.
    question = f"users {context.project_id}"
    if params.order != DEFAULT:
        worth = (params.conversion, paid) if params.order.endswith("value") else ()
        question = f"{question} {params.order} {worth}"
    return Asked(values, columns, converting, paid, params.order, question, [])


def _columns(params: UsersParams, converting: NamedEvent | None, paid: Amounts | None) -> list[str]:
    if not params.columns.strip():
        return [
            *("user_id", "known_since", "first_touch", "devices"),
            *(("converted_at", "seconds_to_conversion") if converting else ()),
            *(("value",) if paid else ()),
            *(("last_seen",) if params.order.endswith("last_seen") else ()),
        ]
    chosen = list(dict.fromkeys(plain(part) for part in split(params.columns, ",") if part.strip()))
    for name in chosen:
        is_fact = scope_of(name) == "person" and name not in (DID, SEGMENT)
        if name not in COLUMNS and not is_fact:
            known = [*dict.fromkeys([*COLUMNS, *OF_PEOPLE]), f"{TRAITS}KEY"]
            near = nearest_dimension(name, known)
            hint = f"did you mean {near}? There" if near else "there"
            raise refused("columns", f"there is no column {name!r}; {hint} are {', '.join(known)}")
        if name in OF_CONVERSION and converting is None:
            raise refused("columns", f"{name} goes with conversion; add that")
        if name == "value" and paid is None:
            raise refused("columns", "value goes with value_property; add that")
    return chosen


def _list(context: Context, params: UsersParams, asked: Asked, most: int | None) -> UserList:
    """`most`: rows that are wanted of it; None: all."""
    found = UserList(values=asked.values)
    narrowed = [name for name in FILTERS if getattr(params, name) is not None]
    for name, condition in FILTERS.items():
        if (value := getattr(params, name)) is not None:
            found.values[name] = bound_ms(value.ms) if name in ("from_", "to") else value
            found.conditions.append(condition)
    if "last_seen" in asked.columns or params.order.endswith("last_seen"):
        found.last_seen(context)
    if asked.paid and asked.converting:
        found.value(context, asked.paid, asked.converting.condition)
    if asked.facts:
        found.facts(context, asked.facts)
    if params.cursor is not None and params.order == DEFAULT:
        found.values |= read_cursor(asked.question, params.cursor)
        found.conditions.append(BEHIND_CURSOR)
    elif params.cursor is not None:
        found.values |= read_number(asked.question, params.cursor)
    if params.search is not None:
        # What else is asked, such as where they came from, is not known of those who are found.
        is_all = params.order == DEFAULT and not params.filters and not narrowed
        found.search(context, params.search, most if is_all else None, found.conditions.copy())
    return found


def _shown(
    context: Context, params: UsersParams, asked: Asked, page: list[Row]
) -> tuple[list[User], list[str], bool]:
    """The users of a page, the shared devices among theirs, and whether anybody converted."""
    if not page:
        return [], [], False
    details, counted, shared, *converted = context.reading.query_all(*_about(context, asked, page))
    detail_of = {row["event_id"]: row for row in details}
    devices_of = {row["user_id"]: row["devices"] for row in counted}
    converted_at = {row["user_id"]: row["converted_at"] for found in converted for row in found}
    for row in page:
        row |= detail_of.get(row["first_touch"]["event_id"], {})
        row["devices"] = devices_of.get(row["user_id"], 0)
        row["converted_at"] = converted_at.get(row["user_id"])
    users = _users(params, asked, page)
    return users, [row["anonymous_id"] for row in shared], bool(converted_at)


def _users(params: UsersParams, asked: Asked, found: list[Row]) -> list[User]:
    """Rows as they go out."""
    if asked.paid:
        _add_values(asked, found)
    rows = []
    for row in found:
        touch, at = row["first_touch"], row.get("converted_at")
        every = {
            **{name: _fact(row[f"fact_{n}"]) for n, name in enumerate(asked.facts, start=1)},
            "user_id": row["user_id"],
            "known_since": format_utc(row["known_since"]),
            "first_seen": format_utc(touch["timestamp"]),
            "first_touch": touch_row({**FORGOTTEN, **row, **touch}),
            "devices": row["devices"],
            "converted_at": at and format_utc(at),
            # A server may have said so before the first page did.
            "seconds_to_conversion": at and max(0.0, seconds_between(touch["timestamp"], at)),
            "value": row.get("value"),
            "last_seen": format_utc(row["last_seen"]) if "last_seen" in row else None,
        }
        rows.append({name: every[name] for name in asked.columns})
    if params.columns.strip():
        return cast(list[User], of_columns(OfColumns, rows))
    return [User(**row) for row in rows]


def _fact(value: object) -> object:
    return None if value == "" else value


def _add_values(asked: Asked, page: list[Row]) -> None:
    """What each was worth, and what there is to say of that."""
    assert asked.paid
    doubts = Doubts.together([Doubts.of(row) for row in page])
    totals = [Totals.of(row) for row in page]
    for row, value in zip(page, amounts.as_values(asked.paid, totals), strict=True):
        row["value"] = value
    left = amounts.unconverted(asked.paid, totals)
    asked.warnings.extend(amounts.warnings(asked.paid, doubts, left))
    asked.warnings.extend(several_currencies(asked.order, asked.paid, totals))


def _about(context: Context, asked: Asked, page: list[Row]) -> list[Query]:
    """What there is to say of these users besides."""
    touches = [row["first_touch"] for row in page]
    values = {
        **asked.values,
        "user_ids": context.resolution.same_people([row["user_id"] for row in page]),
        "visitors": [touch["visitor"] for touch in touches],
        "event_ids": [touch["event_id"] for touch in touches],
    }
    queries = [
        context.query(TOUCH_DETAILS, values),
        context.query(DEVICE_COUNTS, values),
        context.query(SHARED_DEVICES, values, {"limit": ""}, near=f"r.{OF_USERS}"),
    ]
    if asked.converting:
        condition = f"{asked.converting.condition} AND e.{WHERE_USERS_LIE}"
        slots = {"converting": fill(CONVERTING, {"condition": condition})}
        queries.append(context.query(CONVERSIONS, values, slots, near=f"r.{OF_USERS}"))
    return queries
