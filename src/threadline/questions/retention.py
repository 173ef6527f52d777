"""`GET /v1/retention`: of those who began together, how many came back, and when?"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec

from threadline.contract.times import EPOCH, ONE_MS, as_utc, format_utc
from threadline.identity.activity import active
from threadline.identity.compose import where
from threadline.questions.context import Context
from threadline.questions.filters import Filtered
from threadline.questions.parameters import EventName, between
from threadline.questions.per_account import Per
from threadline.questions.series import bucket, differ
from threadline.questions.warned import Warned, noted, unknown_events


class RetentionParams(Filtered, kw_only=True):
    """`from` and `to` choose cohorts by when people began."""

    interval: Annotated[
        Literal["day", "week", "month"], msgspec.Meta(description="Weeks begin on Monday.")
    ] = "week"
    cohort: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=128,
            description="When people begin: `first_seen`, `known` (their first event with a user "
            "id), or the name of an event.",
        ),
    ] = "first_seen"
    event: (
        Annotated[
            EventName, msgspec.Meta(description="What counts as coming back. Default: any event.")
        ]
        | None
    ) = None
    periods: Annotated[
        int, msgspec.Meta(ge=1, le=60, description="Intervals to follow each cohort.")
    ] = 8
    per: Per = "person"


class Cohort(msgspec.Struct):
    """`retained[k]`: persons with such an event in the k-th interval after the one they began in;
    k = 0 is that interval itself. It ends with the interval that is now, or was at `as_of`."""

    cohort: str
    persons: int
    retained: list[int]


class Retention(Warned):
    """Cohorts from the earliest on. A person is in exactly one."""

    stitch: str
    interval: str
    rows: list[Cohort]


# What people may begin with, other than an event of some name.
BEGINS = {"first_seen": "TRUE", "known": "known"}

# What is looked at where events of a name matter; else half hours tell as much, see
# `identity/activity`.
EVENTS = """
SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
    e.user_hash != 0 AS known, e.event_name AS event_name
FROM counted_events AS e"""

SQL = """
WITH considered AS (
    $considered
), people AS (
    SELECT person, minIf(timestamp, $begins) AS began, countIf($begins) > 0 AS has_begun,
        groupUniqArrayIf($period, $returns) AS active
    FROM person_events
    GROUP BY person
), cohorts AS (
    SELECT $began_in AS cohort,
        arrayDistinct(arrayMap(
            at -> dateDiff({interval:String}, cohort, at, {tz:String}), active
        )) AS periods
    FROM people
    $where
)
SELECT cohort, count() AS persons,
    sumForEach(arrayMap(k -> toUInt64(has(periods, k)), range({periods:UInt16}))) AS retained
FROM cohorts
GROUP BY cohort
ORDER BY cohort"""


# The number of whole intervals from one's first day to any day.
BETWEEN: dict[str, Callable[[date, date], int]] = {
    "day": lambda first, day: (day - first).days,
    "week": lambda first, day: (day - first).days // 7,
    "month": lambda first, day: (day.year - first.year) * 12 + day.month - first.month,
}


def ask(context: Context, params: RetentionParams) -> Retention:
    """Calendar cohorts: who began in an interval, and of them who came back in each later one."""
    values: dict[str, object] = {
        "tz": params.tz,
        "interval": params.interval,
        "periods": params.periods,
        "cohort": params.cohort,
        "event": params.event,
    }
    # Everybody was first seen sometime; all else may never have happened.
    conditions = [] if params.cohort == "first_seen" else ["has_begun"]
    conditions += between(params, values, "began")
    considered = EVENTS
    if params.cohort in BEGINS and params.event is None:
        changes = [differ(params.interval)]
        considered = active(context.resolution, values, changes, everything=True)
    slots = {
        "considered": considered.strip(),
        "begins": BEGINS.get(params.cohort, "event_name = {cohort:String}"),
        "period": bucket(params.interval, "timestamp"),
        "returns": "TRUE" if params.event is None else "event_name = {event:String}",
        "began_in": bucket(params.interval, "began"),
        "where": where(conditions),
    }
    found = context.ask(SQL, values, slots)
    rows = [
        Cohort(
            format_utc(row["cohort"]),
            row["persons"],
            # What has not been yet is not shown as nobody.
            row["retained"][: _begun(params, as_utc(row["cohort"]))],
        )
        for row in found
    ]
    asked: dict[str, list[str | None]] = {}
    if not rows and params.cohort not in BEGINS:
        asked["cohort"] = [params.cohort]
    if not any(sum(row.retained) for row in rows):
        asked["event"] = [params.event]
    unknown = unknown_events(context, asked)
    return Retention(context.resolution.policy, params.interval, rows, warnings=noted(unknown))


def _begun(params: RetentionParams, cohort: datetime) -> int:
    """How many intervals from this one on have begun by now, or by `as_of`; at least itself."""
    zone = ZoneInfo(params.tz)
    now = EPOCH + params.as_of.ms * ONE_MS if params.as_of else datetime.now(UTC)
    first, last = cohort.astimezone(zone).date(), now.astimezone(zone).date()
    return max(1, 1 + BETWEEN[params.interval](first, last))
