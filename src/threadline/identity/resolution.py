"""What an answer stands on: which events, links, unlinks and aliases count for it.

Mostly everything there is. With `as_of`, only what had been received by then: the states, which
hold all of time, are then computed from the events. Bots do not count unless asked for. Where a
project never unlinked or aliased anything, none of that is in the SQL; where it did, who and what
is asked once and bound to every statement, and only the devices concerned are looked at anew.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from threadline.contract.policies import Policy as Policy
from threadline.identity.compose import fill
from threadline.identity.reading import Reads
from threadline.store import Params, bound_ms
from threadline.store.states import HALF_HOUR_MS, OFF_PAGE

PROJECT = "project_id = {project_id:String}"
USERS = "user_id IN {user_ids:Array(String)}"
AS_OF = "{as_of:DateTime64(3, 'UTC')}"

# The smallest is the first: on a page before all that is on none; ties by event_id.
# `traffic_source`: as a number. `off_page` is no Bool, of which shards' minima would be compared
# wrongly: the engine reads another kind of value back than it sent.
TOUCH_TYPE = """Tuple(
        off_page UInt8, timestamp DateTime64(3, 'UTC'), event_id String, visitor UInt64,
        traffic_source UInt64
    )"""
TOUCH = f"({OFF_PAGE}, e.timestamp, e.event_id, e.visitor, e.traffic_source)::{TOUCH_TYPE}"

# No event is later than this (see contract).
END = "toDateTime64('2299-01-01 00:00:00', 3, 'UTC')"
# In the place of a person: a device goes from hand to hand.
SEVERAL = 1

# What a question about a time binds, and on which side of it a timestamp lies.
FROM, TO = "{from_:DateTime64(3, 'UTC')}", "{to:DateTime64(3, 'UTC')}"
RANGE = {"from_": f">= {FROM}", "to": f"< {TO}"}

# In which half hour of a visitor an event `e` is, as the state `half_hours` has it.
HALF_HOUR = f"(e.visitor, intDiv(toUnixTimestamp64Milli(e.timestamp), {HALF_HOUR_MS}))"

# The persons that users are, by id and by hash, and (visitor, user_hash) of pairs that are not to
# be. Chains of aliases were resolved when they were declared.
PERSON = "transform($of, {aliased:Array(String)}, {persons:Array(String)}, $of)"
PERSON_HASH = """transform(
        $of, {aliased_hashes:Array(UInt64)}, {person_hashes:Array(UInt64)}, $of
    )"""
# The user of an event, else its visitor. Looking both up costs less than choosing the users first.
SEEN = "if(r.user_hash = 0, r.visitor, r.user_hash)"
LINKED = """(r.visitor, r.user_hash) NOT IN arrayZip(
        {unlinked_visitors:Array(UInt64)}, {unlinked_hashes:Array(UInt64)}
    )"""

# Rows are only added, each later than all before it, and taken away where somebody is forgotten.
# One pass over both: every question asks this first.
DECIDED = f"""
SELECT is_alias, count() AS decisions, max(decided_at) AS newest
FROM (
    SELECT TRUE AS is_alias, decided_at FROM aliases WHERE {PROJECT}
    UNION ALL
    SELECT FALSE AS is_alias, decided_at FROM unlinks WHERE {PROJECT}
)
GROUP BY is_alias
ORDER BY is_alias"""

# The newest decision of each, now or as of then.
DECISIONS = f"""
WITH aliases_then AS (
    SELECT user_id, argMax(canonical, decided_at) AS person
    FROM aliases
    WHERE {PROJECT}
        $then
    GROUP BY user_id
    HAVING person != user_id
), unlinks_then AS (
    SELECT visitor, user_id
    FROM unlinks
    WHERE {PROJECT}
        $then
    GROUP BY visitor, user_id
    HAVING argMax(unlinked, decided_at)
)
SELECT
    (
        SELECT groupArray((
            user_id, person, sipHash64('user', user_id), sipHash64('user', person)
        ))
        FROM aliases_then
    ) AS aliases,
    (SELECT groupArray((visitor, sipHash64('user', user_id))) FROM unlinks_then) AS unlinks"""

# Decisions of projects as they were when they were asked for: few questions find new ones.
_known: dict[object, "Decisions"] = {}
MOST_KEPT = 100


class Decisions(NamedTuple):
    """`persons`: of users that are the same person as another, that one. `params`: what
    `Resolution.slots` binds of them."""

    persons: Mapping[str, str]
    unlinked: bool
    params: Mapping[str, object]


NONE = Decisions({}, False, {})

# A user and the person that it is, both with their hashes; a device and a user, by their hashes.
Aliased = tuple[str, str, int, int]
Pair = tuple[int, int]
# What is bound of them.
OF_ALIASES = ("aliased", "persons", "aliased_hashes", "person_hashes")
OF_UNLINKS = ("unlinked_visitors", "unlinked_hashes")
OF_DECISIONS = (*OF_ALIASES, *OF_UNLINKS)


NO_INTERVALS = """(
    SELECT toUInt64(0) AS visitor, toInt64(0) AS until, toUInt64(0) AS user_hash
    WHERE FALSE
)"""


@dataclass(frozen=True)
class KeptOwners:
    """Owners of linked devices as `kept` has them in dictionaries, on these decisions. `names`: of
    these dictionaries, which are there as long as something has `holds`. There are `intervals`
    only where devices go from hand to hand, and `newer_…` where some changed."""

    decisions: Decisions
    names: Mapping[str, str]
    holds: tuple[object, ...] = ()

    @property
    def is_shared(self) -> bool:
        """Whether some device goes from hand to hand."""
        return "intervals" in self.names or "newer_intervals" in self.names

    def device(self, visitor: str, attribute: str) -> str:
        """SQL: what `devices` says of a visitor; 0 where nobody was seen there."""
        return self._found("devices", f"'{attribute}', {visitor}")

    def interval(self, visitor: str, timestamp: str) -> str:
        """SQL: whose the interval is in which a timestamp of a shared device lies."""
        at = f"'user_hash', {visitor}, toUnixTimestamp64Milli({timestamp})"
        return self._found("intervals", at)

    def _found(self, dictionary: str, at: str) -> str:
        older = f"dictGet({{{dictionary}:String}}, {at})"
        newer = f"newer_{dictionary}"
        if newer not in self.names:
            return older
        if dictionary not in self.names:
            return f"dictGet({{{newer}:String}}, {at})"
        return f"dictGetOrDefault({{{newer}:String}}, {at}, {older})"

    @property
    def intervals(self) -> str:
        """SQL: all of them, as a table."""
        older, newer = "dictionary({intervals:String})", "dictionary({newer_intervals:String})"
        unchanged = f"SELECT * FROM {older} WHERE NOT dictHas({{newer_devices:String}}, visitor)"
        match "intervals" in self.names, "newer_devices" in self.names:
            case True, False:
                return older
            case True, True if "newer_intervals" in self.names:
                return f"(\n    SELECT * FROM {newer}\n    UNION ALL\n    {unchanged}\n)"
            case True, True:
                return f"(\n    {unchanged}\n)"
        return newer if "newer_intervals" in self.names else NO_INTERVALS


class Keeps(Protocol):
    """Who keeps owners of a store between questions."""

    def kept(self, reads: Reads, project_id: str, bots: bool) -> KeptOwners: ...


@dataclass(frozen=True)
class Resolution:
    """`params`: the values its relations need. `persons`: of users that are the same person as
    another, that one. `unlinked`: some pairs are. `bots`: they count, too. `kept`: owners are
    looked up there, else joined."""

    policy: Policy
    params: Mapping[str, object]
    as_of: bool = False
    persons: Mapping[str, str] = field(default_factory=dict)
    unlinked: bool = False
    bots: bool = False
    kept: KeptOwners | None = None

    @property
    def decided(self) -> bool:
        """Whether there are decisions that its relations have to look at."""
        return self.unlinked or bool(self.persons)

    def person(self, user_id: str) -> str:
        """The user that this one is the same person as; mostly itself."""
        return self.persons.get(user_id, user_id)

    def same_people(self, persons: list[str]) -> list[str]:
        """These users and all that are the same person as one of them."""
        wanted = set(persons)
        return [*persons, *(user for user, person in self.persons.items() if person in wanted)]

    @property
    def received(self) -> list[str]:
        """Conditions on events `e` that had been received by then."""
        return [f"e.received_at <= {AS_OF}"] if self.as_of else []

    @property
    def slots(self) -> dict[str, str]:
        """What its relations, of rows `r`, are filled with."""
        id_, hash_ = (PERSON, PERSON_HASH) if self.persons else ("$of", "$of")
        return {
            "people": "" if self.bots else "AND NOT is_bot",
            "received": f"AND received_at <= {AS_OF}" if self.as_of else "",
            "linked": f"AND {LINKED}" if self.unlinked else "",
            "is_linked": LINKED if self.unlinked else "TRUE",
            "where_linked": f"WHERE {LINKED}" if self.unlinked else "",
            "person": id_.replace("$of", "r.user_id"),
            "event_person": id_.replace("$of", "assumeNotNull(r.user_id)"),
            "person_hash": hash_.replace("$of", "r.user_hash"),
            "seen": hash_.replace("$of", SEEN),
        }


def resolve(
    reads: Reads,
    project_id: str,
    policy: Policy,
    as_of_ms: int | None = None,
    bots: bool = False,
    keeper: Keeps | None = None,
) -> Resolution:
    """What to answer on. `as_of_ms`: since 1970; None: all that is known now. `bots`: with them.
    `keeper`: has the owners of all that is known now."""
    params: dict[str, object] = {"project_id": project_id}
    if as_of_ms is not None:
        params["as_of"] = bound_ms(as_of_ms)
    kept = keeper.kept(reads, project_id, bots) if keeper and as_of_ms is None else None
    decisions = kept.decisions if kept else decisions_of(reads, params)
    return Resolution(
        policy,
        {**params, **decisions.params, **(kept.names if kept else {})},
        as_of_ms is not None,
        decisions.persons,
        decisions.unlinked,
        bots,
        kept,
    )


def with_decisions(
    resolution: Resolution, aliases: Iterable[Aliased], unlinks: Iterable[Pair]
) -> Resolution:
    """The same, if these were all the decisions there are. Owners are joined, for nobody keeps
    them on these."""
    decisions = _read(list(aliases), list(unlinks))
    kept = {name: value for name, value in resolution.params.items() if name not in OF_DECISIONS}
    return replace(
        resolution,
        params={**kept, **decisions.params},
        persons=decisions.persons,
        unlinked=decisions.unlinked,
        kept=None,
    )


def decisions_of(reads: Reads, params: Params) -> Decisions:
    """Those of a project, now or as of then."""
    decided = reads.query(DECIDED, params)
    if not decided:
        return NONE
    at = (params["project_id"], str(decided), params.get("as_of"))
    if at not in _known:
        then = f"AND decided_at <= {AS_OF}" if "as_of" in params else ""
        (found,) = reads.query(fill(DECISIONS, {"then": then}), params)
        if len(_known) >= MOST_KEPT:
            _known.clear()
        _known[at] = _read(found["aliases"], found["unlinks"])
    return _known[at]


def _read(aliases: list[Aliased], unlinks: list[Pair]) -> Decisions:
    params: dict[str, object] = {}
    if aliases:
        params |= dict(zip(OF_ALIASES, map(list, zip(*aliases, strict=True)), strict=True))
    if unlinks:
        params |= dict(zip(OF_UNLINKS, map(list, zip(*unlinks, strict=True)), strict=True))
    return Decisions({user: person for user, person, *_ in aliases}, bool(unlinks), params)


def in_range(at: str, values: Params) -> list[str]:
    """Conditions that a timestamp lies between `from_` and `to`, as far as these are bound."""
    return [f"{at} {side}" for name, side in RANGE.items() if name in values]
