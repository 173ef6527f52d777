"""Reading a relation once where it is named more often, as on clusters, changes no answer."""

import json
import random
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import pytest

from tests.questions.test_sql import ASKED_OF
from tests.support import row_values
from tests.width import wide
from threadline.identity import decisions
from threadline.identity.resolution import Policy
from threadline.ingest import row
from threadline.questions.context import Context
from threadline.questions.filters import read_filters
from threadline.questions.registry import QUESTIONS
from threadline.runtime.params import parse_params
from threadline.store import Params, Query, Row, Store, store_url
from threadline.store.connection import READS_ONCE

MATERIALIZED = "AS MATERIALIZED ("
START = 1_777_636_800_000  # 2026-05-01
MINUTE = 60_000
DEVICES = ["kiosk", "phone", "tablet", *(f"d{number}" for number in range(12))]
USERS = ["ada", "bob", "cy", "dee", "eve"]
NAMES = ("$pageview", "$pageview", "signup", "purchase", "$group")

# What is asked besides the statements that are kept as text.
MORE: dict[str, tuple[str, dict[str, str]]] = {
    "accounts_filtered": ("accounts", {"filters": "did==purchase"}),
    "persons_of_accounts": ("stats", {"metric": "persons", "per": "account"}),
    "funnel_of_accounts": ("funnel", {"steps": "$pageview,purchase", "per": "account"}),
    "attribution_of_accounts": ("attribution", {"conversion": "purchase", "per": "account"}),
    "funnel_of_some": ("funnel", {"steps": "$pageview,purchase", "filters": "did==signup"}),
    "attribution_of_some": (
        "attribution",
        {"conversion": "purchase", "model": "linear,last_touch", "filters": "first.source==google"},
    ),
    "retention_of_some": ("retention", {"filters": "did!=signup;devices>1"}),
}
ALL = ASKED_OF | MORE


class Once:
    """The store, asked as a cluster is."""

    reads_once = True
    settings = ", ".join(f"{name} = {value}" for name, value in READS_ONCE.items())

    def __init__(self, store: Store) -> None:
        self._store = store
        self.materialized = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def query(self, sql: str, params: Params) -> list[Row]:
        if MATERIALIZED in sql:
            self.materialized += 1
            sql = f"{sql}\nSETTINGS {self.settings}"
        return self._store.query(sql, params)

    def query_all(self, *queries: Query) -> list[list[Row]]:
        return [self.query(*query) for query in queries]


class Remembered:
    """The store, asked each statement once: nothing changes in it, so what is the same in both
    ways of asking would be answered the same."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._answered: dict[tuple[str, str], list[Row]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def query(self, sql: str, params: Params) -> list[Row]:
        # Who asks is another each time, and stands in every row.
        by = {"asked_by": params["asked_by"]} if "asked_by" in params else {}
        of = sql, repr(sorted({**params, **dict.fromkeys(by)}.items()))
        if of not in self._answered:
            self._answered[of] = self._store.query(sql, params)
        return [{**deepcopy(row), **by} for row in self._answered[of]]

    def query_all(self, *queries: Query) -> list[list[Row]]:
        return [self.query(*query) for query in queries]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Events of some days: devices that go from hand to hand within half hours and outside, people
    of several accounts, an alias and an unlink."""
    rnd = random.Random(7)
    rows = []
    for number in range(900):
        device = rnd.choice(DEVICES)
        name = rnd.choice(NAMES)
        of = DEVICES.index(device) % len(USERS)
        known = [None, None, USERS[of]] if len(device) < 4 else [None, *USERS[:4]]
        said = {"value": number % 9, "currency": "EUR", "account_id": rnd.choice(["oak", "elm"])}
        rows.append(
            row_values(
                project_id="shop",
                event_id=f"e{number}",
                event_name=name,
                anonymous_id=device,
                user_id=rnd.choice(known),
                timestamp=START + rnd.randrange(6 * 24 * 60) * MINUTE,
                received_at=START,
                source=rnd.choice(["direct", "google", "facebook"]),
                medium=rnd.choice(["organic", "paid"]),
                path=rnd.choice(["/", "/pricing", ""]),
                properties=json.dumps(said),
            )
        )
    with Store(store_url("chdb", tmp_path_factory.mktemp("once"))) as opened:
        for part in (rows[::2], rows[1::2]):
            body = b"".join(row.encode(one) for one in part)
            opened.insert("events", row.COLUMNS, "MsgPack", body, str(len(part[0])))
        decisions.alias(opened, "shop", "test", "dee", "eve")
        decisions.unlink(opened, "shop", "test", "tablet", "cy")
        yield cast(Store, Remembered(opened))


def context_of(store: Store, name: str, kind: str, policy: Policy) -> Context:
    question, params = ALL[name]
    later = int(datetime.now(UTC).timestamp() * 1000) + MINUTE
    per_account = params.get("per") == "account" or QUESTIONS[question].of_accounts
    if QUESTIONS[question].counts_people and policy == "any":
        policy = "first"
    return Context(
        store,
        "shop",
        policy,
        later if kind == "as_of" else None,
        filters=read_filters(params.get("filters", "")),
        per_account=per_account,
        asked_at_ms=later,
    )


def answer(context: Context, name: str) -> Any:
    question, params = QUESTIONS[ALL[name][0]], dict(ALL[name][1])
    in_path = {each: params.pop(each) for each in question.in_path}
    asked = parse_params(params, cast(Any, question.params), in_path=in_path)
    return msgspec.json.decode(msgspec.json.encode(question.ask(context, asked)))


KINDS = ("now", "as_of")


@pytest.mark.parametrize("policy", wide(["next"], ["next", "any", "last"]))
@pytest.mark.parametrize(
    ("name", "kind"),
    # In a usual run each by one of them in turn: planning some of these takes the engine seconds.
    [
        (name, kind)
        for number, name in enumerate(ALL)
        for kind in wide(KINDS[number % 2 :][:1], KINDS)
    ],
)
def test_an_answer_is_the_same(store: Store, name: str, kind: str, policy: Policy) -> None:
    often = context_of(store, name, kind, policy)
    once = replace(often, store=cast(Any, Once(store)))
    assert answer(once, name) == answer(often, name)


def test_what_is_named_more_often_is_read_once(store: Store) -> None:
    asked = {name: Once(store) for name in ("accounts", "attribution_models", "identity_stats")}
    for name, once in asked.items():
        answer(replace(context_of(store, name, "as_of", "next"), store=cast(Any, once)), name)
    # What stands for a value is answered before anything is read.
    assert {name: once.materialized > 0 for name, once in asked.items()} == {
        "accounts": True,
        "attribution_models": True,
        "identity_stats": False,
    }


class Divided(Once):
    """A cluster, which has nothing."""

    cluster = "cluster", "local"

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.once: set[str] = set()

    def query(self, sql: str, params: Params) -> list[Row]:
        self.once |= set(re.findall(r"(\w+) AS MATERIALIZED \(", sql))
        return []


@pytest.mark.parametrize("kind", KINDS)
def test_shards_are_asked_once_too(store: Store, kind: str) -> None:
    """What each makes by itself is a statement within, none that stands for a value."""
    divided = Divided(store)
    context = context_of(store, "accounts", kind, "next")
    assert answer(replace(context, store=cast(Any, divided)), "accounts")["rows"] == []
    assert divided.once >= {"account_observations", "account_members", "account_changes"}
