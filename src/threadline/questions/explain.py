"""`GET /v1/identity/explain`: whose is an event, and why?"""

from typing import Annotated

import msgspec

from threadline.contract.errors import InvalidParams, NotFound
from threadline.contract.times import Timestamp, format_ms, format_utc, utc_ms
from threadline.identity.resolution import OBSERVED
from threadline.questions.answers import Stitched
from threadline.questions.context import Context
from threadline.store import Row, bound_ms


class ExplainParams(Stitched, kw_only=True):
    """An event that is stored, or a device and a time."""

    event_id: (
        Annotated[str, msgspec.Meta(description="Looked for everywhere; faster with its device.")]
        | None
    ) = None
    anonymous_id: (
        Annotated[str, msgspec.Meta(description="The event's device; or any, with `at`.")] | None
    ) = None
    at: (
        Annotated[Timestamp, msgspec.Meta(description="ISO 8601; with anonymous_id only.")] | None
    ) = None


class Observation(msgspec.Struct):
    """An event that carried a user on this device. `user_id` is the person's, aliases resolved."""

    user_id: str
    timestamp: str
    event_id: str
    event: str


class Owner(msgspec.Struct):
    """Whose it is under a policy; nobody's: the anonymous visitor. `because` says why, and
    `decided_by` which observations did."""

    owners: list[str]
    because: str
    decided_by: list[Observation]


class Explanation(msgspec.Struct):
    """One event, or one moment on a device, under each policy."""

    event_id: str | None
    anonymous_id: str
    at: str
    user_id: str | None
    policies: dict[str, Owner]


EVENT = """
    SELECT e.timestamp AS timestamp, e.anonymous_id AS anonymous_id, e.user_id AS user_id,
        e.anonymous_id_made AS made
    FROM events AS e
    WHERE {received} AND e.event_id = {{event_id:String}} AND {on_device}
    ORDER BY e.timestamp, e.visitor
    LIMIT 1"""

# Only a device's own events are close at hand.
ON_DEVICE = """e.anonymous_id = {anonymous_id:String}
        AND (e.visitor = sipHash64({anonymous_id:String}) OR e.anonymous_id_made)"""

OBSERVATIONS = """
    SELECT {person} AS person, e.timestamp AS timestamp, e.event_id AS event_id,
        e.event_name AS event
    FROM events AS e
    WHERE {received} AND e.visitor = sipHash64({{anonymous_id:String}})
        AND {observed} AND {linked} AND {where}
    ORDER BY {order}
    LIMIT {each} 1000"""

EARLIEST = "e.timestamp, person, e.event_id"
LATEST = "e.timestamp DESC, person DESC, e.event_id"


def ask(context: Context, params: ExplainParams) -> Explanation:
    """Whose an event is under each policy, and which observations decided it.

    Raises `NotFound` for an event that is not stored, `InvalidParams` if neither an event nor a
    device and a time are given.
    """
    reading, resolution = context.reading, context.resolution
    made, tagged = False, None
    if (params.event_id is None) == (params.at is None):
        message = "give event_id, or anonymous_id and at"
        raise InvalidParams(f"Parameter event_id: {message}.", fieldErrors={"event_id": [message]})
    if params.event_id is not None:
        bound = {
            **resolution.params,
            "event_id": params.event_id,
            "anonymous_id": params.anonymous_id,
        }
        on_device = "TRUE" if params.anonymous_id is None else ON_DEVICE
        sql = EVENT.format(received=resolution.received, on_device=on_device)
        found = reading.query(sql, bound)
        if not found:
            raise NotFound(f"There is no event {params.event_id!r} in this project.")
        anonymous_id, at_ms = found[0]["anonymous_id"], utc_ms(found[0]["timestamp"])
        tagged, made = found[0]["user_id"], found[0]["made"]
    elif params.anonymous_id is not None and params.at is not None:
        anonymous_id, at_ms = params.anonymous_id, params.at.ms
    else:
        message = "required with at"
        raise InvalidParams(
            f"Parameter anonymous_id: {message}.", fieldErrors={"anonymous_id": [message]}
        )
    asked = {**resolution.params, "anonymous_id": anonymous_id, "at": bound_ms(at_ms)}

    def observed(order: str, where: str = "TRUE", each: str = "1 BY person LIMIT") -> list[Row]:
        if made:
            return []
        sql = OBSERVATIONS.format(
            person=resolution.person("assumeNotNull(e.user_id)"),
            received=resolution.received,
            observed=OBSERVED,
            linked=resolution.linked("e"),
            where=where,
            order=order,
            each=each,
        )
        return reading.query(sql, asked)

    if tagged is not None:
        person = reading.query(
            f"SELECT {resolution.person('{tagged:String}')} AS person", {**asked, "tagged": tagged}
        )[0]["person"]
        because = f"The event carries the user {tagged!r}"
        because += f", who is the same person as {person!r}." if person != tagged else "."
        policies = {p: Owner([person], because, []) for p in ("any", "first", "next")}
    else:
        policies = _policies(
            observed(EARLIEST),
            observed(EARLIEST, "e.timestamp >= {at:DateTime64(3, 'UTC')}"),
            observed(LATEST),
        )
    return Explanation(params.event_id, anonymous_id, format_ms(at_ms), tagged, policies)


def _policies(seen: list[Row], later: list[Row], latest: list[Row]) -> dict[str, Owner]:
    """From the first observation of each person, the first at or after the moment, and the last."""
    if not seen:
        because = "Nobody was ever seen on this device: the event is the anonymous visitor's."
        return {policy: Owner([], because, []) for policy in ("any", "first", "next")}
    first = seen[0]
    if later:
        deciding = later[0]
        next_because = (
            f"The first to be seen here from then on is {deciding['person']!r}, at "
            f"{format_utc(deciding['timestamp'])}: the stretch before that login is theirs."
        )
    else:
        deciding = latest[0]
        next_because = (
            f"Nobody was seen here afterwards; the last before was {deciding['person']!r}, at "
            f"{format_utc(deciding['timestamp'])}."
        )
    everybody = ", ".join(repr(row["person"]) for row in seen)
    return {
        "any": Owner(
            sorted(row["person"] for row in seen),
            f"Seen on this device: {everybody}. It counts for each of them.",
            [_observation(row) for row in seen],
        ),
        "first": Owner(
            [first["person"]],
            f"The first ever seen on this device is {first['person']!r}, at "
            f"{format_utc(first['timestamp'])}.",
            [_observation(first)],
        ),
        "next": Owner([deciding["person"]], next_because, [_observation(deciding)]),
    }


def _observation(row: Row) -> Observation:
    return Observation(row["person"], format_utc(row["timestamp"]), row["event_id"], row["event"])
