"""Forgetting people and devices: what there is of them is found, written down, and deleted.

Requests travel through the log like events, so they cover exactly what was accepted before them.
Those that lie in it one behind the other are carried out together: `find` looks for what has to go;
the log keeps that as a plan, so that after a crash the very same goes, however much of it is gone
already. `delete` tells the store, which leaves all of it out of every answer from then on, but not
what comes later; the parts that hold it are rewritten beside inserts and questions. `erase.py`
waits for that.

A plan tells people by the numbers that the store joins them by, and so does what the engine notes
down: no id gets onto the disk for being forgotten.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from itertools import groupby
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np

from threadline.identity import decisions, states
from threadline.identity.resolution import PROJECT, USERS
from threadline.ingest import unused_places
from threadline.ingest.accept import event_id_hash
from threadline.ingest.dead_letters import Whose
from threadline.ingest.dedup import Dedup
from threadline.ingest.log import Ahead, ForgetRequest
from threadline.store import REBUILD, QueryTimeout, Row, Store, unfinished

T = TypeVar("T")

# A server takes no more than 128 KiB for a bound value.
IDS_AT_ONCE = 300
NUMBERS_AT_ONCE = 5000
# Inserts wait while places that nobody else came by are looked for.
PLACES_S = 0.1

LINKS = "SELECT user_id, user_hash, visitor, any(anonymous_id) AS anonymous_id FROM %s"
# The same of the events, for while `links` is being made anew and lacks the newest.
OBSERVATIONS = """(
    SELECT e.project_id AS project_id, assumeNotNull(e.user_id) AS user_id,
        e.user_hash AS user_hash, e.visitor AS visitor, e.anonymous_id AS anonymous_id
    FROM events AS e
    WHERE e.user_id IS NOT NULL AND NOT e.anonymous_id_made
)"""
BY_PAIR = "GROUP BY user_id, user_hash, visitor"
LINKS_OF_USERS = f"{LINKS} WHERE {PROJECT} AND {USERS} {BY_PAIR}"
LINKS_OF_DEVICES = f"{LINKS} WHERE {PROJECT} AND visitor IN {{visitors:Array(UInt64)}} {BY_PAIR}"
UNLINKED = f"""
    SELECT visitor, sipHash64('user', user_id) AS user_hash FROM unlinks
    WHERE {PROJECT} AND visitor IN {{visitors:Array(UInt64)}}
    GROUP BY visitor, user_id HAVING argMax(unlinked, decided_at)"""

IDS = "FROM (SELECT arrayJoin({ids:Array(String)}) AS id)"
HASHES = f"SELECT id, sipHash64('user', id) AS hash {IDS}"
VISITORS = f"SELECT id, sipHash64(id) AS hash {IDS}"

# Events of users on their devices and at their own place, of devices what carries no user, and all
# of devices that are forgotten themselves. A `user_hash` of 0: no user.
EVENTS = f"""{PROJECT} AND (
    (visitor IN {{visitors:Array(UInt64)}} AND user_hash IN {{users:Array(UInt64)}})
    OR (visitor IN {{untagged:Array(UInt64)}} AND user_hash = 0)
    OR visitor IN {{devices:Array(UInt64)}}
)"""
FOUND = f"SELECT user_hash, visitor, place, event_id FROM events WHERE {EVENTS}"

HASH = "sipHash64('user', %s) IN {users:Array(UInt64)}"
ON_DEVICES = "visitor IN {devices:Array(UInt64)}"

# Every table that tells of people, but for `event_ids` and `places`, which name nobody. Each with
# what it is about: where there is none of that, there is nothing to delete.
DELETED = {
    "events": (EVENTS, ("visitors", "devices")),
    "activity": (EVENTS, ("visitors", "devices")),
    "visitor_touches": (
        f"{PROJECT} AND (visitor IN {{untagged:Array(UInt64)}} OR {ON_DEVICES})",
        ("untagged", "devices"),
    ),
    "user_touches": (
        f"""{PROJECT} AND (
            {HASH % "user_id"} OR sipHash64('user', user_id) IN {{others:Array(UInt64)}}
        )""",
        ("visitors", "others"),
    ),
    "device_users": (
        f"{PROJECT} AND (visitor IN {{visitors:Array(UInt64)}} OR {ON_DEVICES})",
        ("visitors", "devices"),
    ),
    "links": (
        f"{PROJECT} AND (user_hash IN {{users:Array(UInt64)}} OR {ON_DEVICES})",
        ("visitors", "devices"),
    ),
}
# Mostly there are none.
DECISIONS = {
    "unlinks": f"""{PROJECT} AND (
        {HASH % "user_id"} OR visitor IN {{emptied:Array(UInt64)}} OR {ON_DEVICES}
    )""",
    "aliases": f"{PROJECT} AND ({HASH % 'user_id'} OR {HASH % 'canonical'})",
    "alias_decisions": f"{PROJECT} AND ({HASH % 'user_id'} OR {HASH % 'alias_of'})",
}

# What was deleted with it and belongs to somebody else follows from the events that remain.
REMAINING = {
    "device_users": (f"e.{PROJECT} AND e.visitor IN {{shared:Array(UInt64)}}", "shared"),
    "user_touches": (f"e.{PROJECT} AND e.visitor IN {{of_others:Array(UInt64)}}", "of_others"),
}


class Share(msgspec.Struct):
    """What goes of one project, in the numbers of `events`.

    `users`; `visitors`: where their events lie. `untagged`: devices that only they had. `emptied`:
    those nobody else was ever seen on; `shared`: all but those. `devices`: they go as a whole;
    `others` were seen there, too, and their events lie at `of_others`. `places`: where any of the
    events came from.
    `event_ids`: packed 64-bit hashes.
    """

    project_id: str
    users: list[int] = []
    visitors: list[int] = []
    untagged: list[int] = []
    emptied: list[int] = []
    shared: list[int] = []
    devices: list[int] = []
    others: list[int] = []
    of_others: list[int] = []
    places: list[int] = []
    event_ids: bytes = b""

    def slices(self) -> Iterator[dict[str, object]]:
        """The same as bound values, so many visitors at a time that a server takes them."""
        bound: dict[str, object] = {"project_id": self.project_id, "users": self.users}
        lists: dict[str, list[int]] = {name: getattr(self, name) for name in SLICED}
        everywhere: set[int] = set().union(*lists.values())
        for some in in_turn(sorted(everywhere) or [0], NUMBERS_AT_ONCE):
            here = set(some)
            yield bound | {name: [n for n in lists[name] if n in here] for name in SLICED}


SLICED = "visitors untagged emptied shared devices others of_others".split()


class Found(NamedTuple):
    """`shares`: by project. `events`: how many, by receipt. `letters`: which dead letters."""

    shares: list[Share]
    events: dict[str, int]
    letters: list[Whose]


def encode(shares: Sequence[Share]) -> bytes:
    """As a plan for the log."""
    return msgspec.msgpack.encode(shares)


def decode(plan: bytes) -> list[Share]:
    return msgspec.msgpack.decode(plan, type=list[Share])


def find(store: Store, id_key: int, requests: Sequence[ForgetRequest]) -> Found:
    """What there is of everybody who is to be forgotten. `id_key`: the log's, for hashes of
    event_ids. Raises `StoreError`."""
    found = Found([], {}, [])
    by_project = sorted(requests, key=lambda asked: asked.project_id)
    for project_id, asked in groupby(by_project, key=lambda asked: asked.project_id):
        _Search(store, project_id, list(asked)).find(id_key, found)
    return found


def find_ahead(
    store: Store, id_key: int, requests: Sequence[ForgetRequest], ahead: Sequence[Ahead]
) -> tuple[Found, list[int]]:
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


def delete(store: Store, dedup: Dedup, shares: Sequence[Share]) -> None:
    """Have the store leave all of it out of every answer, and delete it. However often it is
    done, it ends in the same place, until anything else is inserted. Raises `StoreError`."""
    for share in shares:
        dedup.forget(np.frombuffer(share.event_ids, dtype=np.uint64))
        for bound in share.slices():
            for table, (condition, about) in DELETED.items():
                if any(bound[name] for name in about):
                    store.delete(table, condition, bound)
        for bound in share.slices():
            for table, (where, about_others) in REMAINING.items():
                if bound[about_others]:
                    states.add(store, table, where, bound)
            for table, condition in DECISIONS.items():
                if store.query(f"SELECT 1 FROM {table} WHERE {condition} LIMIT 1", bound):
                    store.delete(table, condition, bound)
        # Of many events that takes long; then it is left to `erase.py`.
        with suppress(QueryTimeout):
            unused_places.delete(store, share.project_id, share.places, nullcontext, PLACES_S)


# 64-bit numbers come as they are or as text, by version.
ROW = msgspec.json.Decoder(tuple[int | str, int | str, int | str, str])


class _Search:
    """Looks for what there is of the people in one project's requests."""

    def __init__(self, store: Store, project_id: str, requests: Sequence[ForgetRequest]) -> None:
        self._store = store
        self._project_id = project_id
        self._requests = requests
        # Devices by name, and on which of them whose events are left to whom.
        self._names: dict[int, str] = {}
        self._had: dict[int, set[int]] = {}
        rebuilt = any((at.name, at.subject) == (REBUILD, "links") for at in unfinished(store))
        self._seen = OBSERVATIONS if rebuilt else "links"

    def find(self, id_key: int, found: Found) -> None:
        asked = [r.user_id for r in self._requests if r.user_id is not None]
        people = decisions.same_people(self._store, self._project_id, asked)
        users: frozenset[str] = frozenset().union(*people.values())
        devices = frozenset(r.anonymous_id for r in self._requests if r.anonymous_id is not None)
        hash_of, visitor_of = self._hashes(HASHES, users), self._hashes(VISITORS, devices)
        share = Share(self._project_id)
        share.users = sorted(hash_of.values())
        share.devices = sorted(visitor_of.values())
        self._find_devices(share, users)
        self._find_others(share, users)
        sole = frozenset(self._names[visitor] for visitor in share.untagged)
        found.letters.append(Whose(self._project_id, users, devices, sole))
        turns = _Turns(len(self._requests))
        for turn, request in enumerate(self._requests):
            for user_id in people.get(request.user_id or "", ()):
                turns.of_users.setdefault(hash_of[user_id], turn)
            if request.anonymous_id is not None:
                turns.of_devices.setdefault(visitor_of[request.anonymous_id], turn)
        for visitor in share.untagged:
            turns.of_untagged[visitor] = max(turns.of_users[user] for user in self._had[visitor])
        self._look_through(share, turns, id_key, found.events)
        found.shares.append(share)

    def _find_devices(self, share: Share, users: frozenset[str]) -> None:
        """Where the users' events lie, and which devices were theirs alone. Where one was unlinked,
        others' untagged events are not theirs to take along."""
        links = self._links(LINKS_OF_USERS % self._seen, "user_ids", sorted(users), IDS_AT_ONCE)
        self._names |= {row["visitor"]: row["anonymous_id"] for row in links}
        visitors = sorted({row["visitor"] for row in links})
        going = set(share.users)
        unlinked = {
            (row["visitor"], row["user_hash"])
            for row in self._links(UNLINKED, "visitors", visitors, NUMBERS_AT_ONCE)
        }
        seen: dict[int, set[int]] = {visitor: set() for visitor in visitors}
        for row in self._links(
            LINKS_OF_DEVICES % self._seen, "visitors", visitors, NUMBERS_AT_ONCE
        ):
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
        links = self._links(
            LINKS_OF_DEVICES % self._seen, "visitors", share.devices, NUMBERS_AT_ONCE
        )
        others = {row["user_id"]: row["user_hash"] for row in links if row["user_id"] not in users}
        rest = self._links(LINKS_OF_USERS % self._seen, "user_ids", sorted(others), IDS_AT_ONCE)
        share.others = sorted(others.values())
        share.of_others = sorted({*others.values(), *(row["visitor"] for row in rest)})

    def _look_through(
        self, share: Share, turns: "_Turns", id_key: int, events: dict[str, int]
    ) -> None:
        """All their events: how many each request takes, where they came from, and their ids."""
        events.update({request.receipt_id: 0 for request in self._requests})
        places, visitors, hashes = set(), set(), []
        for bound in share.slices():
            lines = self._store.query_bytes(FOUND, bound, "JSONCompactEachRow").splitlines()
            for line in lines:
                user_hash, visitor, place, event_id = ROW.decode(line)
                turn = turns.first(int(user_hash), int(visitor))
                events[self._requests[turn].receipt_id] += 1
                visitors.add(int(visitor))
                places.add(int(place))
                hashes.append(event_id_hash(id_key, self._project_id, event_id))
        share.places = sorted(places)
        share.event_ids = np.array(hashes, dtype=np.uint64).tobytes()
        # Users' own places are looked at in vain where all events had a device.
        share.visitors = [v for v in share.visitors if v in visitors or v in self._names]

    def _hashes(self, sql: str, ids: frozenset[str]) -> dict[str, int]:
        return {row["id"]: row["hash"] for row in self._links(sql, "ids", sorted(ids), IDS_AT_ONCE)}

    def _links(self, sql: str, name: str, values: Sequence[object], at_once: int) -> list[Row]:
        """All rows, for as many values at a time as a server takes."""
        bound = {"project_id": self._project_id}
        return [
            row
            for some in in_turn(values, at_once)
            for row in self._store.query(sql, {**bound, name: some})
        ]


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


def in_turn(values: Sequence[T], at_once: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), at_once):
        yield values[start : start + at_once]
