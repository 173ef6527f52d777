"""Hours tell who was active when, and whose device it was; where they do not, events are asked."""

from pathlib import Path

import pytest

from tests.support import row_values
from threadline.contract.times import DAY_MS, Timestamp
from threadline.identity.resolution import Policy, resolve
from threadline.identity.stitch import stitched_events
from threadline.ingest import row
from threadline.questions import retention, stats, stats_shapes
from threadline.questions.context import Context
from threadline.store import Store, store_url

NOON = 1_777_636_800_000  # 2026-05-01
BEFORE_MIDNIGHT = 11 * 60 + 50

# Minutes after noon, and who the event carries.
Story = list[tuple[int, str | None]]
QUIET: Story = [(0, None), (5, "ada"), (50, None), (90, "bob"), (BEFORE_MIDNIGHT, None)]
# Three intervals of ownership in one hour; the last of them goes on after it.
BUSY: Story = [(0, None), (10, "ada"), (20, None), (30, "bob"), (40, None), (70, "cy")]
# There and back again; at half past, two at once.
SEVERAL: Story = [
    *((0, None), (10, "ada"), (20, None), (30, "cy"), (30, "bob"), (35, None)),
    *((40, "ada"), (50, None), (70, None), (80, "cy"), (90, None)),
]
OWNERS = {0: "ada", 20: "bob", 35: "ada", 50: "cy", 70: "cy", 90: "cy"}


def insert(store: Store, story: Story, **fields: row.Value) -> None:
    values = [
        row_values(
            event_id=f"{minute}{user or ''}",
            anonymous_id="kiosk",
            user_id=user,
            timestamp=NOON + minute * 60_000,
            **fields,
        )
        for minute, user in story
    ]
    body = b"".join(row.encode(one) for one in values)
    store.insert("events", row.COLUMNS, "MsgPack", body, str(story))


def asked(store: Store, policy: Policy) -> tuple[list[object], list[list[int]]]:
    context = Context(store, "p", policy)
    until = Timestamp(NOON + DAY_MS)
    params = stats_shapes.StatsParams(metric="persons", interval="day", to=until)
    cohorts = retention.ask(context, retention.RetentionParams(interval="day", periods=2)).rows
    rows = stats.ask(context, params).rows
    return [row.value for row in rows if row.value], [[c.persons, *c.retained] for c in cohorts]


@pytest.mark.parametrize("policy", ["first", "next", "last"])
@pytest.mark.parametrize("story", [QUIET, BUSY])
def test_hours_tell_all_without_events(folder: Path, story: Story, policy: Policy) -> None:
    with Store(store_url("chdb", folder)) as store:
        insert(store, story)
        users = {user for _, user in story} - {None}
        known = ([len(users)], [[len(users), len(users), 0]])
        assert asked(store, policy) == known
        store.execute("TRUNCATE TABLE events")
        assert asked(store, policy) == known


def owners(store: Store, bots: bool = False, policy: Policy = "next") -> dict[int, str]:
    """Of every untagged event, by its minute."""
    on = resolve(store, "p", policy, bots=bots)
    names = ("timestamp", "event_id", "user_id", "anonymous_id")
    events = stitched_events(on, ", ".join(f"e.{name} AS {name}" for name in names))
    sql = f"SELECT owner, event_id FROM ({events}) WHERE user_id IS NULL"
    return {int(row["event_id"]): row["owner"] for row in store.query(sql, on.params)}


def test_the_device_changes_hands_within_an_hour(folder: Path) -> None:
    with Store(store_url("chdb", folder)) as store:
        for one in SEVERAL[::-1]:  # each in a part of its own, the last first
            insert(store, [one])
        assert owners(store) == OWNERS
        assert asked(store, "next") == ([3], [[3, 3, 0]])


def test_a_bot_on_the_device_counts_only_among_bots(folder: Path) -> None:
    with Store(store_url("chdb", folder)) as store:
        insert(store, [(0, None), (10, "ada"), (20, None), (40, None), (50, "ada")])
        insert(store, [(30, "bob")], is_bot=True)
        assert owners(store) == {0: "ada", 20: "ada", 40: "ada"}
        assert owners(store, bots=True) == {0: "ada", 20: "bob", 40: "ada"}


def test_the_first_and_the_latest_are_of_those_who_count(folder: Path) -> None:
    with Store(store_url("chdb", folder)) as store:
        insert(store, [(5, None), (10, "ada"), (20, None), (30, "cy"), (40, None)])
        insert(store, [(0, "bob"), (50, "bob")], is_bot=True)
        expected: dict[Policy, tuple[str, str]] = {
            "first": ("ada", "bob"),
            "last": ("cy", "bob"),
            "none": ("kiosk", "kiosk"),
        }
        for policy, (people, with_bots) in expected.items():
            untagged = (5, 20, 40)
            assert owners(store, False, policy) == dict.fromkeys(untagged, people)
            assert owners(store, True, policy) == dict.fromkeys(untagged, with_bots)


def test_without_stitching_a_visitor_is_a_person_beside_the_user(folder: Path) -> None:
    """By half hours and by events alike."""
    with Store(store_url("chdb", folder)) as store:
        insert(store, BUSY)
        known = ([4], [[4, 4, 0]])
        assert asked(store, "none") == known
        by_events = Context(store, "p", "none")
        params = stats_shapes.StatsParams(metric="persons", group_by="source")
        assert [row.value for row in stats.ask(by_events, params).rows] == [4]
        store.execute("TRUNCATE TABLE events")
        assert asked(store, "none") == known
