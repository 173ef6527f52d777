"""`GET /v1/attribution/why`: one conversion, its touches, and why each has the credit it has."""

from dataclasses import replace
from typing import Annotated
from urllib.parse import quote

import msgspec

from threadline.contract.errors import NotFound
from threadline.contract.policies import POLICIES, Policy
from threadline.contract.times import format_ms, format_utc, utc_ms
from threadline.identity.compose import fill
from threadline.identity.person import Person, ask_of
from threadline.identity.visits import Wanted, visits_of_one
from threadline.questions import explain
from threadline.questions.answers import absent_is_null
from threadline.questions.context import Context
from threadline.questions.credit import (
    CREDITED,
    MODELS,
    LookbackDays,
    credit_slots,
    lookback_ms,
)
from threadline.questions.explain import Owner
from threadline.questions.named_events import EventText, read_event
from threadline.questions.parameters import Stitched, UserId
from threadline.questions.traffic_sources import DIRECT_NAMES
from threadline.questions.warned import AnswerWarning, Warned, noted
from threadline.store import Query, Row

# Each is explained by itself. Nobody reads more of them.
MOST_TOUCHES = 50


class WhyParams(Stitched, kw_only=True):
    """Whose conversion, and which."""

    user_id: UserId
    conversion: EventText
    event_id: (
        Annotated[
            str,
            msgspec.Meta(
                min_length=1,
                description="Id of the event, if there are several conversions; journeys show it. "
                "Default: the latest.",
            ),
        ]
        | None
    ) = None
    lookback_days: LookbackDays | None = None


class Conversion(msgspec.Struct):
    """The event that is credited."""

    event: str
    event_id: str
    timestamp: str
    anonymous_id: str
    user_id: str | None


class CreditedTouch(msgspec.Struct, kw_only=True):
    """A touch of this person under at least one policy. `credit`: by policy and model; policies
    under which it is somebody else's are not there. `owners`: whose the event is under each policy,
    and the observations that decided that. `source_rule_id`: the rule that named its source, and
    `source_confidence` how sure that is. `seconds_before`: the conversion."""

    timestamp: str
    seconds_before: float
    event_id: str
    anonymous_id: str
    source: str
    medium: str
    campaign: str | None
    channel: str | None
    url: str | None
    referrer: str | None
    source_rule_id: str
    source_confidence: str
    in_window: bool
    credit: dict[str, dict[str, float]]
    owners: dict[str, Owner]


class Why(Warned):
    """One conversion. `touches`: in order of time. `without_touches`: of each policy under which
    the conversion is this person's and none of their touches counts, where its credit goes: to
    `direct`, or to `outside_window`."""

    user_id: str
    stitch: str
    conversion: Conversion
    touches: list[CreditedTouch]
    without_touches: dict[str, str]
    lookback_days: int | None


CONVERSION = """
SELECT e.event_id AS event_id, e.timestamp AS timestamp, e.anonymous_id AS anonymous_id,
    e.user_id AS user_id, e.event_name AS event_name
FROM owned_events AS e
WHERE $converting $which
ORDER BY e.timestamp DESC, e.event_id DESC
LIMIT 1"""
WHICH = "AND e.event_id = {event_id:String}"

# Of one conversion, whoever owns it: no row where that is somebody else.
SHARES = f"""
WITH converted AS (
    SELECT toUInt64(1) AS person, [tuple({{at:Int64}})] AS conversions{CREDITED}
)
SELECT credited, n, [$all_weights] AS weights
FROM weighed
WHERE (SELECT count() FROM owned_events WHERE event_id = {{converted_by:String}}) > 0"""

# The event that a touch came with: of those of its millisecond, one that came from there.
EVENTS = """
SELECT toUnixTimestamp64Milli(e.timestamp) AS at, e.visitor AS device,
    e.traffic_source AS came_from, e.user_id AS user_id, e.event_id AS event_id,
    e.anonymous_id AS anonymous_id, e.anonymous_id_generated AS anonymous_id_generated,
    toString(e.source) AS source, toString(e.medium) AS medium, toString(e.campaign) AS campaign,
    toString(e.channel) AS channel, e.url AS url, e.referrer AS referrer,
    toString(e.source_rule_id) AS source_rule_id, toString(e.source_confidence) AS source_confidence
FROM counted_events AS e
WHERE e.visitor IN {devices:Array(UInt64)}
    AND toUnixTimestamp64Milli(e.timestamp) IN {times:Array(Int64)}
ORDER BY event_id"""

# What it is found by, and not shown.
BESIDE = ("at", "device", "came_from", "user_id", "anonymous_id_generated")
# (time in milliseconds, traffic source, device)
Place = tuple[int, int, int]


