"""`GET /v1/time-to-conversion`: how long from the first touch until people do the thing."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from threadline.identity.person import Person, ask_of, events_of
from threadline.identity.resolution import TOUCH, conditions
from threadline.identity.stitch import (
    EVERYONE,
    conversions,
    first_touches,
    persons_conversions,
)
from threadline.questions import places
from threadline.questions.answers import (
    MAX_SHARED_DEVICES,
    EventName,
    Ranged,
    absent_is_null,
    between,
    grouping,
    read_groups,
    shared_among,
)
from threadline.questions.context import Context
from threadline.questions.warned import AnswerWarning, Warned, noted, unknown_events
from threadline.store import Query, Row

GROUPS = ("source", "medium", "campaign")


class TimeToConversionParams(Ranged, kw_only=True):
    """`from` and `to` speak of the moment of conversion."""

    conversion: EventName
    user_id: Annotated[str, msgspec.Meta(description="Only this user; adds `seconds`.")] | None = (
        None
    )
    group_by: Annotated[str, grouping(*GROUPS, of="Of the first touch: ")] = ""


class Bucket(msgspec.Struct):
    """People who took at least `from_seconds` and less than `to_seconds` (null: no end)."""

    from_seconds: int
    to_seconds: int | None
    persons: int


class TimeToConversion(Warned, omit_defaults=True):
    """Rows: the group's columns, persons, mean_seconds, p25 to p99 and a histogram; most persons
    first. Percentiles interpolate between the two nearest values (R's type 7)."""

    conversion: str
    stitch: str
    rows: list[dict[str, Any]]
    shared_devices: list[str]
    seconds: float | msgspec.UnsetType | None = msgspec.UNSET


MINUTE, HOUR, DAY = 60, 3600, 86_400
BOUNDS = [
    *(0, MINUTE, 10 * MINUTE, HOUR, 6 * HOUR),
    *(DAY, 2 * DAY, 3 * DAY, 5 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 60 * DAY, 90 * DAY),
]

EVERYBODYS = """
            SELECT t.touched_at AS touched_at, t.place AS place, c.converted_at AS converted_at
            FROM ({conversions}) AS c
            INNER JOIN (
                SELECT user_id, sipHash64('user', user_id) AS person,
                    first_touch.timestamp AS touched_at, first_touch.place AS place
                FROM ({touches})
            ) AS t ON t.{owner} = c.{owner}"""

ONE_USERS = """
            SELECT min(touch) AS first_touch, first_touch.timestamp AS touched_at,
                first_touch.place AS place,
                minIf(timestamp, event_name = {{conversion:String}}) AS converted_at
            FROM ({events})
            HAVING countIf(event_name = {{conversion:String}}) > 0"""

SQL = """
    SELECT {groups}
        count() AS persons,
        avg(seconds) AS mean_seconds,
        quantilesExactInclusive(0.25, 0.5, 0.75, 0.9, 0.99)(seconds) AS quantiles,
        sumMap(map(roundDown(toUInt64(seconds), {bounds}), 1)) AS histogram
    FROM (
        SELECT *, dateDiff('millisecond', touched_at, converted_at) / 1000 AS seconds
        FROM ({pairs})
    ) AS p
    {names}
    WHERE {where}
    {group_by}
    ORDER BY persons DESC, {order}"""


def ask(context: Context, params: TimeToConversionParams) -> TimeToConversion:
    """Seconds from each user's first touch to the first owned event named `conversion`.

    Only users who converted count. Raises `InvalidGroupBy`.
    """
    reading, resolution = context.reading, context.resolution
    groups = read_groups(params.group_by, GROUPS)
    bound: dict[str, object] = {"conversion": params.conversion}
    where = conditions(between(params, bound, "converted_at"))

    def query(pairs: str, values: Mapping[str, object]) -> Query:
        sql = SQL.format(
            groups="".join(f"names.{group} AS {group}, " for group in groups),
            bounds=BOUNDS,
            pairs=pairs,
            names=places.named("p.place") if groups else "",
            where=where,
            group_by=f"GROUP BY {', '.join(groups)}" if groups else "HAVING persons > 0",
            order=", ".join(groups) or "1",
        )
        return sql, {**values, **bound}

    def of_person(person: Person) -> list[Query]:
        events = events_of(person, f"e.event_name, e.timestamp, {TOUCH} AS touch")
        return [query(ONE_USERS.format(events=events), person.bound)]

    if params.user_id is None:
        parted = resolution.policy != "any"  # an event has one owner, which can be a number
        pairs = EVERYBODYS.format(
            conversions=persons_conversions(resolution)
            if parted
            else conversions(resolution, EVERYONE),
            touches=first_touches(resolution),
            owner="person" if parted else "user_id",
        )
        found, several = reading.query_all(
            query(pairs, resolution.params), (shared_among(resolution, EVERYONE), resolution.params)
        )
        shared = [row["anonymous_id"] for row in several]
    else:
        person, (found,) = ask_of(reading, resolution, params.user_id, of_person)
        shared = person.shared_devices
    rows = [_row(row, groups) for row in found]
    answer = TimeToConversion(params.conversion, resolution.policy, rows, shared)
    if params.user_id is not None:
        answer.seconds = rows[0]["mean_seconds"] if rows else None  # type: ignore[assignment]
    warnings = []
    if not rows:
        asked = {**resolution.params, **bound}
        warnings += unknown_events(reading, asked, {"conversion": [params.conversion]})
    if params.user_id is None and len(shared) == MAX_SHARED_DEVICES:
        message = f"At most {MAX_SHARED_DEVICES} shared devices are named here; see "
        message += "/v1/identity/shared-devices."
        warnings.append(AnswerWarning("truncated", None, message))
    answer.warnings = noted(warnings)
    return answer


def _row(row: Row, groups: list[str]) -> dict[str, object]:
    percentiles = dict(zip(("p25", "p50", "p75", "p90", "p99"), row["quantiles"], strict=True))
    ends = [*BOUNDS[1:], None]
    return {
        **absent_is_null({group: row[group] for group in groups}),
        "persons": row["persons"],
        "mean_seconds": row["mean_seconds"],
        **percentiles,
        "histogram": [
            Bucket(start, end, int(row["histogram"].get(start, 0)))
            for start, end in zip(BOUNDS, ends, strict=True)
        ],
    }
