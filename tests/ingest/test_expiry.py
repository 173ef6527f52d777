"""Events that are older than their project keeps them: they go, what follows from them goes with
them or stays where that was said, and nobody else's changes."""

import random
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from tests.dying import Killed, unsynced_store
from tests.support import row_values, until
from tests.width import wide
from threadline.contract.times import DAY_MS
from threadline.control.keeping import Keeping
from threadline.identity import states
from threadline.ingest import row
from threadline.ingest.expiry import expire, interrupted
from threadline.ingest.too_old import Cuts, what_goes
from threadline.store import Store

TODAY = 20_600  # 2026-05-27
NAMES = ("$pageview", "purchase", "$identify", "$group")
DEVICES, USERS = [f"d{n}" for n in range(7)], [f"u{n}" for n in range(4)]
KEPT = {
    "all names alike": Keeping(20),
    "a name for longer": Keeping(20, (("purchase", 70),)),
    "a name for less": Keeping(None, (("$pageview", 10),)),
    "traits for less": Keeping(60, (("$identify", 5),)),
    "touches stay": Keeping(20, (), True),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with unsynced_store(tmp_path_factory.mktemp("expiry") / "data") as opened:
        yield opened


def world(
    store: Store, project_id: str, seed: int, events: int = 100, today: int = TODAY
) -> list[dict[str, Any]]:
    """Events of some months, in two parts of each."""
    rnd = random.Random(seed)
    made = []
    for number in range(events):
        at = today * DAY_MS - rnd.randrange(-DAY_MS, 100 * DAY_MS)
        name = rnd.choice(NAMES)
        user = rnd.choice([None, None, *USERS]) if name != "$identify" else rnd.choice(USERS)
        properties = {
            "$identify": f'{{"plan":"p{number}","color":"c"}}',
            "$group": '{"group_id":"acme"}',
        }.get(name, f'{{"amount":{number},"name_{seed}_{number % 50}":1}}')
        campaign = f"c{number % 60}"
        fields: dict[str, row.Value] = {
            "project_id": project_id,
            "event_id": f"{project_id} {number}",
            "event_name": name,
            "anonymous_id": rnd.choice(DEVICES),
            "anonymous_id_generated": rnd.random() < 0.1,
            "user_id": user,
            "timestamp": at,
            "received_at": TODAY * DAY_MS,
            "source": rnd.choice(["direct", "google"]),
            "medium": "x",
            "campaign": campaign,
            "source_rule_id": rnd.choice(["no_page", "utm"]),
            "path": rnd.choice(["", "/a"]),
            "properties": properties,
            "is_bot": rnd.random() < 0.1,
        }
        made.append(fields)
    for part in range(0, events, events // 2):
        body = b"".join(row.encode(row_values(**one)) for one in made[part : part + events // 2])
        store.insert("events", row.COLUMNS, "MsgPack", body, f"{project_id} {part}")
    return made


def stays(keeping: Keeping, event: dict[str, Any]) -> bool:
    days = keeping.days_of(event["event_name"])
    return days is None or event["timestamp"] >= (TODAY - days) * DAY_MS


def there(store: Store, project_id: str) -> set[str]:
    sql = "SELECT event_id FROM events WHERE project_id = {of:String}"
    return {found["event_id"] for found in store.query(sql, {"of": project_id})}


def with_masks(store: Store) -> Store:
    """Once all parts have theirs: until then whatever is asked takes several times as long."""
    until(lambda: not store.deletions())
    return store


def wrong_but(store: Store, *outliving: str) -> set[str]:
    found = states.verify(store, outliving=outliving)
    return {each.table for each in found if each.beyond or each.missing or each.wrong}


def test_what_is_too_old_goes_and_states_follow_exactly(store: Store) -> None:
    others = {event["event_id"] for event in world(store, "other", 2)}
    for named, keeping in KEPT.items():
        project_id = f"p {named}"
        made = world(store, project_id, 1)
        cuts = Cuts.of(project_id, keeping, TODAY)
        expected = {event["event_id"] for event in made if stays(keeping, event)}
        assert 0 < len(expected) < len(made), named
        going = what_goes(store, cuts)
        assert sum(each.events for each in going) == len(made) - len(expected), named
        assert expire(store, cuts, False, nullcontext) == len(made) - len(expected), named
        assert there(store, project_id) == expected, named
        assert there(store, "other") == others, named
        assert interrupted(store) == [], named
        assert what_goes(store, cuts) == [], named
        assert expire(store, cuts, False, nullcontext) == 0, named
    assert wrong_but(store, "p touches stay") == set()


def test_first_touches_outlive_their_events_until_that_is_taken_back(store: Store) -> None:
    project_id = "outlived"
    made = world(store, project_id, 3)

    def touches() -> list[dict[str, Any]]:
        sql = (
            "SELECT user_id, min(first_touch) AS touch, min(known_since) AS since"
            " FROM user_touches WHERE project_id = {of:String} GROUP BY user_id ORDER BY user_id"
        )
        return store.query(sql, {"of": project_id})

    def named() -> int:
        sql = """
            SELECT uniqExact(traffic_source) AS named FROM traffic_sources
            WHERE project_id = {of:String} AND traffic_source IN (
                SELECT min(first_touch).traffic_source FROM user_touches
                WHERE project_id = {of:String}
                GROUP BY user_id, is_bot
            )"""
        return int(store.query(sql, {"of": project_id})[0]["named"])

    before, names = touches(), named()
    gone = expire(store, Cuts.of(project_id, Keeping(5, (), True), TODAY), False, nullcontext)
    assert gone == len(made) - len(there(store, project_id))
    assert (touches(), named()) == (before, names), "with the names of where they came from"
    assert wrong_but(with_masks(store), project_id, "p touches stay") == set()
    states.rebuild(store, outliving=[project_id, "p touches stay"])
    assert (touches(), named()) == (before, names), "a rebuild keeps them, too"
    assert expire(store, Cuts.of(project_id, Keeping(5), TODAY), True, nullcontext) == 0
    assert touches() != before
    assert wrong_but(with_masks(store), "p touches stay") == set()


class Dying(Store):
    """The process is killed before the nth thing that it has the store do."""

    def __init__(self, store: Store, left: int) -> None:
        self.__dict__ = store.__dict__
        self.lives = {"left": left}

    def query(self, sql: str, params: Any) -> Any:
        self._next()
        return super().query(sql, params)

    def execute(self, sql: str, params: Any = None) -> None:
        self._next()
        super().execute(sql, params)

    def _next(self) -> None:
        if not self.lives["left"]:
            raise Killed
        self.lives["left"] -= 1


def test_killed_at_any_statement_it_is_finished_by_who_comes_next(store: Store) -> None:
    """Whoever finishes it goes by what was written down, whatever the project says by now."""
    keeping = KEPT["a name for longer"]
    statement, finished = 0, False
    while not finished:
        project_id = f"killed {statement}"
        made = world(store, project_id, 4, events=40)
        cuts = Cuts.of(project_id, keeping, TODAY)
        dying = Dying(store, statement)
        try:
            expire(dying, cuts, False, nullcontext)
            finished = True
        except Killed:
            for left in interrupted(store) or [cuts]:
                assert left == cuts
                expire(store, left, False, nullcontext)
        expected = {event["event_id"] for event in made if stays(keeping, event)}
        assert there(store, project_id) == expected
        statement += wide(18, 9)
    assert statement > 30
    assert wrong_but(with_masks(store), "p touches stay") == set()


def test_months_that_go_as_a_whole_are_dropped_as_such(store: Store) -> None:
    today = TODAY - 1500  # 2022-04-18
    made = world(store, "whole", 5, today=today)
    months = """
        SELECT DISTINCT table, partition FROM system.parts
        WHERE active AND table IN ('events', 'half_hours', 'names') AND partition < '202301'
        ORDER BY table, partition"""

    def there_are() -> list[str]:
        return [f"{found['table']} {found['partition']}" for found in store.query(months, {})]

    for table in ("events", "half_hours", "names"):
        store.execute(f"SYSTEM STOP MERGES {table}")  # nothing is masked or rewritten
    try:
        assert len(there_are()) == 12
        assert expire(store, Cuts.of("whole", Keeping(20), today), False, nullcontext)
        assert there_are() == [
            f"{table} {month}"
            for table in ("events", "half_hours", "names")
            for month in ("202203", "202204")
        ]
        kept = today * DAY_MS - 20 * DAY_MS
        assert there(store, "whole") == {e["event_id"] for e in made if e["timestamp"] >= kept}
    finally:
        for table in ("events", "half_hours", "names"):
            store.execute(f"SYSTEM START MERGES {table}")
    assert wrong_but(with_masks(store), "p touches stay") == set()


# By the parts of a tuple that conditions of deletions name, and others.
READ_MEANWHILE = {
    "links": ("first_seen", "visitor"),
    "visitor_touches": ("first_touch.timestamp", "first_touch.traffic_source", "visitor"),
    "user_touches": ("first_touch.timestamp", "first_touch", "known_since"),
    "traits": ("said.at", "said.value", "said"),
}


def test_what_follows_is_read_also_while_parts_wait_for_their_masks(store: Store) -> None:
    world(store, "meanwhile", 6)
    for table in READ_MEANWHILE:
        store.execute(f"SYSTEM STOP MERGES {table}")
    try:
        assert expire(store, Cuts.of("meanwhile", Keeping(20), TODAY), False, nullcontext)
        for table, columns in READ_MEANWHILE.items():
            for column in columns:
                store.query(
                    f"SELECT {column} AS found FROM {table} WHERE project_id = 'meanwhile'", {}
                )
    finally:
        for table in READ_MEANWHILE:
            store.execute(f"SYSTEM START MERGES {table}")
