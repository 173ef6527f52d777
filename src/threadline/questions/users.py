"""`GET /v1/users`: who they are and where they came from."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import cast

from threadline.contract.times import format_utc
from threadline.identity.compose import fill
from threadline.identity.stitch import OF_USERS, WHERE_USERS_LIE
from threadline.questions import amounts
from threadline.questions.amounts import Doubts, Totals
from threadline.questions.answers import (
    FORGOTTEN,
    SHARED_DEVICES,
    of_columns,
    seconds_between,
    touch_row,
)
from threadline.questions.context import Context
from threadline.questions.cursors import read_cursor, read_number, write_cursor, write_number
from threadline.questions.named_events import several_currencies
from threadline.questions.user_list import (
    CONVERTING,
    DEVICE_COUNTS,
    TOUCH_DETAILS,
    UserList,
    their_last_seen,
)
from threadline.questions.user_search import newest
from threadline.questions.users_asked import UsersRequest, read_asked
from threadline.questions.users_shapes import (
    DEFAULT,
    DEFAULT_LIMIT,
    Everybody,
    OfColumns,
    User,
    Users,
    UsersParams,
)
from threadline.questions.warned import AnswerWarning, noted, unknown_events, unknown_sources
from threadline.store import Query, Row, bound_ms

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


def ask(context: Context, params: UsersParams) -> Users:
    """Users who pass the filters, each with the first touch. Raises `InvalidParams`, also for a
    cursor of another question."""
    context, named = _named(context)
    asked, limit = read_asked(context, params), params.limit or DEFAULT_LIMIT
    query = _list(context, params, asked, named, limit + 1).query(
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
    context, named = _named(context)
    asked = read_asked(context, params)
    found = _list(context, params, asked, named, None)
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
    context: Context, params: UsersParams, asked: UsersRequest, is_anybody: bool, is_told: bool
) -> list[AnswerWarning]:
    """Names that never came. `is_told`: somebody converted, so the conversion's came."""
    unknown = []
    if asked.converting and not is_told:
        unknown = unknown_events(context, {"conversion": [asked.converting.event]})
    if not is_anybody:
        named = {name: getattr(params, name) for name in ("source", "medium", "campaign")}
        unknown += unknown_sources(context, named)
    return unknown


def _named(context: Context) -> tuple[Context, list[str] | None]:
    """Which users the filters name by id, if they do, and the context without that filter: of few
    users not everybody has to be looked at."""
    for condition in context.filters:
        is_named = condition.dimension == "user_id" and condition.operator == "=="
        if is_named and "" not in condition.values:
            others = [each for each in context.filters if each is not condition]
            left = replace(context, filters=others)
            persons = map(left.resolution.person, condition.values)
            return left, list(dict.fromkeys(persons))
    return context, None


def _list(
    context: Context,
    params: UsersParams,
    asked: UsersRequest,
    named: list[str] | None,
    most: int | None,
) -> UserList:
    """`named`: only these users. `most`: rows that are wanted of it; None: all."""
    found = UserList(values=asked.values)
    narrowed = [name for name in FILTERS if getattr(params, name) is not None]
    for name, condition in FILTERS.items():
        if (value := getattr(params, name)) is not None:
            found.values[name] = bound_ms(value.ms) if name in ("from_", "to") else value
            found.conditions.append(condition)
    if params.order.endswith("last_seen") or ("last_seen" in asked.columns and most is None):
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
    # What else is asked, such as where they came from, is not known of those who are found.
    is_all = params.order == DEFAULT and not params.filters and not narrowed
    if params.search is not None:
        found.search(context, params.search, most if is_all else None, found.conditions.copy())
    elif named is not None:
        found.only(context, named)
    elif is_all and most is not None and context.policy == "any":
        # What other policies need of everybody's first touches costs less than of a few people's.
        found.only(context, newest(context, most, found.conditions, found.values))
    return found


def _shown(
    context: Context, params: UsersParams, asked: UsersRequest, page: list[Row]
) -> tuple[list[User], list[str], bool]:
    """The users of a page, the shared devices among theirs, and whether anybody converted."""
    if not page:
        return [], [], False
    details, counted, shared, *others = context.reading.query_all(*_about(context, asked, page))
    converted = [others.pop(0)] if asked.converting else []
    seen_at = {row["user_id"]: row["last_seen"] for found in others for row in found}
    detail_of = {row["event_id"]: row for row in details}
    devices_of = {row["user_id"]: row["devices"] for row in counted}
    converted_at = {row["user_id"]: row["converted_at"] for found in converted for row in found}
    for row in page:
        row |= detail_of.get(row["first_touch"]["event_id"], {})
        row["devices"] = devices_of.get(row["user_id"], 0)
        row["converted_at"] = converted_at.get(row["user_id"])
        row.setdefault("last_seen", seen_at.get(row["user_id"]))
    users = _users(params, asked, page)
    return users, [row["anonymous_id"] for row in shared], bool(converted_at)


def _users(params: UsersParams, asked: UsersRequest, found: list[Row]) -> list[User]:
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
            "last_seen": format_utc(row["last_seen"]) if row.get("last_seen") else None,
        }
        rows.append({name: every[name] for name in asked.columns})
    if params.columns.strip():
        return cast(list[User], of_columns(OfColumns, rows))
    return [User(**row) for row in rows]


def _fact(value: object) -> object:
    return None if value == "" else value


def _add_values(asked: UsersRequest, page: list[Row]) -> None:
    """What each was worth, and what there is to say of that."""
    assert asked.paid
    doubts = Doubts.together([Doubts.of(row) for row in page])
    totals = [Totals.of(row) for row in page]
    for row, value in zip(page, amounts.as_values(asked.paid, totals), strict=True):
        row["value"] = value
    left = amounts.unconverted(asked.paid, totals)
    asked.warnings.extend(amounts.warnings(asked.paid, doubts, left))
    asked.warnings.extend(several_currencies(asked.order, asked.paid, totals))


def _about(context: Context, asked: UsersRequest, page: list[Row]) -> list[Query]:
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
    if "last_seen" in asked.columns and not asked.order.endswith("last_seen"):
        on_page = [row["user_id"] for row in page]
        queries.append(their_last_seen(context, {**values, "on_page": on_page}))
    return queries
