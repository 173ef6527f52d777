"""Persons by where their visits came from, read off the visits themselves, each of which is one or
two rows, where the half hours that it is made of would each have to find theirs.

Whoever has a visit that reaches into an interval did something in it: a visit begins and ends with
an event, and pauses for less time than the shortest interval takes. That is so as long as intervals
are whole: `from` and `to` have to lie where one begins or, without intervals, a day apart.
"""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from threadline.identity.compose import fill, where
from threadline.identity.resolution import FROM, HALF_HOUR, TO, in_range
from threadline.questions.context import Context
from threadline.questions.intervals import Kind, bucket, differ, start
from threadline.questions.scoped import JOINS, Scoped, join_facts
from threadline.questions.stats_shapes import StatsParams
from threadline.store import Params
from threadline.store.states import OFF_PAGE

DAY_MS = 86_400_000
# A visit pauses for no longer; days are 23 hours long where clocks are put forward.
LONGEST_PAUSE_MS = DAY_MS // 2

RELATION = "in_visits"
# What happens on no page is in no visit, and keeps its own source.
OFF_PAGES = f"""
SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
    e.traffic_source AS traffic_source
FROM counted_events AS e
WHERE {OFF_PAGE}
    AND {HALF_HOUR} IN (SELECT visitor, half_hour FROM stretches WHERE page = 0)
    $within"""
IN_VISITS = """
SELECT person, traffic_source, $at AS timestamp$also
FROM (
    SELECT v.person AS person, v.arrival.2 AS traffic_source$also,
        fromUnixTimestamp64Milli($started, 'UTC') AS began,
        fromUnixTimestamp64Milli($ended, 'UTC') AS ended
    FROM visits AS v
    $overlapping
)
UNION ALL
SELECT person, traffic_source, timestamp$also
FROM person_events"""
# In each interval from the first to the last that a visit reaches into at least one time.
TIMES = """arrayJoin(if(
        $differ,
        arrayPushBack(
            arrayMap(
                n -> began + toIntervalHour(12 * n),
                range(toUInt32(intDiv(dateDiff('hour', began, ended), 12) + 1))
            ),
            ended
        ),
        [began]
    ))"""
JOIN_NAMES = "LEFT ANY JOIN named_sources AS vn ON vn.traffic_source = p.traffic_source"


def visits_tell(context: Context, params: StatsParams, by: Scoped) -> bool:
    """Whether visits are all there is to look at, for persons that half hours tell all about."""
    of_sources = "visit" in by.scopes and not by.of_visits
    is_plain = not (context.per_account or context.narrowing.of_visits or context.as_of_ms)
    is_short = context.visit_timeout_ms <= LONGEST_PAUSE_MS
    return of_sources and is_plain and is_short and _is_whole(params)


def _is_whole(params: StatsParams) -> bool:
    bounds = [at.ms for at in (params.from_, params.to) if at is not None]
    if params.kind:
        kind: Kind = params.kind
        zone = ZoneInfo(params.tz)
        return all(start(kind, ms, zone) == ms for ms in bounds)
    return len(bounds) < 2 or bounds[1] - bounds[0] >= DAY_MS


def in_visits(
    params: StatsParams, by: Scoped, values: Params, also: Sequence[str]
) -> tuple[dict[str, object], Scoped]:
    """The slots of the statement, and the groups over what they name. `also`: columns
    that both visits and events have."""
    within = "".join(f"\n    AND {each}" for each in in_range("e.timestamp", values))
    started, ended, overlapping = "v.started", "v.ended", []
    if "from_" in values:
        started = f"greatest(v.started, {_ms(FROM)})"
        overlapping.append(f"v.ended >= {_ms(FROM)}")
    if "to" in values:
        ended = f"least(v.ended, {_ms(TO)} - 1)"
        overlapping.append(f"v.started < {_ms(TO)}")
    at = "began"
    if params.kind:
        at = fill(TIMES, {"differ": differ(params.kind)})
        by = by._replace(joined={**by.joined, "bucket": bucket(params.kind, "p.timestamp")})
    slots = {
        "also": "".join(f", {name}" for name in also),
        "at": at,
        "started": started,
        "ended": ended,
        "overlapping": where(overlapping),
    }
    seen = fill(IN_VISITS, slots).replace("\n", "\n    ")
    firsts = [JOINS["first"]] if "first" in by.scopes else []
    return {
        "considered": fill(OFF_PAGES, {"within": within.strip()}),
        "converting": f", {RELATION} AS (\n    {seen}\n)",
        "relation": RELATION,
        "joins": "\n".join([JOIN_NAMES, *firsts, *join_facts(by.relations, "p")]),
    }, by


def _ms(at: str) -> str:
    return f"toUnixTimestamp64Milli({at})"
