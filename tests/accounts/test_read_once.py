"""In which accounts people were seen is found out once for a question, and answers are the same."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import row_values
from tests.width import wide
from threadline.contract.times import now_ms
from threadline.identity.kept import Keeper
from threadline.ingest import row
from threadline.questions import account_list, stats, stats_shapes
from threadline.questions.context import Context
from threadline.store import Store, store_url

NOON = 1_777_636_800_000
HOUR = 3_600_000
# (device, user, account), an hour apart.
SEEN = [
    ("phone", None, None),
    ("phone", "ada", "acme"),
    ("laptop", "ada", "globex"),
    ("kiosk", None, None),
    ("kiosk", "bob", "acme"),
    ("kiosk", "ada", None),
    ("till", None, "globex"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    rows = [
        row_values(
            project_id="shop",
            event_id=str(nth),
            anonymous_id=device,
            user_id=user,
            timestamp=NOON + nth * HOUR,
            received_at=NOON + nth * HOUR,
            properties=f'{{"account_id":"{account}"}}' if account else "{}",
        )
        for nth, (device, user, account) in enumerate(SEEN)
    ]
    with Store(store_url("chdb", tmp_path_factory.mktemp("accounts"))) as opened:
        opened.insert("events", row.COLUMNS, "MsgPack", b"".join(map(row.encode, rows)), "one")
        yield opened


def tables(store: Store) -> int:
    """Those with such an answer that are there."""
    sql = (
        "SELECT count() AS found FROM system.tables WHERE startsWith(name, 'account_observations')"
    )
    return int(store.query(sql, {})[0]["found"])


@pytest.mark.parametrize("as_of", [False, True])
@pytest.mark.parametrize("policy", wide(["next", "none"], ["next", "first", "last", "none"]))
def test_answers_are_those_of_one_statement(store: Store, policy: Any, as_of: bool) -> None:
    def answers(keeper: Keeper | None) -> list[Any]:
        then = now_ms() if as_of else None
        on = Context(store, "shop", policy, then, keeper=keeper, per_account=True)
        persons = stats_shapes.StatsParams(metric="persons", interval="day")
        found = [account_list.ask(on, account_list.AccountsParams()), stats.ask(on, persons)]
        assert ("_observed" in vars(on)) == (keeper is not None)
        return found

    keeper = Keeper(store)
    accounts, *others = answers(keeper)
    assert [accounts, *others] == answers(None)
    assert len(accounts.rows) == 2
    keeper.close()
    assert tables(store) == 0, "nothing is left of it when the question is answered"
