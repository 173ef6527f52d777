"""Counting in two steps, as on clusters, where each shard finishes with those who are nobody's,
gives the answers of counting at once. `store/test_cluster.py` has the same on real shards."""

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
import pytest

from tests.support import row_values
from tests.width import wide
from threadline.identity import decisions
from threadline.identity.resolution import Policy
from threadline.ingest import row
from threadline.questions.context import Context
from threadline.questions.filters import read_filters
from threadline.questions.registry import QUESTIONS
from threadline.runtime.params import parse_params
from threadline.store import Store, store_url

START = 1_777_636_800_000  # 2026-05-01
MINUTE = 60_000
RECEIVED = START + 7 * 24 * 60 * MINUTE
USERS = ["ada", "bob", "cy", "dee", "eve"]
SOURCES = [("direct", "direct"), ("google", "organic"), ("google", "paid"), ("mail", "paid")]
NAMES = ("$pageview", "$pageview", "$pageview", "signup", "purchase", "refund")

ASKED: dict[str, tuple[str, dict[str, str]]] = {
    "persons": ("stats", {"metric": "persons"}),
    "persons_about": ("stats", {"metric": "persons", "exact": "false"}),
    "persons_by_day": ("stats", {"metric": "persons", "interval": "day", "tz": "Asia/Kolkata"}),
    "persons_by_hour": ("stats", {"metric": "persons", "interval": "hour", "event": "purchase"}),
    "persons_by_visit": ("stats", {"metric": "persons", "group_by": "source,visit.channel"}),
    "persons_of_days": (
        "stats",
        {"metric": "persons", "group_by": "source", "from": "2026-05-02", "to": "2026-05-05"},
    ),
    "persons_of_some_time": (
        "stats",
        {
            "metric": "persons",
            "group_by": "medium,visit.entry_path",
            "from": "2026-05-02T10:10Z",
            "interval": "day",
        },
    ),
    "persons_by_event": ("stats", {"metric": "persons", "group_by": "path,properties.plan"}),
    "persons_by_first": ("stats", {"metric": "persons", "group_by": "first.source"}),
    "devices": ("stats", {"metric": "uniques", "group_by": "event_source"}),
    "visits": ("stats", {"metric": "visits", "interval": "day"}),
    "events_per_person": ("stats", {"metric": "per_person", "group_by": "visit.medium"}),
    "rate": (
        "stats",
        {"metric": "conversion_rate", "conversion": "purchase", "interval": "day"},
    ),
    "persons_of_events": ("stats", {"metric": "persons", "filters": "path==/pricing"}),
    "persons_of_visits": ("stats", {"metric": "persons", "filters": "visit.source==google"}),
    "persons_who": ("stats", {"metric": "persons", "filters": "did==purchase"}),
    "sources": ("sources", {}),
    "sources_of_days": ("sources", {"breakdown": "channel", "from": "2026-05-02", "limit": "1"}),
    "terms": ("sources", {"breakdown": "term", "limit": "1"}),
    "sources_grouped": ("sources", {"group_by": "visit.source,path"}),
    "sources_narrowed": ("sources", {"filters": "event==signup;visit.source!=mail"}),
    "of_visits": ("visits", {"group_by": "source,entry_path", "interval": "day"}),
    "of_all_visits": ("visits", {"filters": "path==/pricing", "from": "2026-05-02"}),
    "retention": ("retention", {"interval": "day"}),
    "retention_of_days": (
        "retention",
        {"interval": "day", "from": "2026-05-01T11:00Z", "to": "2026-05-03", "mode": "unbounded"},
    ),
    "retention_of_known": ("retention", {"cohort": "known", "interval": "day"}),
    "retention_of_buyers": (
        "retention",
        {"cohort": "purchase", "event": "signup", "interval": "day", "tz": "Asia/Kolkata"},
    ),
    "retention_grouped": ("retention", {"group_by": "path", "interval": "day"}),
    "retention_narrowed": ("retention", {"filters": "path==/pricing", "interval": "day"}),
    "funnel": ("funnel", {"steps": "$pageview,signup,purchase", "window": "2d"}),
    "funnel_excluding": (
        "funnel",
        {
            "steps": "$pageview{path=/},$pageview{path=/pricing},signup|purchase",
            "exclude": "refund",
            "percentiles": "true",
            "from": "2026-05-01T11:00Z",
        },
    ),
    "funnel_of_pages": ("funnel", {"steps": "$pageview,$pageview,signup?,purchase"}),
    "funnel_grouped": ("funnel", {"steps": "$pageview,purchase", "group_by": "source"}),
    "funnel_narrowed": ("funnel", {"steps": "$pageview,purchase", "filters": "path!=/pricing"}),
    "funnel_of_visits": (
        "funnel",
        {"steps": "$pageview,purchase", "filters": "visit.source==google", "window": "30m"},
    ),
}
WORLDS = ("now", "as_of", "bots")


