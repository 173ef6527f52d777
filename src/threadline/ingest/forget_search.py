"""Looking for what there is of the people who are to be forgotten.

The writer does it between two blocks of events, while nothing is inserted: so it takes as few
statements as it can, and those that do not wait for each other go side by side.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import NamedTuple

import msgspec
import numpy as np

from threadline.identity import decisions
from threadline.identity.resolution import PROJECT, USERS
from threadline.ingest.accept import event_id_hash
from threadline.ingest.dead_letters import Whose
from threadline.ingest.forget_plan import (
    DECISIONS,
    EVENTS,
    NUMBERS_AT_ONCE,
    Share,
    in_turn,
    side_by_side,
)
from threadline.ingest.log import Ahead, ForgetRequest
from threadline.store import HALF_MADE, READERS, Row, Store

# A server takes no more than 128 KiB for a bound value.
IDS_AT_ONCE = 300

LINKS = "SELECT user_id, user_hash, visitor, any(anonymous_id) AS anonymous_id FROM %s"
# The same of the events, for while `links` is being made anew and lacks the newest.
OBSERVATIONS = """(
    SELECT e.project_id AS project_id, assumeNotNull(e.user_id) AS user_id,
        e.user_hash AS user_hash, e.visitor AS visitor, e.anonymous_id AS anonymous_id
    FROM events AS e
    WHERE e.user_id IS NOT NULL AND NOT e.anonymous_id_generated
)"""
BY_PAIR = "GROUP BY user_id, user_hash, visitor"
LINKS_OF_USERS = f"{LINKS} WHERE {PROJECT} AND {USERS} {BY_PAIR}"
LINKS_OF_DEVICES = f"{LINKS} WHERE {PROJECT} AND visitor IN {{visitors:Array(UInt64)}} {BY_PAIR}"
# Everybody who was seen where any of these users were.
LINKS_AROUND_USERS = f"""
    {LINKS}
    WHERE {PROJECT} AND visitor IN (SELECT visitor FROM %s WHERE {PROJECT} AND {USERS})
    {BY_PAIR}"""
UNLINKED = f"""
    SELECT visitor, sipHash64('user', user_id) AS user_hash FROM unlinks
    WHERE {PROJECT} AND visitor IN {{visitors:Array(UInt64)}}
    GROUP BY visitor, user_id HAVING argMax(unlinked, decided_at)"""
# Most projects never decide anything, and need not be asked what. And whether `links` lacks any.
AROUND = " UNION ALL ".join(
    [
        *(f"(SELECT '{at}' AS found FROM {at} WHERE {PROJECT} LIMIT 1)" for at in DECISIONS),
        f"(SELECT subject AS found FROM ({HALF_MADE.substitute(table='links')}))",
    ]
)

IDS = "FROM (SELECT arrayJoin({ids:Array(String)}) AS id)"
HASHES = f"SELECT id, sipHash64('user', id) AS hash {IDS}"
VISITORS = f"SELECT id, sipHash64(id) AS hash {IDS}"
FOUND = f"SELECT user_hash, visitor, traffic_source, event_id FROM events WHERE {EVENTS}"

# 64-bit numbers come as they are or as text, by version.
ROW = msgspec.json.Decoder(tuple[int | str, int | str, int | str, str])


class FoundEvents(NamedTuple):
    """`shares`: by project. `events`: how many, by receipt. `letters`: which dead letters."""

    shares: list[Share]
    events: dict[str, int]
    letters: list[Whose]


def find(store: Store, id_key: int, requests: Sequence[ForgetRequest]) -> FoundEvents:
    """What there is of everybody who is to be forgotten. `id_key`: the log's, for hashes of
    event_ids. Raises `StoreError`."""
    found = FoundEvents([], {}, [])
    by_project = sorted(requests, key=lambda asked: asked.project_id)
    for project_id, asked in groupby(by_project, key=lambda asked: asked.project_id):
        _Search(store, project_id, list(asked)).find(id_key, found)
    return found


def find_ahead(
    store: Store, id_key: int, requests: Sequence[ForgetRequest], ahead: Sequence[Ahead]
) -> tuple[FoundEvents, list[int]]:
    """The same, also for requests that lie further on in the log, behind rows that are not in the
    store yet; and which of its records these are.

    As long as the rows tell nothing of whom they are about, it makes no difference that they are
    carried out earlier. Raises `StoreError`."""
    while True:
        later = [record for record in ahead if record.forget]
        found = find(store, id_key, [*requests, *(r.forget for r in later if r.forget)])
        names = {
            msgspec.msgpack.encode(name)
            for whose in found.letters
            for name in whose.users | whose.devices | whose.sole_devices
        }
        last = max((record.seq for record in later), default=0)
        for number, record in enumerate(ahead):
            if record.seq < last and any(name in record.body for name in names):
                ahead = ahead[:number]
                break
        else:
            return found, [record.seq for record in later]


class _Search:
    """Looks for what there is of the people in one project's requests."""

    def __init__(self, store: Store, project_id: str, requests: Sequence[ForgetRequest]) -> None:
        self._store = store
        self._project_id = project_id
        self._requests = requests
        self._links_table = "links"
        self._decided: set[str] = set()
        # Devices by name, and on which of them whose events are left to whom.
        self._names: dict[int, str] = {}
        self._had: dict[int, set[int]] = {}

    def find(self, id_key: int, found: FoundEvents) -> None:
        self._look_around()
        asked = [r.user_id for r in self._requests if r.user_id is not None]
        people = {user_id: frozenset((user_id,)) for user_id in asked}
        if "alias_decisions" in self._decided:
            people = decisions.same_people(self._store, self._project_id, asked)
        users: frozenset[str] = frozenset().union(*people.values())
        devices = frozenset(r.anonymous_id for r in self._requests if r.anonymous_id is not None)
        hashes, visitors, around = self._together(
            partial(self._ask, HASHES, "ids", sorted(users), IDS_AT_ONCE),
            partial(self._ask, VISITORS, "ids", sorted(devices), IDS_AT_ONCE),
            partial(self._links, LINKS_AROUND_USERS, "user_ids", sorted(users), IDS_AT_ONCE),
        )
        hash_of = {row["id"]: row["hash"] for row in hashes}
        visitor_of = {row["id"]: row["hash"] for row in visitors}
        share = Share(self._project_id, decided=[])
        share.users = sorted(hash_of.values())
        share.devices = sorted(visitor_of.values())
        self._find_devices(share, users, around)
        self._find_others(share, users)
        sole = frozenset(self._names[visitor] for visitor in share.untagged)
        found.letters.append(Whose(self._project_id, users, devices, sole))
        turns = self._turns(share, people, hash_of, visitor_of)
        self._look_through(share, turns, id_key, found.events)
        found.shares.append(share)

    def _look_around(self) -> None:
        """Where to look: whether `links` can be relied on, and which decisions there are."""
        around = self._store.query(AROUND, {"project_id": self._project_id})
        found = {row["found"] for row in around}
        self._decided = found & DECISIONS.keys()
        if "links" in found:
            self._links_table = OBSERVATIONS

    def _find_devices(self, share: Share, users: frozenset[str], around: list[Row]) -> None:
        """Where the users' events lie, and which devices were theirs alone. Where one was unlinked,
        others' untagged events are not theirs to take along."""
        theirs = [row for row in around if row["user_id"] in users]
        self._names |= {row["visitor"]: row["anonymous_id"] for row in theirs}
        visitors = sorted({row["visitor"] for row in theirs})
        going = set(share.users)
        unlinked: set[tuple[int, int]] = set()
        if "unlinks" in self._decided:
            unlinked = {
                (row["visitor"], row["user_hash"])
                for row in self._ask(UNLINKED, "visitors", visitors, NUMBERS_AT_ONCE)
            }
        seen: dict[int, set[int]] = {visitor: set() for visitor in visitors}
        for row in around:
            seen[row["visitor"]].add(row["user_hash"])
        self._had = {
            visitor: {user for user in seen_there if (visitor, user) not in unlinked}
            for visitor, seen_there in seen.items()
        }
        share.visitors = sorted({*visitors, *share.users})
        share.untagged = [visitor for visitor in visitors if set() < self._had[visitor] <= going]
        share.emptied = [visitor for visitor in visitors if seen[visitor] <= going]
        share.shared = [visitor for visitor in visitors if not seen[visitor] <= going]

    def _find_others(self, share: Share, users: frozenset[str]) -> None:
        """Who else was seen on devices that go as a whole, and where their other events are."""
        links = self._links(LINKS_OF_DEVICES, "visitors", share.devices, NUMBERS_AT_ONCE)
        others = {row["user_id"]: row["user_hash"] for row in links if row["user_id"] not in users}
        rest = self._links(LINKS_OF_USERS, "user_ids", sorted(others), IDS_AT_ONCE)
        share.others = sorted(others.values())
        share.of_others = sorted({*others.values(), *(row["visitor"] for row in rest)})

    def _turns(
        self,
        share: Share,
        people: dict[str, frozenset[str]],
        hash_of: dict[str, int],
        visitor_of: dict[str, int],
    ) -> "_Turns":
        turns = _Turns(len(self._requests))
        for turn, request in enumerate(self._requests):
            for user_id in people.get(request.user_id or "", ()):
                turns.of_users.setdefault(hash_of[user_id], turn)
            if request.anonymous_id is not None:
                turns.of_devices.setdefault(visitor_of[request.anonymous_id], turn)
        for visitor in share.untagged:
            turns.of_untagged[visitor] = max(turns.of_users[user] for user in self._had[visitor])
        return turns

    def _look_through(
        self, share: Share, turns: "_Turns", id_key: int, events: dict[str, int]
    ) -> None:
        """All their events: how many each request takes, where they came from, and their ids."""
        events.update({request.receipt_id: 0 for request in self._requests})
        traffic_sources, visitors, hashes = set(), set(), []
        decided: set[str] = set()
        for params in share.slices():
            for table in self._decided - decided:
                sql = f"SELECT 1 FROM {table} WHERE {DECISIONS[table]} LIMIT 1"
                if self._store.query(sql, params):
                    decided.add(table)
            lines = self._store.query_bytes(FOUND, params, "JSONCompactEachRow").splitlines()
            for line in lines:
                user_hash, visitor, traffic_source, event_id = ROW.decode(line)
                turn = turns.first(int(user_hash), int(visitor))
                events[self._requests[turn].receipt_id] += 1
                visitors.add(int(visitor))
                traffic_sources.add(int(traffic_source))
                hashes.append(event_id_hash(id_key, self._project_id, event_id))
        share.decided = sorted(decided)
        share.traffic_sources = sorted(traffic_sources)
        share.event_ids = np.array(hashes, dtype=np.uint64).tobytes()
        # Users' own places are looked at in vain where all events had a device.
        share.visitors = [v for v in share.visitors if v in visitors or v in self._names]

    def _links(self, sql: str, name: str, values: Sequence[object], at_once: int) -> list[Row]:
        return self._ask(sql.replace("%s", self._links_table), name, values, at_once)

    def _ask(self, sql: str, name: str, values: Sequence[object], at_once: int) -> list[Row]:
        """All rows, for as many values at a time as a server takes."""
        params = {"project_id": self._project_id}
        return [
            row
            for some in in_turn(values, at_once)
            for row in self._store.query(sql, {**params, name: some})
        ]

    @staticmethod
    def _together(*asks: Callable[[], list[Row]]) -> list[list[Row]]:
        return side_by_side(asks, READERS)


class _Turns:
    """Which of the requests takes an event along: the first that covers it, as if they were carried
    out one after the other. What carries no user goes with the last of those who had the device."""

    def __init__(self, requests: int) -> None:
        self._never = requests
        self.of_users: dict[int, int] = {}
        self.of_devices: dict[int, int] = {}
        self.of_untagged: dict[int, int] = {}

    def first(self, user_hash: int, visitor: int) -> int:
        by_user = (
            self.of_users.get(user_hash, self._never)
            if user_hash
            else self.of_untagged.get(visitor, self._never)
        )
        return min(by_user, self.of_devices.get(visitor, self._never))
