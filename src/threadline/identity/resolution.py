"""What an answer stands on: which events, links, unlinks and aliases count for it.

Mostly everything there is. With `as_of`, only what had been received by then: the states, which
hold all of time, are then computed from the events. Bots do not count unless asked for. Where a
project never unlinked or aliased anything, none of that is in the SQL.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from threadline.identity.reading import Reads
from threadline.store import bound_ms

Policy = Literal["any", "first", "next"]

PROJECT = "project_id = {project_id:String}"
USERS = "user_id IN {user_ids:Array(String)}"
AS_OF = "{as_of:DateTime64(3, 'UTC')}"

# The smallest is the first; ties by event_id. `place`: where it came from, as a number.
TOUCH_TYPE = """Tuple(
    timestamp DateTime64(3, 'UTC'), event_id String, visitor UInt64, place UInt64
)"""
TOUCH = f"(e.timestamp, e.event_id, e.visitor, e.place)::{TOUCH_TYPE}"

# Events `e` that show a user on a device.
OBSERVED = "e.user_id IS NOT NULL AND NOT e.anonymous_id_made"

# What a question about a time binds, and on which side of it a moment lies.
FROM, TO = "{from_:DateTime64(3, 'UTC')}", "{to:DateTime64(3, 'UTC')}"
RANGE = {"from_": f">= {FROM}", "to": f"< {TO}"}

DECISIONS = f"""
    SELECT
        (SELECT count() FROM aliases WHERE {PROJECT}) > 0 AS aliased,
        (SELECT count() FROM unlinks WHERE {PROJECT}) > 0 AS unlinked"""

LINKS = f"""
        SELECT visitor, user_id, user_hash, anonymous_id, first_seen, last_seen
        FROM links
        WHERE {PROJECT}%s"""

# One row for each device, bots apart; FINAL costs a quarter of grouping them.
DEVICE_USERS = f"""(
        SELECT visitor, least, greatest FROM device_users FINAL WHERE {PROJECT} AND NOT is_bot
        )"""

VISITOR_TOUCHES = f"""(
            SELECT visitor, (
                first_touch.timestamp, first_touch.event_id, visitor, first_touch.place
            )::{TOUCH_TYPE} AS first_touch
            FROM visitor_touches
            WHERE {PROJECT}%s
        )"""

HOUR_MS = 3_600_000
HOUR_OF = f"intDiv(toUnixTimestamp64Milli(%s), {HOUR_MS})"
MOMENT = f"fromUnixTimestamp64Milli(toInt64(hour) * {HOUR_MS} + %s, 'UTC')"
ACTIVITY = f"""
        SELECT visitor, known, user_hash, hour,
            {MOMENT % "first_ms"} AS began, {MOMENT % "last_ms"} AS ended
        FROM activity
        WHERE {PROJECT}%s"""


@dataclass(frozen=True)
class Resolution:
    """`params`: the values its SQL needs. `aliased`, `unlinked`: the project has such decisions.
    `bots`: they count, too."""

    policy: Policy
    params: dict[str, object] = field(default_factory=dict)
    as_of: bool = False
    aliased: bool = False
    unlinked: bool = False
    bots: bool = False

    @property
    def received(self) -> str:
        """The condition on events `e` that count."""
        known = f" AND e.received_at <= {AS_OF}" if self.as_of else ""
        people = "" if self.bots else " AND NOT e.is_bot"
        return f"e.{PROJECT}{people}{known}"

    def person(self, user_id: str) -> str:
        """SQL for the user that this one is the same person as; mostly itself."""
        if not self.aliased:
            return user_id
        return f"transform({user_id}, {self._aliases}.1, {self._aliases}.2, {user_id})"

    def person_hash(self, user_hash: str) -> str:
        """The same for a hash of the user id, as in `events.user_hash`."""
        if not self.aliased:
            return user_hash
        users, persons = (
            f"arrayMap(u -> sipHash64('user', u), {self._aliases}.{place})" for place in (1, 2)
        )
        return f"transform({user_hash}, {users}, {persons}, {user_hash})"

    @property
    def links(self) -> str:
        """SQL relation (visitor, user_id, user_hash, anonymous_id, first_seen, last_seen): who was
        seen where.

        A pair may come in several rows, as long as parts are not merged."""
        links = LINKS % self.people
        if self.as_of:
            links = f"""
        SELECT e.visitor AS visitor, assumeNotNull(e.user_id) AS user_id,
            any(e.user_hash) AS user_hash, any(e.anonymous_id) AS anonymous_id,
            min(e.timestamp) AS first_seen, max(e.timestamp) AS last_seen
        FROM events AS e
        WHERE {self.received} AND {OBSERVED}
        GROUP BY e.visitor, e.user_id"""
        if self.unlinked:
            links = f"SELECT * FROM ({links}) AS r WHERE {self.linked('r')}"
        if self.aliased:
            links = f"""
        SELECT r.visitor AS visitor, {self.person("r.user_id")} AS user_id,
            {self.person_hash("r.user_hash")} AS user_hash,
            r.anonymous_id AS anonymous_id, r.first_seen AS first_seen, r.last_seen AS last_seen
        FROM ({links}) AS r"""
        return f"({links})"

    @property
    def device_users(self) -> str:
        """SQL relation (visitor, least, greatest): of every device that persons were seen on the
        least and the greatest hash of them; the same where it is only one."""
        if not (self.as_of or self.aliased or self.unlinked or self.bots):
            return DEVICE_USERS
        return f"""(
        SELECT l.visitor AS visitor, min(l.user_hash) AS least, max(l.user_hash) AS greatest
        FROM {self.links} AS l
        GROUP BY l.visitor)"""

    def observations(self, devices: str) -> str:
        """SQL relation (visitor, timestamp, user_id, user_hash): when who was seen on `devices`
        (SQL), each once."""
        seen = f"{self._observed} AND e.visitor IN ({devices})"
        return f"(SELECT DISTINCT * FROM ({seen}))"

    def turning_observations(self, devices: str) -> str:
        """The same for many devices, as far as it tells whose turn it is: of an hour with one
        person the last is enough.

        That one has no `user_id`, which is for persons seen at the same instant, to put them in
        order. Not with `as_of`."""
        person = self.person_hash("a.user_hash")
        known = f"""
            FROM {self.activity} AS a
            WHERE a.known AND a.visitor IN ({devices}) AND {self.linked("a")}"""
        return f"""(
        SELECT visitor, timestamp, user_hash, max(user_id) AS user_id
        FROM (
            SELECT a.visitor AS visitor, a.ended AS timestamp, '' AS user_id, {person} AS user_hash
            {known}
            UNION ALL{self._observed} AND (e.visitor, {HOUR_OF % "e.timestamp"}) IN (
                SELECT a.visitor, a.hour {known}
                GROUP BY a.visitor, a.hour HAVING min({person}) != max({person})
            )
        )
        GROUP BY visitor, timestamp, user_hash)"""

    @property
    def activity(self) -> str:
        """SQL relation (visitor, known, user_hash, hour, began, ended): the first moment and the
        last of every hour in which a visitor was active, and whether as a user; `hour` counts from
        1970. One may come in several rows. Not with `as_of`."""
        return f"({ACTIVITY % self.people})"

    def linked(self, alias: str) -> str:
        """The condition that this row's pair of visitor and user was not unlinked."""
        if not self.unlinked:
            return "TRUE"
        return f"""({alias}.visitor, {alias}.user_hash) NOT IN (
            SELECT visitor, sipHash64('user', user_id) FROM unlinks
            WHERE {PROJECT}{self._decided}
            GROUP BY visitor, user_id HAVING argMax(unlinked, decided_at)
        )"""

    @property
    def visitor_touches(self) -> str:
        """SQL relation (visitor, first_touch): first events without a user."""
        if not self.as_of:
            return VISITOR_TOUCHES % self.people
        return f"""(
            SELECT e.visitor AS visitor, min({TOUCH}) AS first_touch
            FROM events AS e WHERE {self.received} AND e.user_id IS NULL
            GROUP BY e.visitor
        )"""

    @property
    def user_touches(self) -> str:
        """SQL relation (user_id, first_touch): first events that carry a user."""
        touches = f"SELECT user_id, first_touch FROM user_touches WHERE {PROJECT}{self.people}"
        if self.as_of:
            touches = f"""
            SELECT assumeNotNull(e.user_id) AS user_id, min({TOUCH}) AS first_touch
            FROM events AS e WHERE {self.received} AND e.user_id IS NOT NULL
            GROUP BY e.user_id"""
        if self.aliased:
            touches = f"""
            SELECT {self.person("r.user_id")} AS user_id, r.first_touch AS first_touch
            FROM ({touches}) AS r"""
        return f"({touches})"

    @property
    def aliases(self) -> str:
        """SQL relation (user_id, canonical): users that are the same person as another."""
        return f"""(
            SELECT user_id, argMax(canonical, decided_at) AS canonical
            FROM aliases WHERE {PROJECT}{self._decided}
            GROUP BY user_id HAVING canonical != user_id
        )"""

    @property
    def _aliases(self) -> str:
        return f"(SELECT (groupArray(user_id), groupArray(canonical)) FROM {self.aliases})"

    @property
    def _observed(self) -> str:
        return f"""
        SELECT e.visitor AS visitor, e.timestamp AS timestamp,
            {self.person("assumeNotNull(e.user_id)")} AS user_id,
            {self.person_hash("e.user_hash")} AS user_hash
        FROM events AS e
        WHERE {self.received} AND {OBSERVED} AND {self.linked("e")}"""

    @property
    def people(self) -> str:
        """The condition on a state's rows that leaves bots out."""
        return "" if self.bots else " AND NOT is_bot"

    @property
    def _decided(self) -> str:
        return f" AND decided_at <= {AS_OF}" if self.as_of else ""


def in_range(at: str, params: Mapping[str, object]) -> list[str]:
    """Conditions that a moment lies between `from_` and `to`, as far as these are params."""
    return [f"{at} {side}" for name, side in RANGE.items() if name in params]


def conditions(parts: Sequence[str]) -> str:
    """All of them; of none, TRUE."""
    return " AND ".join(parts) or "TRUE"


def resolve(
    reads: Reads,
    project_id: str,
    policy: Policy,
    as_of_ms: int | None = None,
    bots: bool = False,
) -> Resolution:
    """What to answer on. `as_of_ms`: since 1970; None: all that is known now. `bots`: with them."""
    params: dict[str, object] = {"project_id": project_id}
    (decisions,) = reads.query(DECISIONS, params)
    if as_of_ms is not None:
        params["as_of"] = bound_ms(as_of_ms)
    return Resolution(
        policy,
        params,
        as_of_ms is not None,
        bool(decisions["aliased"]),
        bool(decisions["unlinked"]),
        bots,
    )
