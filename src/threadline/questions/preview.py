"""`POST /v1/identity/preview`: what a decision about identity would change, before it is made."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from threadline.contract.times import format_utc
from threadline.identity.supposing import DECISIONS, Supposed
from threadline.questions.context import Context
from threadline.questions.named import goal_condition
from threadline.questions.parameters import Stitched
from threadline.questions.preview_rows import (
    NOBODY,
    FirstSource,
    PreviewedPerson,
    PreviewedSource,
    PreviewSide,
    summary,
)
from threadline.questions.warned import AnswerWarning, Warned, noted
from threadline.store import Row
from threadline.store.states import OFF_PAGE

# Whoever reads it sees the largest changes first, and looks at no more of them.
MOST_PERSONS = 100


class PreviewParams(Stitched, kw_only=True):
    """`decision`: by its name in `supposing`; `given`: what it says."""

    decision: str
    given: dict[str, str]


class Preview(Warned):
    """What would change. Nothing was changed. `changes`: whether anything would; `summary`: it in
    one sentence. `persons`: those who would change, the largest change first. `sources`: by the
    first touch of these persons."""

    stitch: str
    changes: bool
    summary: str
    persons: list[PreviewedPerson]
    sources: list[PreviewedSource]


# Who owns what of the devices' events without a user, and a mark of which events these are.
OWNED = """
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        e.user_id AS user_id, e.event_id AS event_id
    FROM counted_events AS e
    WHERE e.visitor IN {devices:Array(UInt64)} AND e.user_hash = 0
)
SELECT owner, count() AS events, groupBitXor(sipHash64(visitor, timestamp, event_id)) AS mark
FROM owned_events
GROUP BY owner"""
NEAR_DEVICES = "r.visitor IN {devices:Array(UInt64)}"

WHERE_THEY_LIE = """
SELECT groupUniqArray(visitor) AS devices,
    arrayMap(u -> sipHash64('user', u), {user_ids:Array(String)}) AS homes
FROM links
WHERE project_id = {project_id:String} AND user_id IN {user_ids:Array(String)}"""

# Of each person, and of the anonymous visitor of the device that the decision names.
SIDES = f"""
WITH considered AS (
    SELECT e.visitor AS visitor, e.user_hash AS user_hash, e.timestamp AS timestamp,
        e.user_id AS user_id, e.anonymous_id AS anonymous_id, {OFF_PAGE} AS off_page,
        (e.timestamp, e.event_id, toString(e.source), toString(e.medium), toString(e.campaign),
            toString(e.channel)) AS touch,
        $met AS met
    FROM counted_events AS e
    WHERE e.visitor IN {{lies_at:Array(UInt64)}}
), theirs AS (
    SELECT TRUE AS known, owner, off_page, touch, met
    FROM owned_events
    WHERE owner IN {{concerned:Array(String)}}
    UNION ALL
    SELECT FALSE AS known, anonymous_id AS owner, off_page, touch, met
    FROM considered
    WHERE user_hash = 0 AND visitor IN {{named:Array(UInt64)}}
        $nobodys
)
SELECT known, owner, count() AS events, min((off_page, touch)).2 AS first,
    sumForEach(met) AS conversions
