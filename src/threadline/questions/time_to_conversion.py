"""`GET /v1/time-to-conversion`: how long from the first touch until people do the thing."""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from threadline.identity.compose import fill, where
from threadline.identity.person import Person, ask_of
from threadline.identity.resolution import TOUCH
from threadline.questions.answers import (
    MAX_SHARED_DEVICES,
    SHARED_DEVICES,
    Compared,
    grouped_rows,
)
from threadline.questions.compare import compared
from threadline.questions.compared_rows import ComparedRows
from threadline.questions.context import Context
from threadline.questions.filters import Filtered, refused
from threadline.questions.named_events import EventText, read_event
from threadline.questions.parameters import CompareText, any_dimension, between
from threadline.questions.per_account import Per
from threadline.questions.scoped import join_facts, person_sql, read_dimensions
from threadline.questions.traffic_sources import GROUPS, NAMED_SOURCES
from threadline.questions.warned import AnswerWarning, Limited, cut_off, noted, unknown_events
from threadline.store import Query, Row

MAX_LIMIT = 1000


class TimeToConversionParams(Filtered, kw_only=True):
    """`from` and `to` speak of the time of conversion."""

    conversion: EventText
    user_id: Annotated[str, msgspec.Meta(description="Only this user; adds `seconds`.")] | None = (
        None
    )
    group_by: Annotated[
        str, any_dimension(*GROUPS, of="Of the first touch, or of the person: ")
    ] = ""
    compare: CompareText | None = None
    limit: (
        Annotated[
            int,
            msgspec.Meta(
                ge=1,
                le=MAX_LIMIT,
                description="At most this many groups, those with the most persons. Default: all.",
            ),
        ]
        | None
    ) = None
    per: Per = "person"


class Bucket(msgspec.Struct):
    """People who took at least `from_seconds` and less than `to_seconds` (null: no end)."""

    from_seconds: int
    to_seconds: int | None
    persons: int


class TimeToConversionRow(Compared, kw_only=True):
    """Percentiles interpolate between the two nearest values (R's type 7). Of nobody's times, as
    `compare` may have them, there are none: they are null."""

    persons: int
    mean_seconds: float | None
    p25: float | None
    p50: float | None
    p75: float | None
    p90: float | None
    p99: float | None
    histogram: list[Bucket]


class OtherGroups(msgspec.Struct):
    """The people of groups that `limit` left out."""

    persons: int


class TimeToConversion(Limited, omit_defaults=True, kw_only=True):
    """Rows: the group's columns, persons, mean_seconds, p25 to p99 and a histogram; most persons
    first. Percentiles interpolate between the two nearest values (R's type 7)."""

    conversion: str
    stitch: str
    rows: list[TimeToConversionRow]
    shared_devices: list[str]
    seconds: float | msgspec.UnsetType | None = msgspec.UNSET
    other: OtherGroups | msgspec.UnsetType = msgspec.UNSET


MINUTE, HOUR, DAY = 60, 3600, 86_400
BOUNDS = [
    *(0, MINUTE, 10 * MINUTE, HOUR, 6 * HOUR),
    *(DAY, 2 * DAY, 3 * DAY, 5 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 60 * DAY, 90 * DAY),
]

# Everybody's first touch and conversion. Where each event has one owner, that can be a number.
EVERYBODYS = """
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        e.user_id AS user_id
    FROM counted_events AS e
    $conversions
), conversions AS (
    SELECT $owner AS owner, min(timestamp) AS converted_at
    FROM $owned
    GROUP BY $owner
), pairs AS (
    SELECT t.touched_at AS touched_at, t.traffic_source AS traffic_source,
        c.converted_at AS converted_at$person
    FROM conversions AS c
    INNER JOIN (
        SELECT $toucher AS owner,
            first_touch.timestamp AS touched_at, first_touch.traffic_source AS traffic_source
        FROM $touches
    ) AS t ON t.owner = c.owner
"""
BY_PERSON = {
    "owner": "person",
    "owned": "person_events",
    "toucher": "sipHash64('user', user_id)",
    "as_person": "c.owner",
    "touches": "first_touches",
}
BY_ACCOUNT = {**BY_PERSON, "toucher": "person", "touches": "first_events"}
BY_USER = {
    "owner": "owner",
    "owned": "owned_events",
    "toucher": "user_id",
    "as_person": "sipHash64('user', c.owner)",
    "touches": "first_touches",
}

ONE_USERS = f"""
WITH pairs AS (
    SELECT min({TOUCH}) AS first_touch, first_touch.timestamp AS touched_at,
        first_touch.traffic_source AS traffic_source,
        minIf(e.timestamp, $converting) AS converted_at
    FROM owned_events AS e
    HAVING countIf($converting) > 0
"""

SQL = """
), times AS (
    SELECT *, greatest(0, dateDiff('millisecond', touched_at, converted_at)) / 1000 AS seconds
    FROM pairs
)
SELECT $groups
    count() AS persons,
    round(avg(seconds), 6) AS mean_seconds,
    quantilesExactInclusive(0.25, 0.5, 0.75, 0.9, 0.99)(seconds) AS quantiles,
    sumMap(map(roundDown(toUInt64(seconds), $bounds), 1)) AS histogram
FROM times AS t
$names
$where
$group_by
ORDER BY persons DESC, $order"""


TIMES = ("mean_seconds", "p25", "p50", "p75", "p90", "p99")


def _nothing(context: Context, params: TimeToConversionParams, row: Row) -> Row:
    return {"persons": 0, **dict.fromkeys(TIMES), "histogram": []}