def ask(context: Context, params: WhyParams) -> Why:
    """Why a conversion is credited as it is, under every policy and model.

    Raises `NotFound` for an unknown user, and one without such a conversion."""
    person, converted = _conversion(context, params)
    at_ms = utc_ms(converted["timestamp"])
    credit: dict[Place, dict[str, dict[str, float]]] = {}
    inside: set[Place] = set()
    without: dict[str, str] = {}
    for policy in POLICIES:
        for row in _shares(context, params, policy, at_ms, converted["event_id"]):
            places = [(int(at), int(source), int(device)) for at, source, device in row["credited"]]
            inside |= set(places[len(places) - row["n"] :])
            for number, place in enumerate(places):
                weights = (float(weight[number]) for weight in row["weights"])
                shares: dict[str, float] = dict(zip(MODELS, weights, strict=True))
                if place[2]:
                    credit.setdefault(place, {})[policy] = shares
                else:
                    without[policy] = "direct" if place[1] else "outside_window"
    places = sorted(credit)[-MOST_TOUCHES:]
    answer = Why(
        person.user_id,
        context.resolution.policy,
        Conversion(
            converted["event_name"],
            converted["event_id"],
            format_utc(converted["timestamp"]),
            converted["anonymous_id"],
            converted["user_id"],
        ),
        _touches(context, person.user_id, at_ms, places, credit, inside),
        without,
        params.lookback_days,
    )
    if len(credit) > len(places):
        message = f"Only the last {MOST_TOUCHES} of {len(credit)} touches are here."
        answer.warnings = noted([AnswerWarning("truncated", None, message)])
    return answer


def _conversion(context: Context, params: WhyParams) -> tuple[Person, Row]:
    values: dict[str, object] = {"event_id": params.event_id}
    conversion = read_event(context, params.conversion, "conversion", values)
    slots = {
        "converting": conversion.condition,
        "which": WHICH if params.event_id is not None else "",
    }

    def queries(_person: Person) -> list[Query]:
        return [(fill(CONVERSION, slots), values)]

    person, (found,) = ask_of(context.reading, context.resolution, params.user_id, queries)
    if not found:
        one = f" with the id {params.event_id!r}" if params.event_id is not None else ""
        raise NotFound(
            f"The user {params.user_id!r} has no event {params.conversion!r}{one} under "
            f"stitch={context.resolution.policy}; /v1/users/{quote(params.user_id, safe='')}/events"
            " lists what there is."
        )
    return person, found[0]


def _shares(
    context: Context, params: WhyParams, policy: Policy, at_ms: int, event_id: str
) -> list[Row]:
    """One row, or none where the conversion is not theirs under this policy."""
    slots = credit_slots(list(MODELS), params.lookback_days)
    slots["all_weights"] = ", ".join(f"w{n}" for n in range(1, len(MODELS) + 1))
    values: dict[str, object] = {
        "at": at_ms,
        "converted_by": event_id,
        "lookback_ms": lookback_ms(params.lookback_days),
        "visit_timeout_ms": context.visit_timeout_ms,
    }

    def queries(_person: Person) -> list[Query]:
        return [(fill(SHARES, slots), values)]

    _, (found,) = ask_of(
        context.reading,
        replace(context.resolution, policy=policy),
        params.user_id,
        queries,
        visits_of_one(Wanted(("arrivals",))),
    )
    return found


def _touches(
    context: Context,
    user_id: str,
    at_ms: int,
    places: list[Place],
    credit: dict[Place, dict[str, dict[str, float]]],
    inside: set[Place],
) -> list[CreditedTouch]:
    values: dict[str, object] = {
        "devices": sorted({device for _, _, device in places}),
        "times": sorted({at for at, _, _ in places}),
    }
    found: dict[tuple[int, int], list[Row]] = {}
    for row in context.ask(EVENTS, values) if places else []:
        # Somebody else may have done something on the device at the same millisecond.
        if row["user_id"] is None or context.resolution.person(row["user_id"]) == user_id:
            found.setdefault((row["at"], row["device"]), []).append(row)
    touches = []
    for place in places:
        at, source, device = place
        # Somebody may be forgotten between the two.
        if not (events := found.get((at, device))):
            continue
        event = min(events, key=lambda row: row["came_from"] != source)
        names = DIRECT_NAMES if event["came_from"] != source else {}
        shown = absent_is_null({**event, **names})
        subject = explain.Subject(
            event["anonymous_id"], at, event["user_id"], event["anonymous_id_generated"]
        )
        kept = {name: shown[name] for name in shown if name not in BESIDE}
        touches.append(
            CreditedTouch(
                timestamp=format_ms(at),
                seconds_before=(at_ms - at) / 1000,
                in_window=place in inside,
                credit=credit[place],
                owners=explain.owners(context, subject),
                **kept,
            )
        )
    return touches
