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
from threadline.questions import stats, stats_shapes
from threadline.questions.context import Context
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
]


@pytest.mark.parametrize("timeout", [30, 45, 240])
@pytest.mark.parametrize("policy", ["next", "first", "last", "none"])
@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked["group_by"])
def test_half_hours_say_what_events_say(
    store: Store, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str], policy: Any, timeout: int
) -> None:
    params = parse_params({"metric": "persons", "limit": "1000", **asked}, stats_shapes.StatsParams)

    def answer() -> Any:
        context = Context(
            store, "shop", policy, visit_timeout_ms=timeout * MINUTE, keeper=Keeper(store)
        )
        return msgspec.to_builtins(stats.ask(context, params))

    told = answer()
    assert told["rows"]
    monkeypatch.setattr(stats, "_half_hours_tell", lambda *_: False)
    assert told == answer()
