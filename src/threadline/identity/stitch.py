"""The stitched relation: whose event is it? Every question about people is built on this module.

Nothing here is stored. A policy is a relation of *claims*: "untagged events on this device, after
this moment and until that one, count for this user". Joined to the events when the question is
asked, it decides the answer; a later login, or another policy, makes other claims.

    any    every user ever seen on the device claims all of its untagged events
    first  the first user seen there claims them all
    next   each stretch belongs to whoever logs in at its end; what follows the last login, to
           whom logged in last

Events that carry a user belong to that user under every policy.
"""

from typing import Literal, NamedTuple

Policy = Literal["any", "first", "next"]

PROJECT = "project_id = {project_id:String}"
USERS = "user_id IN {user_ids:Array(String)}"

# The store holds no event before 1970 (see contract), so these bounds hold all of time.
BEGINNING = "toDateTime64('1900-01-01 00:00:00', 3, 'UTC')"
END = "toDateTime64('2299-01-01 00:00:00', 3, 'UTC')"


class Scope(NamedTuple):
    """The people a question is about: conditions on a claim `c`, on links, and on events."""

    users: str
    devices: str
    tagged: str


EVERYONE = Scope(users="TRUE", devices="TRUE", tagged="TRUE")

# Bound by `user_ids`. The devices bring every tagged event within reach of the primary key: it
# lies on a device of the user or, without one, at the user's own place (see schema, `visitor`).
THESE_USERS = Scope(
    users=f"c.{USERS}",
    devices=f"visitor IN (SELECT visitor FROM links WHERE {PROJECT} AND {USERS})",
    tagged=f"""{USERS} AND visitor IN (
        SELECT visitor FROM links WHERE {PROJECT} AND {USERS}
        UNION ALL
        SELECT sipHash64('user', arrayJoin({{user_ids:Array(String)}}))
    )""",
)

EVERY_LINK = f"""
    SELECT visitor, user_id, {BEGINNING} AS after, {END} AS until
    FROM links
    WHERE {PROJECT} AND %(devices)s
    GROUP BY visitor, user_id"""

FIRST_LINK = f"""
    SELECT l.visitor AS visitor, argMin(l.user_id, (l.first_seen, l.user_id)) AS user_id,
        {BEGINNING} AS after, {END} AS until
    FROM links AS l
    WHERE {PROJECT} AND %(devices)s
    GROUP BY l.visitor"""

SOLE_LINK = f"""
    SELECT l.visitor AS visitor, any(l.user_id) AS user_id, {BEGINNING} AS after, {END} AS until
    FROM links AS l
    WHERE {PROJECT} AND %(devices)s
    GROUP BY l.visitor
    HAVING uniqExact(l.user_id) = 1"""

# On a shared device every observation ends the stretch before it. The last one also opens the
# stretch that never ends. Users seen at the same instant: the smallest takes what came before,
# the greatest what comes after.
TURNS = f"""
    SELECT visitor, turn.1 AS user_id, turn.2 AS after, turn.3 AS until
    FROM (
        SELECT visitor, timestamp, earlier_user, later_user,
            lagInFrame(timestamp, 1, {BEGINNING}) OVER device AS previous,
            leadInFrame(timestamp, 1, {END}) OVER device AS following
        FROM (
            SELECT visitor, timestamp,
                assumeNotNull(min(user_id)) AS earlier_user,
                assumeNotNull(max(user_id)) AS later_user
            FROM events
            WHERE {PROJECT} AND user_id IS NOT NULL AND NOT anonymous_id_made AND visitor IN (
                SELECT visitor FROM links WHERE {PROJECT} AND %(devices)s
                GROUP BY visitor HAVING uniqExact(user_id) > 1
            )
            GROUP BY visitor, timestamp
        )
        WINDOW device AS (
            PARTITION BY visitor ORDER BY timestamp
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        )
    )
    ARRAY JOIN if(
        following = {END},
        [(earlier_user, previous, timestamp), (later_user, timestamp, {END})],
        [(earlier_user, previous, timestamp)]
    ) AS turn"""

# Claims that hold for all time need only what is known of a device as a whole; the others have to
# look at its events.
LASTING_CLAIMS: dict[Policy, str] = {"any": EVERY_LINK, "first": FIRST_LINK, "next": SOLE_LINK}
PASSING_CLAIMS: dict[Policy, str] = {"next": TURNS}


