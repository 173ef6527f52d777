"""`GET /v1/identity/explain`: whose is an event, and why?"""

from typing import Annotated, NamedTuple

import msgspec

from threadline.contract.errors import InvalidParams, NotFound
from threadline.contract.policies import POLICIES
from threadline.contract.times import Timestamp, format_ms, format_utc, utc_ms
from threadline.identity.compose import where
from threadline.questions.context import Context
from threadline.questions.parameters import Stitched
from threadline.store import Row, bound_ms


class ExplainParams(Stitched, kw_only=True):
    """An event that is stored, or a device and a time."""

    event_id: (
        Annotated[
            str,
            msgspec.Meta(description="The event; it is found faster if its device is given, too."),
        ]
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
    """One event, or one time on a device, under each policy."""

    event_id: str | None
    anonymous_id: str
    at: str
    user_id: str | None
    policies: dict[str, Owner]


EVENT = """
SELECT e.timestamp AS timestamp, e.anonymous_id AS anonymous_id, e.user_id AS user_id,
    e.anonymous_id_generated AS is_generated
FROM counted_events AS e
$where
ORDER BY e.timestamp, e.visitor
LIMIT 1"""

# Only a device's own events are close at hand; one with a generated id may lie at its user.
ON_DEVICE = """e.anonymous_id = {anonymous_id:String}
    AND e.visitor = sipHash64({anonymous_id:String})"""
ANYWHERE = "e.anonymous_id = {anonymous_id:String} AND e.anonymous_id_generated"

OBSERVATIONS = """
SELECT user_id AS person, timestamp, event_id, event_name AS event
FROM observed_events
WHERE visitor = sipHash64({anonymous_id:String}) AND $since
ORDER BY $order
LIMIT 1 BY person
LIMIT {most:UInt32}"""

# More names of one device than that help nobody.
MOST_PERSONS = 1000

EARLIEST = "timestamp, person, event_id"
LATEST = "timestamp DESC, person DESC, event_id"
EVER, SINCE = "TRUE", "timestamp >= {at:DateTime64(3, 'UTC')}"

ENDS_INTERVAL = (
    "The first to be seen here from then on is {}, at {}: the interval before that login is theirs."
)
AFTER_THE_LAST = "Nobody was seen here afterwards; the last before was {}, at {}."


class Subject(NamedTuple):
    """What is explained. `generated`: the device's id, by the server."""

    anonymous_id: str
    at_ms: int
    user_id: str | None = None
    generated: bool = False


def ask(context: Context, params: ExplainParams) -> Explanation:
    """Whose an event is under each policy, and which observations decided it.

    Raises `NotFound` for an event that is not stored, `InvalidParams` if neither an event nor a
    device and a time are given.
    """
    subject = _subject(context, params)
    policies = owners(context, subject)
    at = format_ms(subject.at_ms)
    return Explanation(params.event_id, subject.anonymous_id, at, subject.user_id, policies)


def owners(context: Context, subject: Subject) -> dict[str, Owner]:
    """Whose it is, by policy."""
    return _of_tagged(context, subject) or _of_untagged(context, subject)


def _subject(context: Context, params: ExplainParams) -> Subject:
    if (params.event_id is None) == (params.at is None):
        message = "give event_id, or anonymous_id and at"
        raise InvalidParams(f"Parameter event_id: {message}.", fieldErrors={"event_id": [message]})
    if params.event_id is not None:
        return _event(context, params.event_id, params.anonymous_id)
    if params.anonymous_id is None or params.at is None:
        message = "required with at"
        raise InvalidParams(
            f"Parameter anonymous_id: {message}.", fieldErrors={"anonymous_id": [message]}
        )
    return Subject(params.anonymous_id, params.at.ms)


def _event(context: Context, event_id: str, anonymous_id: str | None) -> Subject:
    values = {"event_id": event_id, "anonymous_id": anonymous_id}

    def looked_for(*places: str) -> list[Row]:
        conditions = where(["e.event_id = {event_id:String}", *places])
        return context.ask(EVENT, values, {"where": conditions})

    found = looked_for() if anonymous_id is None else looked_for(ON_DEVICE) or looked_for(ANYWHERE)
    if not found:
        raise NotFound(f"There is no event {event_id!r} in this project.")
    (row,) = found
    return Subject(
        row["anonymous_id"], utc_ms(row["timestamp"]), row["user_id"], row["is_generated"]
    )


def _of_tagged(context: Context, subject: Subject) -> dict[str, Owner] | None:
    if subject.user_id is None:
        return None
    person = context.resolution.person(subject.user_id)
    because = f"The event carries the user {subject.user_id!r}"
    because += f", who is the same person as {person!r}." if person != subject.user_id else "."
    return {policy: Owner([person], because, []) for policy in POLICIES}


def _of_untagged(context: Context, subject: Subject) -> dict[str, Owner]:
    def observed(order: str, since: str = EVER) -> list[Row]:
        if subject.generated:
            return []
        values = {
            "anonymous_id": subject.anonymous_id,
            "at": bound_ms(subject.at_ms),
            "most": MOST_PERSONS + 1,
        }
        return context.ask(OBSERVATIONS, values, {"order": order, "since": since})

    return _policies(observed(EARLIEST), observed(EARLIEST, SINCE), observed(LATEST))


def _policies(seen: list[Row], later: list[Row], latest: list[Row]) -> dict[str, Owner]:
    """From the first observation of each person, the first at or after the time, and the last."""
    if not seen or not latest:
        because = "Nobody was ever seen on this device: the event is the anonymous visitor's."
        return {policy: Owner([], because, []) for policy in POLICIES}
    more = len(seen) > MOST_PERSONS
    seen = seen[:MOST_PERSONS]
    everybody = ", ".join(repr(row["person"]) for row in seen)
    if more:
        everybody += f", and more than these {MOST_PERSONS:,}, who are left out here"
    stays = "The event carries no user: where nothing is stitched it is the anonymous visitor's."
    return {
        "any": Owner(
            sorted(row["person"] for row in seen),
            f"Nobody but {everybody} was ever seen on this device."
            if len(seen) == 1
            else f"Seen on this device: {everybody}. It counts for each of them.",
            [_observation(row) for row in seen],
        ),
        "first": _sole(seen[0], "The first ever seen on this device is {}, at {}."),
        "next": _sole(later[0], ENDS_INTERVAL) if later else _sole(latest[0], AFTER_THE_LAST),
        "last": _sole(latest[0], "The last ever seen on this device is {}, at {}."),
        "none": Owner([], stays, []),
    }


def _sole(deciding: Row, because: str) -> Owner:
    """`because` with the names of the person and of the time."""
    person = deciding["person"]
    said = because.format(repr(person), format_utc(deciding["timestamp"]))
    return Owner([person], said, [_observation(deciding)])


def _observation(row: Row) -> Observation:
    return Observation(row["person"], format_utc(row["timestamp"]), row["event_id"], row["event"])