def rows(seed: int, events: int) -> list[list[row.Value]]:
    """Strangers, most of whom do little; users with several devices, and devices with several
    users; what servers know of no device; and bots."""
    rnd = Random(seed)
    made = []
    for number in range(events):
        stranger = rnd.random() < 0.5
        device = f"s{rnd.randrange(60)}" if stranger else rnd.choice(["kiosk", "a", "b", "c", "d"])
        user = None if stranger or rnd.random() < 0.6 else rnd.choice(USERS)
        nowhere = user is not None and rnd.random() < 0.1
        source, medium = rnd.choice(SOURCES)
        made.append(
            row_values(
                project_id="shop",
                event_id=f"e{number}",
                event_name=rnd.choice(NAMES),
                anonymous_id=f"no device {number}" if nowhere else device,
                anonymous_id_generated=nowhere,
                user_id=user,
                timestamp=START + rnd.randrange(6 * 24 * 12) * 5 * MINUTE,
                received_at=RECEIVED + number,
                source=source,
                medium=medium,
                term=rnd.choice(["", "shoes", "hats"]),
                path=rnd.choice(["/", "/pricing", ""]),
                properties=json.dumps({"plan": rnd.choice(["pro", "free"])}),
                is_bot=device == "s7",
            )
        )
    return made


def tell(store: Store, seed: int, events: int) -> None:
    made = rows(seed, events)
    store.insert("events", row.COLUMNS, "MsgPack", b"".join(map(row.encode, made)), str(seed))
    decisions.alias(store, "shop", "test", "dee", "eve")
    decisions.unlink(store, "shop", "test", "kiosk", "cy")


@pytest.fixture(scope="module", params=range(wide(1, 4)))
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    with Store(store_url("chdb", tmp_path_factory.mktemp("finished"))) as opened:
        tell(opened, request.param, 700)
        yield opened


def answer(store: Store, name: str, policy: Policy, world: str) -> Any:
    question, given = QUESTIONS[ASKED[name][0]], dict(ASKED[name][1])
    context = Context(
        store,
        "shop",
        policy,
        RECEIVED + 500 if world == "as_of" else None,
        bots=world == "bots",
        filters=read_filters(given.pop("filters", "")),
        asked_at_ms=RECEIVED + 1000,
    )
    return msgspec.to_builtins(question.ask(context, parse_params(given, question.params)))


def worlds(name: str) -> list[tuple[Policy, str]]:
    """Two policies, each in one of the worlds; in a wide run all in all."""
    policies: tuple[Policy, ...] = ("first", "next", "last", "none")
    nth = list(ASKED).index(name)
    some = [(policy, WORLDS[(nth + n) % 3]) for n, policy in enumerate(policies)]
    return wide(some[nth % 2 :: 2], [(policy, world) for policy in policies for world in WORLDS])


@pytest.mark.parametrize("name", ASKED)
def test_two_steps_count_as_one(store: Store, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for policy, world in worlds(name):
        at_once = answer(store, name, policy, world)
        with monkeypatch.context() as patched:
            patched.setattr(Context, "is_divided", True)
            assert answer(store, name, policy, world) == at_once, (policy, world)
        assert at_once["rows"]
