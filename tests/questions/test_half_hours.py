"""Persons by where their visits, or they, came from: half hours say what events say."""

import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.support import row_values
from tests.width import wide
from threadline.identity.kept import Keeper
from threadline.ingest import row
from threadline.questions import stats, stats_rows, stats_shapes, stats_visits
from threadline.questions.context import Context
from threadline.questions.filters import read_filters
from threadline.runtime.params import parse_params
from threadline.store import Store, store_url

START = 1_777_593_600_000  # 2026-05-01
MINUTE = 60_000
SOURCES = [
    ("direct", "direct", ""),
    ("google", "organic", "page"),
    ("facebook", "paid", "utm"),
    ("internal", "internal", "page"),
    ("stripe", "return", "return_from_payment"),
    ("mailer", "email", "no_page"),
    ("direct", "direct", "no_page"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Bursts of events across half hours and midnights, on devices of one person and of several,
    some of them by servers that say where from."""
    rnd = random.Random(11)
    rows = []
    for burst in range(wide(120, 400)):
        device = rnd.choice(["kiosk", "till", *(f"d{number}" for number in range(10))])
        users = ["ada", "bob", "cy"] if device in ("kiosk", "till") else [f"u{device}"]
        at = START + rnd.randrange(3 * 24 * 60) * MINUTE
        for step in range(rnd.randrange(1, 9)):
            at += rnd.choice([0, 1, 7, 16, 29, 30, 31, 47, 100]) * MINUTE
            source, medium, rule = rnd.choice(SOURCES)
            rows.append(
                row_values(
                    project_id="shop",
                    event_id=f"{burst} {step}",
                    event_name=rnd.choice(["$pageview", "purchase"]),
                    anonymous_id=device,
                    user_id=rnd.choice([None, None, *users]),
                    timestamp=at,
                    source=source,
                    medium=medium,
                    channel=source.title(),
                    source_rule_id=rule,
                    path=rnd.choice(["/", "/pricing", ""]),
                )
            )
    with Store(store_url("chdb", tmp_path_factory.mktemp("half_hours"))) as opened:
        for part in (rows[::2], rows[1::2]):
            body = b"".join(row.encode(one) for one in part)
            opened.insert("events", row.COLUMNS, "MsgPack", body, str(part[0]))
        yield opened


ASKED: list[dict[str, str]] = [
    {"group_by": "source"},
    {"group_by": "visit.entry_path,channel", "interval": "day", "tz": "Asia/Kolkata"},
    {"group_by": "first.source", "interval": "day", "tz": "Asia/Kathmandu"},
    {"group_by": "source,first.channel", "interval": "week"},
    {"group_by": "medium", "from": "2026-05-01T10:41Z", "to": "2026-05-03T00:07Z"},
    {"group_by": "first.medium", "from": "2026-05-02", "interval": "day"},
    {"group_by": "visit.bounce", "interval": "day", "to": "2026-05-03"},
    {
        "group_by": "source,first.medium",
        "interval": "day",
        "from": "2026-05-02",
        "to": "2026-05-04",
    },
    {"group_by": "visit.source", "interval": "day", "tz": "America/St_Johns", "from": "2026-05-02"},
    {"group_by": "channel", "interval": "day", "from": "2026-05-01T10:41Z"},
    {"group_by": "campaign", "filters": "known==true", "to": "2026-05-03T10:41Z"},
]


POLICIES = ("next", "first", "last", "none")
TIMEOUTS = (30, 45, 240)
# Of these three any two meet in a usual run, too; all of them in a wide one.
CASES = [
    pytest.param(asked, policy, timeout, id=f"{asked['group_by']}-{policy}-{timeout}")
    for number, asked in enumerate(ASKED)
    for shift, policy in enumerate(POLICIES)
    for timeout in wide((TIMEOUTS[(number + shift) % len(TIMEOUTS)],), TIMEOUTS)
]


@pytest.mark.parametrize(("asked", "policy", "timeout"), CASES)
def test_half_hours_say_what_events_say(
    store: Store, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str], policy: Any, timeout: int
) -> None:
    params = parse_params({"metric": "persons", "limit": "1000", **asked}, stats_shapes.StatsParams)

    def answer() -> Any:
        context = Context(
            store,
            "shop",
            policy,
            visit_timeout_ms=timeout * MINUTE,
            keeper=Keeper(store),
            filters=read_filters(asked.get("filters", "")),
        )
        return msgspec.to_builtins(stats.ask(context, params))

    told = answer()
    assert told["rows"]
    monkeypatch.setattr(stats_rows, "visits_tell", lambda *_: False)
    assert told == answer()
    monkeypatch.setattr(stats_rows, "_half_hours_tell", lambda *_: False)
    assert told == answer()


def test_a_visit_of_several_days_is_in_each(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is cut by the range that is asked for."""
    at = [START + 11 * 60 * MINUTE * step for step in range(9)]
    rows = [
        row_values(project_id="long", event_id=str(ms), anonymous_id="d", timestamp=ms) for ms in at
    ]
    store.insert("events", row.COLUMNS, "MsgPack", b"".join(map(row.encode, rows)), "long")
    looked: list[bool] = []

    def tells(*on: Any) -> bool:
        looked.append(stats_visits.visits_tell(*on))
        return looked[-1]

    monkeypatch.setattr(stats_rows, "visits_tell", tells)
    context = Context(store, "long", "next", visit_timeout_ms=12 * 60 * MINUTE)
    for tz, bounds, days in (
        ("UTC", {}, 4),
        ("Europe/Berlin", {"from": "2026-05-02", "to": "2026-05-04"}, 2),
        ("UTC", {"from": "2026-05-02T11:00Z", "to": "2026-05-04"}, 2),
    ):
        asked = {"metric": "persons", "group_by": "source", "interval": "day", "tz": tz}
        params = parse_params({**asked, **bounds}, stats_shapes.StatsParams)
        counted = [one.value for one in stats.ask(context, params).rows if one.value]
        assert counted == [1] * days, (tz, bounds)
    assert looked == [True, True, False]
