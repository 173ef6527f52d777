"""Decisions count in the order in which they are made, whatever the clock says."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support import row_values
from threadline.identity import decisions
from threadline.identity.resolution import PROJECT
from threadline.ingest import row
from threadline.store import Store, store_url

Decide = tuple[str, tuple[str, ...]]
LINK = ("phone", "ada")


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with Store(store_url("chdb", folder)) as opened:
        body = row.encode(row_values(event_id="e", anonymous_id="phone", user_id="ada"))
        opened.insert("events", row.COLUMNS, "MsgPack", body, "1")
        yield opened


@pytest.mark.parametrize(
    ("decide", "take_back"),
    [
        (("unlink", LINK), ("link_again", LINK)),
        (("alias", ("old", "ada")), ("unalias", ("old",))),
    ],
)
def test_the_newest_decision_counts_with_a_clock_set_back(
    store: Store, monkeypatch: pytest.MonkeyPatch, decide: Decide, take_back: Decide
) -> None:
    clock = [datetime(2026, 5, 2, tzinfo=UTC)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return clock[0]

    monkeypatch.setattr(decisions, "datetime", Clock)

    def made(decision: Decide) -> bool:
        name, values = decision
        return bool(getattr(decisions, name)(store, "p", "key", *values))

    for day in (2, 1, 1, 3):
        clock[0] = datetime(2026, 5, day, tzinfo=UTC)
        assert made(decide), f"on day {day} it changes something"
        assert not made(decide), "the same again changes nothing"
        clock[0] -= timedelta(hours=1)
        assert made(take_back)
        assert not made(take_back)
    made_at = [
        r["at"]
        for table in ("unlinks", "alias_decisions")
        for r in store.query(
            f"SELECT toString(decided_at) AS at FROM {table} WHERE {PROJECT} ORDER BY decided_at",
            {"project_id": "p"},
        )
    ]
    assert len(made_at) == len(set(made_at)) == 8


def test_unlinking_who_was_not_seen_changes_no_answer_yet(store: Store) -> None:
    for pair in (("phone", "bob"), ("laptop", "ada"), ("nothing", "nobody")):
        assert not decisions.unlink(store, "p", "key", *pair)
        assert not decisions.link_again(store, "p", "key", *pair)
    # Written down all the same: what is unlinked is so when it comes, too.
    (decided,) = store.query("SELECT countIf(unlinked) AS unlinked FROM unlinks", {})
    assert decided["unlinked"] == 3
    assert decisions.unlink(store, "p", "key", *LINK)
