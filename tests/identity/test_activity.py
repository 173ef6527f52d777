"""Who was active when is known without the events, unless too much happened within an hour."""

from pathlib import Path

import pytest

from tests.support import row_values
from threadline.identity.ground import Policy, ground
from threadline.ingest import row
from threadline.questions import retention, stats
from threadline.store import Store, store_url

NOON = 1_777_636_800_000  # 2026-05-01
BEFORE_MIDNIGHT = 11 * 60 + 50

# Minutes after noon, and who the event carries.
Story = list[tuple[int, str | None]]
QUIET: Story = [(0, None), (5, "ada"), (50, None), (90, "bob"), (BEFORE_MIDNIGHT, None)]
# Three turns in one hour, and the one in the middle may have been empty.
BUSY: Story = [(0, None), (10, "ada"), (20, None), (30, "bob"), (40, None), (50, "cy")]


def asked(store: Store, policy: Policy) -> tuple[list[object], list[list[int]]]:
    on = ground(store, "p", policy)
    params = stats.Params(metric="persons", interval="day")
    cohorts = retention.ask(store, on, retention.Params(interval="day", periods=2)).rows
    rows = stats.ask(store, on, params).rows
    return [row["value"] for row in rows], [[c.persons, *c.retained] for c in cohorts]


@pytest.mark.parametrize(
    ("story", "policy", "without_events"),
    [
        (QUIET, "next", True),
        (QUIET, "first", True),
        (BUSY, "first", True),
        (BUSY, "next", False),
    ],
)
def test_hours_tell_as_much_as_events(
    folder: Path, story: Story, policy: Policy, without_events: bool
) -> None:
    values = [
        row_values(
            event_id=f"e{minute}",
            anonymous_id="kiosk",
            user_id=user,
            timestamp=NOON + minute * 60_000,
        )
        for minute, user in story
    ]
    with Store(store_url("chdb", folder)) as store:
        body = b"".join(row.encode(one) for one in values)
        store.insert("events", row.COLUMNS, "MsgPack", body, "1")
        users = {user for _, user in story} - {None}
        assert asked(store, policy) == ([len(users)], [[len(users), len(users), 0]])
        store.execute("TRUNCATE TABLE events")
        nothing: tuple[list[object], list[list[int]]] = ([], [])
        kept = ([len(users)], [[len(users), len(users), 0]])
        assert asked(store, policy) == (kept if without_events else nothing)