def claims(policy: Policy, scope: Scope) -> str:
    """SQL for (visitor, user_id, after, until): who claims untagged events of which device when.

    Of users outside the scope only those on devices in it appear. Binds `project_id`, and
    `user_ids` where the scope does.
    """
    parts = [LASTING_CLAIMS[policy], PASSING_CLAIMS.get(policy)]
    return "\n    UNION ALL".join(part % {"devices": scope.devices} for part in parts if part)


def owned_events(policy: Policy, scope: Scope, columns: str, where: str = "TRUE") -> str:
    """SQL for (owner, …columns): every event of the users in scope, whether tagged or claimed.

    `columns` and `where` speak of the events as `e`. Under `any` one event may appear for several
    owners, never twice for one.
    """
    return f"""
    SELECT assumeNotNull(e.user_id) AS owner, {columns}
    FROM events AS e
    WHERE e.{PROJECT} AND e.user_id IS NOT NULL AND {scope.tagged} AND {where}
    UNION ALL
    SELECT c.user_id AS owner, {columns}
    FROM events AS e
    INNER JOIN (
        SELECT c.* FROM ({claims(policy, scope)}) AS c WHERE {scope.users}
    ) AS c ON c.visitor = e.visitor
    WHERE e.{PROJECT} AND e.user_id IS NULL AND {_of_events(scope.devices)}
        AND e.timestamp > c.after AND e.timestamp <= c.until AND {where}"""


TOUCH = """(
    e.timestamp, e.event_id, e.visitor,
    toString(e.source), toString(e.medium), toString(e.campaign)
)::Tuple(
    timestamp DateTime64(3, 'UTC'), event_id String, visitor UInt64,
    source String, medium String, campaign String
)"""


def claimed_in_turns(scope: Scope, columns: str) -> str:
    """SQL for `columns` of the untagged events that turns give to users in scope.

    Turns follow each other without a gap, so an event's is the one that ends next: a join that
    does not grow with the number of turns on a device. `columns` may name the claim as `c`.
    """
    return f"""
    SELECT {columns}
    FROM events AS e
    ASOF INNER JOIN ({TURNS % {"devices": scope.devices}}) AS c
        ON c.visitor = e.visitor AND e.timestamp <= c.until
    WHERE {scope.users} AND e.{PROJECT} AND e.user_id IS NULL AND e.visitor IN (
        SELECT visitor FROM links WHERE {PROJECT} AND {scope.devices}
        GROUP BY visitor HAVING uniqExact(user_id) > 1
    )"""


def first_touches(policy: Policy) -> str:
    """SQL for (user_id, first_touch, known_since): one row for every user.

    `first_touch` is the tuple of schema 002; the smallest is the earliest, ties by event_id. It
    comes from the states, so that the cost grows with devices and users, not with events.
    """
    lasting = LASTING_CLAIMS[policy] % {"devices": EVERYONE.devices}
    parts = [
        f"""
        SELECT user_id, first_touch AS touch, first_touch.timestamp AS known
        FROM user_touches
        WHERE {PROJECT}""",
        f"""
        SELECT c.user_id AS user_id, v.first_touch AS touch, {END} AS known
        FROM visitor_touches AS v
        INNER JOIN ({lasting}) AS c ON c.visitor = v.visitor
        WHERE v.{PROJECT}""",
    ]
    if policy in PASSING_CLAIMS:
        columns = f"c.user_id AS user_id, {TOUCH} AS touch, {END} AS known"
        parts.append(claimed_in_turns(EVERYONE, columns))
    return f"""
    SELECT user_id, min(touch) AS first_touch, min(known) AS known_since
    FROM ({"        UNION ALL".join(parts)})
    GROUP BY user_id"""


def conversions(policy: Policy, scope: Scope) -> str:
    """SQL for (user_id, converted_at): the first owned event named `conversion`, where there is
    one."""
    owned = owned_events(policy, scope, "e.timestamp", "e.event_name = {conversion:String}")
    return f"""
    SELECT owner AS user_id, min(timestamp) AS converted_at
    FROM ({owned})
    GROUP BY owner"""


def shared_devices(scope: Scope) -> str:
    """SQL for (anonymous_id): devices in scope that more than one user was seen on."""
    return f"""
    SELECT any(l.anonymous_id) AS anonymous_id
    FROM links AS l
    WHERE {PROJECT} AND {scope.devices}
    GROUP BY l.visitor
    HAVING uniqExact(l.user_id) > 1
    ORDER BY anonymous_id"""


def _of_events(condition: str) -> str:
    """The same condition where `visitor` would be ambiguous between event and claim."""
    return condition.replace("visitor IN", "e.visitor IN", 1)