@compared(
    ComparedRows(TimeToConversionRow, ("persons", *TIMES), also=("histogram",), nothing=_nothing),
    most=MAX_LIMIT,
)
def ask(context: Context, params: TimeToConversionParams) -> TimeToConversion:
    """Seconds from each user's first touch to the first owned event named `conversion`.

    Only users who converted count. Raises `InvalidGroupBy`.
    """
    groups = read_dimensions(params.group_by, GROUPS, ("person",))
    titles = {f"group_{nth}": name for nth, name in enumerate(groups, 1) if name not in GROUPS}
    if params.user_id is not None and titles:
        names = ", ".join(GROUPS)
        raise refused("group_by", f"of one user it takes {names}; leave out user_id, or the others")
    if params.user_id is not None and params.per == "account":
        raise refused("per", "one user is a person; leave out user_id, or per=account")
    if params.user_id is not None and params.filters:
        raise refused("filters", "they say whom to look at; leave out user_id, or them")
    values: dict[str, object] = {}
    conversion = read_event(context, params.conversion, "conversion", values)
    slots = _slots(context, groups, titles, between(params, values, "converted_at"))
    slots["converting"] = conversion.condition
    slots["conversions"] = where([conversion.condition, *context.narrowing.events])
    asked = _of_everybody if params.user_id is None else _of_user
    found, shared = asked(context, params, values, slots)
    rows = [_row(row, _columns(groups, titles)) for row in found[: params.limit]]
    answer = TimeToConversion(
        conversion=params.conversion,
        stitch=context.resolution.policy,
        rows=grouped_rows(TimeToConversionRow, rows, titles),
        shared_devices=shared,
    )
    if params.user_id is not None:
        answer.seconds = answer.rows[0].mean_seconds if rows else None
    warnings = []
    if len(rows) < len(found):
        answer.truncated = True
        answer.other = OtherGroups(sum(row["persons"] for row in found[len(rows) :]))
        warnings.append(cut_off(len(rows), MAX_LIMIT))
    if not rows:
        warnings += unknown_events(context, {"conversion": [conversion.event]})
    if params.user_id is None and len(shared) == MAX_SHARED_DEVICES:
        message = f"At most {MAX_SHARED_DEVICES} shared devices are named here; see "
        message += "/v1/identity/shared-devices."
        warnings.append(AnswerWarning("truncated", None, message))
    answer.warnings = noted(warnings)
    return answer


def _columns(groups: list[str], titles: Mapping[str, str]) -> list[str]:
    """What the groups are called in SQL."""
    aliases = {group: name for name, group in titles.items()}
    return [aliases.get(group, group) for group in groups]


def _slots(
    context: Context, groups: list[str], titles: Mapping[str, str], conditions: list[str]
) -> dict[str, object]:
    of_persons = {name: person_sql(group, context.facts) for name, group in titles.items()}
    columns = {name: f"n.{name}" for name in _columns(groups, titles)}
    columns |= {name: sql for name, (_, sql) in of_persons.items()}
    joins = ["LEFT ANY JOIN named_sources AS n ON n.traffic_source = t.traffic_source"]
    if not set(groups) & set(GROUPS):
        joins = []
    joins += join_facts([*dict.fromkeys(relation for relation, _ in of_persons.values())], "t")
    return {
        "groups": "".join(f"{sql} AS {name}, " for name, sql in columns.items()),
        "bounds": BOUNDS,
        "names": "\n".join(joins),
        "where": where(conditions),
        "group_by": f"GROUP BY {', '.join(columns)}" if groups else "HAVING persons > 0",
        "order": ", ".join(columns) or "1",
        "is_of_persons": bool(of_persons),
    }


def _of_everybody(
    context: Context,
    params: TimeToConversionParams,
    values: dict[str, object],
    slots: dict[str, object],
) -> tuple[list[Row], list[str]]:
    owners = BY_USER if context.resolution.policy == "any" else BY_PERSON
    if context.per_account:
        owners = BY_ACCOUNT
    person = f", {owners['as_person']} AS person" if slots["is_of_persons"] else ""
    found, several = context.reading.query_all(
        context.query(EVERYBODYS + SQL.lstrip(), values, {**slots, **owners, "person": person}),
        context.query(SHARED_DEVICES, values, {"limit": f"LIMIT {MAX_SHARED_DEVICES}"}),
    )
    return found, [row["anonymous_id"] for row in several]


def _of_user(
    context: Context,
    params: TimeToConversionParams,
    values: dict[str, object],
    slots: dict[str, object],
) -> tuple[list[Row], list[str]]:
    def queries(person: Person) -> list[Query]:
        return [(fill(ONE_USERS + SQL.lstrip(), slots), values)]

    assert params.user_id is not None
    person, (found,) = ask_of(
        context.reading, context.resolution, params.user_id, queries, NAMED_SOURCES
    )
    return found, person.shared_devices


def _row(row: Row, groups: list[str]) -> Row:
    percentiles = dict(zip(("p25", "p50", "p75", "p90", "p99"), row["quantiles"], strict=True))
    ends = [*BOUNDS[1:], None]
    return {
        **{group: row[group] for group in groups},
        "persons": row["persons"],
        "mean_seconds": row["mean_seconds"],
        **percentiles,
        "histogram": [
            Bucket(start, end, int(row["histogram"].get(start, 0)))
            for start, end in zip(BOUNDS, ends, strict=True)
        ],
    }