FROM theirs
GROUP BY known, owner"""
NOBODYS = "AND visitor NOT IN (SELECT visitor FROM user_links)"
NEAR = "r.visitor IN {lies_at:Array(UInt64)}"

DEVICES = """
SELECT user_id, uniqExact(visitor) AS devices
FROM user_links
WHERE user_id IN {concerned:Array(String)}
GROUP BY user_id"""

# Known or not, and the id.
Who = tuple[bool, str]


def ask(context: Context, params: PreviewParams) -> Preview:
    """What the decision would change. Raises `AliasCycle`."""
    suppose = DECISIONS[params.decision]
    supposed = suppose(context.reading, context.resolution, **params.given)
    then = replace(context, supposed=supposed.after)
    found = _changed(context, then, supposed)
    sources = _sources(found)
    policy = context.resolution.policy
    said = summary(params.decision, params.given, found[:MOST_PERSONS], sources)
    answer = Preview(policy, bool(found), said, found[:MOST_PERSONS], sources)
    if len(found) > MOST_PERSONS:
        message = f"Only {MOST_PERSONS} of {len(found)} people who would change are here."
        answer.warnings = noted([AnswerWarning("truncated", None, message)])
    return answer


def _changed(context: Context, then: Context, supposed: Supposed) -> list[PreviewedPerson]:
    """Those who would change, the largest change first."""
    persons = sorted({*supposed.users, *_movers(context, then, supposed.devices)})
    both = (context.resolution, then.resolution)
    users = sorted({user for side in both for user in side.same_people(persons)})
    asked = {"project_id": context.project_id, "user_ids": users}
    (lies,) = context.reading.query(WHERE_THEY_LIE, asked)
    named = [] if supposed.device is None else [supposed.device]
    values = {
        "concerned": persons,
        "named": named,
        "lies_at": sorted({*lies["devices"], *lies["homes"], *named}),
    }
    before, after = _sides(context, then, values)
    found = [
        PreviewedPerson(
            name if known else None,
            None if known else name,
            before.get((known, name), NOBODY),
            after.get((known, name), NOBODY),
        )
        for known, name in sorted(before.keys() | after.keys())
    ]
    moved = [one for one in found if one.before != one.after]
    return sorted(
        moved,
        key=lambda one: (-abs(one.after.events - one.before.events), one.user_id is None),
    )


def _movers(context: Context, then: Context, devices: list[int]) -> set[str]:
    """Who owns other events of the devices afterwards than before."""
    if not devices:
        return set()
    values = {"devices": devices}
    asked = [each.query(OWNED, values, {}, NEAR_DEVICES) for each in (context, then)]
    before, after = (
        {(row["owner"], row["events"], row["mark"]) for row in rows}
        for rows in context.reading.query_all(*asked)
    )
    return {owner for owner, *_ in before ^ after}


def _sides(
    context: Context, then: Context, values: Mapping[str, object]
) -> tuple[dict[Who, PreviewSide], dict[Who, PreviewSide]]:
    """What each has before, and what after; all of it asked at once."""
    bound = dict(values)
    goals = list(context.names.goals)
    met = [_met(context, name, f"goal_{nth}", bound) for nth, name in enumerate(goals, start=1)]
    slots = {
        "met": f"[{', '.join(met)}]" if met else "emptyArrayUInt8()",
        "nobodys": "" if context.resolution.policy == "none" else NOBODYS,
    }
    asked = [
        query
        for each in (context, then)
        for query in (each.query(SIDES, bound, slots, NEAR), each.query(DEVICES, values, {}, NEAR))
    ]
    had, had_devices, has, has_devices = context.reading.query_all(*asked)
    return _side(had, had_devices, goals), _side(has, has_devices, goals)


def _side(rows: list[Row], counted: list[Row], goals: list[str]) -> dict[Who, PreviewSide]:
    devices = {row["user_id"]: row["devices"] for row in counted}
    return {
        (bool(row["known"]), row["owner"]): PreviewSide(
            row["events"],
            devices.get(row["owner"], 0) if row["known"] else 1,
            _first(row),
            {
                name: int(times)
                for name, times in zip(goals, row["conversions"], strict=False)
                if times
            },
        )
        for row in rows
    }


def _met(context: Context, name: str, prefix: str, values: dict[str, object]) -> str:
    goal = context.names.goal(name)
    assert goal, "it is among the names there are"
    return f"toUInt8({goal_condition(goal, prefix, values)})"


def _first(row: Row) -> FirstSource:
    at, _, source, medium, campaign, channel = row["first"]
    return FirstSource(format_utc(at), source, medium, campaign or None, channel or None)


def _sources(found: list[PreviewedPerson]) -> list[PreviewedSource]:
    """What first touches lose and gain, the largest losses first."""
    changes: Counter[tuple[str, str, str]] = Counter()
    for one in found:
        for side, sign in ((one.before, -1), (one.after, 1)):
            if touch := side.first_touch:
                for goal, times in side.conversions.items():
                    changes[touch.source, touch.medium, goal] += sign * times
    rows = [PreviewedSource(*at, change) for at, change in changes.items() if change]
    return sorted(rows, key=lambda row: (row.change, row.source, row.medium, row.goal))
