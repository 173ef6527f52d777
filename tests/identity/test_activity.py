"""Who was active when is known without the events, however much happened within an hour."""

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
# Three turns in one hour; the last of them goes on after it.
BUSY: Story = [(0, None), (10, "ada"), (20, None), (30, "bob"), (40, None), (70, "cy")]


def asked(store: Store, policy: Policy) -> tuple[list[object], list[list[int]]]:
    on = ground(store, "p", policy)
    params = stats.Params(metric="persons", interval="day")
    cohorts = retention.ask(store, on, retention.Params(interval="day", periods=2)).rows
    rows = stats.ask(store, on, params).rows
    return [row["value"] for row in rows], [[c.persons, *c.retained] for c in cohorts]


@pytest.mark.parametrize("policy", ["first", "next"])
@pytest.mark.parametrize("story", [QUIET, BUSY])
def test_hours_tell_all_without_events(folder: Path, story: Story, policy: Policy) -> None:
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
        known = ([len(users)], [[len(users), len(users), 0]])
        assert asked(store, policy) == known
        store.execute("TRUNCATE TABLE events")
        assert asked(store, policy) == known
