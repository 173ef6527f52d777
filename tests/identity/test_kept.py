"""Owners that are kept in memory say the same as the joins that they stand for, whatever happens in
between."""

from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import row_values
from tests.width import EXAMPLES
from threadline.contract.errors import AliasCycle
from threadline.identity import decisions, kept
from threadline.identity.kept import Keeper
from threadline.identity.parts import (
    CHANGED_OWNERS,
    Part,
    Seen,
    changed_devices,
    is_any_gone,
    parts_now,
)
from threadline.identity.reading import Reads
from threadline.identity.visits import Wanted
from threadline.ingest import row
from threadline.questions.context import Context
from threadline.store import Store, store_url

NOON = 1_777_636_800_000
SECOND = 1_000
DEVICES = ("phone", "laptop", "kiosk", "till")
USERS = ("ada", "bob", "cy")
PERSONS = """
WITH considered AS (
    SELECT visitor, user_hash, timestamp, event_id
    FROM counted_events AS e
)
SELECT groupArray((event_id, person)) AS owned
FROM (
    SELECT event_id, person
    FROM person_events
    ORDER BY event_id
)"""
TOUCHES = """
SELECT groupArray((user_id, first_touch.event_id, known_since)) AS touches
FROM (
    SELECT user_id, first_touch, known_since
    FROM first_touches
    ORDER BY user_id
)"""
TOUCH_TIMES = """
SELECT groupArray((user_id, first_touched_at, known_since)) AS touches
FROM (
    SELECT user_id, first_touched_at, known_since
    FROM first_touch_times
    ORDER BY user_id
)"""
FIRST_EVENTS = """
SELECT groupArray((person, first_touch.event_id)) AS touches
FROM (
    SELECT person, first_touch
    FROM first_events
    ORDER BY person
)"""

_projects = count(1)
_blocks = count(1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(store_url("chdb", tmp_path_factory.mktemp("kept"))) as opened:
        yield opened


Event = tuple[str, str | None, int, bool]


def insert(store: Store, project: str, *events: Event, noted: bool = True) -> None:
    """Events of (device, user, second, is_bot); on a server where there is no device. `noted`: as
    the writer inserts few."""
    block = next(_blocks)
    values = [
        row_values(
            project_id=project,
            event_id=f"{block}-{number}",
            anonymous_id=device or f"generated {block}-{number}",
            anonymous_id_generated=not device,
            user_id=user,
            timestamp=NOON + second * SECOND,
            is_bot=is_bot,
        )
        for number, (device, user, second, is_bot) in enumerate(events)
    ]
    rows = row.Rows.encode(values, array("Q", [0] * len(values)))
    written = rows.written() if noted else None
    store.insert("events", row.COLUMNS, "MsgPack", rows.body, f"{block}", written=written)


def said(store: Store, project: str, keeper: Keeper | None, bots: bool = False) -> list[Any]:
    """All that relations say which are others where owners are kept."""
    found = []
    for policy, asked in (
        ("first", (PERSONS,)),
        ("next", (PERSONS, TOUCHES, TOUCH_TIMES, FIRST_EVENTS)),
        ("last", (PERSONS, TOUCHES)),
    ):
        context = Context(store, project, policy, bots=bots, keeper=keeper)  # type: ignore[arg-type]
        assert (context.resolution.kept is None) == (keeper is None)
        found += [context.ask(sql) for sql in asked]
    return found


event = st.tuples(
    st.sampled_from(DEVICES),
    st.sampled_from([None, None, *USERS]),
    st.integers(0, 40),
    st.sampled_from([False, False, False, True]),
)
decided = st.one_of(
    st.tuples(st.just("alias"), st.sampled_from(USERS), st.sampled_from(USERS)),
    st.tuples(
        st.sampled_from(["unlink", "link"]), st.sampled_from(DEVICES), st.sampled_from(USERS)
    ),
    st.tuples(st.just("delete"), st.sampled_from(DEVICES), st.just("")),
    st.tuples(st.just("merge"), st.just(""), st.just("")),
)
on_a_server = st.tuples(
    st.just(""), st.sampled_from(USERS), st.integers(0, 40), st.sampled_from([False, False, True])
)
inserted = st.tuples(
    st.lists(st.one_of(event, event, event, on_a_server), min_size=1, max_size=6), st.booleans()
)
steps = st.lists(st.one_of(inserted, inserted, decided), min_size=2, max_size=9)


def do(store: Store, project: str, step: Any) -> None:
    if isinstance(step[0], list):
        insert(store, project, *step[0], noted=step[1])
        return
    what, one, other = step
    if what == "alias" and one != other:
        try:
            decisions.alias(store, project, "test", one, other)
        except AliasCycle:
            return
    elif what == "unlink":
        decisions.unlink(store, project, "test", one, other)
    elif what == "link":
        decisions.link_again(store, project, "test", one, other)
    elif what == "delete":
        for table in ("events", "links", "device_users", "half_hours", "visitor_touches"):
            condition = "project_id = {project:String} AND visitor = sipHash64({device:String})"
            store.delete(table, condition, {"project": project, "device": one})
    elif what == "merge":
        store.execute("OPTIMIZE TABLE links FINAL")


@settings(max_examples=2 * EXAMPLES)
@given(steps=steps, bots=st.booleans())
def test_it_says_what_joins_say_after_every_step(
    store: Store, steps: list[Any], bots: bool
) -> None:
    project, keeper = f"project {next(_projects)}", Keeper(store)
    for step in steps:
        do(store, project, step)
        assert said(store, project, keeper, bots) == said(store, project, None, bots), step


def test_a_part_that_was_dropped_is_noticed_and_one_that_was_merged_is_not() -> None:
    def parts(*names: str) -> frozenset[Part]:
        return frozenset(("half_hours", name, f"/p/{name}/") for name in names)

    before = parts("202601_1_4_1", "202602_2_2_0")
    assert not is_any_gone(before, before | parts("202602_5_5_0"))
    assert not is_any_gone(before, parts("202601_1_4_1", "202602_2_6_1"))
    assert is_any_gone(before, parts("202601_1_4_1"))
    assert is_any_gone(before, parts("202602_2_2_0", "202601_5_9_1"))


def test_what_changed_is_looked_at_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    project, keeper = "looked", Keeper(store)
    for table in ("links", "half_hours"):
        store.arrange(f"SYSTEM STOP MERGES {table}")  # what is merged is looked at again
    made: list[frozenset[int]] = []
    make = Keeper._make

    def counting(self: Keeper, *given: Any) -> Any:
        made.append(given[4] if len(given) > 4 else frozenset())
        return make(self, *given)

    monkeypatch.setattr(Keeper, "_make", counting)
    insert(store, project, ("phone", "ada", 1, False), ("laptop", "bob", 2, False))

    def asked() -> None:
        assert said(store, project, keeper) == said(store, project, None)

    asked()
    assert made == [frozenset()]
    parts = parts_now
    looked: list[object] = []

    def looking(reads: Reads) -> frozenset[Part]:
        looked.append(reads)
        return parts(reads)

    monkeypatch.setattr(kept, "parts_now", looking)
    insert(store, project, ("phone", None, 3, False))
    insert(store, "another", ("phone", "ada", 3, False))
    insert(store, project, ("phone", "ada", 3, False))
    asked()
    assert made == [frozenset()], "nobody was seen anywhere new"
    assert not looked, "it is known where these events were"
    insert(store, project, ("till", "ada", 4, False))
    asked()
    assert looked
    insert(store, project, ("phone", "bob", 5, False))
    asked()
    assert list(map(len, made)) == [0, 2, 2], "phone, which is in a new part, and till"
    monkeypatch.setattr(kept, "MOST_NEWER", 2)
    insert(store, project, ("kiosk", "bob", 6, False))
    asked()
    assert list(map(len, made)) == [0, 2, 2, 0], "so many are all of them"
    for table in ("links", "half_hours"):
        store.arrange(f"SYSTEM START MERGES {table}")


def test_questions_see_what_was_inserted_before_them(store: Store) -> None:
    """Several threads insert and ask at once; each finds its own device with its newest user."""
    project, keeper = "raced", Keeper(store)

    def insert_and_ask(thread: int) -> None:
        device = f"device {thread}"
        for turn in range(8):
            insert(store, project, (device, f"user {thread}.{turn}", turn, False))
            context = Context(store, project, "last", keeper=keeper)
            assert context.resolution.kept
            found = context.resolution.kept.device("sipHash64({device:String})", "last")
            (answer,) = store.query(
                f"SELECT {found} AS person, sipHash64('user', {{user:String}}) AS expected",
                {
                    **context.resolution.params,
                    "device": device,
                    "user": f"user {thread}.{turn}",
                },
            )
            assert answer["person"] == answer["expected"], (thread, turn)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(insert_and_ask, range(4)))
    assert said(store, project, keeper) == said(store, project, None)


def test_nothing_is_left_of_what_is_not_used(store: Store) -> None:
    def there() -> int:
        (row,) = store.query(
            "SELECT count() AS tables FROM system.tables WHERE database = 'default_kept'", {}
        )
        return int(row["tables"])

    keeper, before = Keeper(store), there()
    for second in range(4):
        insert(store, "unused", ("phone", f"user {second}", second, False))
        said(store, "unused", keeper)
    assert 0 < there() - before <= 12
    keeper.close()
    assert there() == before


def test_a_deletion_is_seen_at_every_moment(store: Store) -> None:
    """Under way it is a mutation, done it is another part; no look finds neither."""
    project = {"project_id": "deleting"}
    users = [f"user {number}" for number in range(20)]
    insert(store, "deleting", *(("kiosk", user, 1, False) for user in users))
    store.execute("OPTIMIZE TABLE links FINAL")  # rewriting many parts takes long
    for user in users:
        before = Seen((0, 0), parts_now(store))
        store.delete("links", "user_id = {user:String}", {"user": user})
        under_way = True
        while under_way:
            under_way = bool(store.deletions())
            now = Seen((1, 0), parts_now(store))
            assert changed_devices(CHANGED_OWNERS, before, now, store, project) is None


def test_a_device_changes_hands_after_its_owners_were_looked_up(store: Store) -> None:
    """Whoever looked them up cannot know of it; the next question finds all."""
    project, keeper = "between", Keeper(store)
    half_hours = "SELECT groupUniqArray((visitor, half_hour)) AS found FROM changing_half_hours"

    def changing(context: Context) -> list[Any]:
        sql, values = context.query(half_hours, visits=Wanted(()))
        (row,) = store.query(sql, values)
        return sorted(row["found"])

    def asked(keeper: Keeper | None = keeper) -> Context:
        return Context(store, project, "next", keeper=keeper)

    insert(store, project, ("kiosk", "ada", 1, False), ("kiosk", "bob", 2, False))
    insert(store, project, ("phone", "ada", 1, False))
    assert changing(asked()) == changing(asked(None))
    before = asked()
    assert before.resolution.kept
    insert(store, project, ("phone", "bob", 2, False))
    assert len(changing(before)) == 1
    assert changing(asked()) == changing(asked(None))
