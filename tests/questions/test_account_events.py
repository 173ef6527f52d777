"""What people did counts for their account, however the states of half hours happen to lie."""

import json
from pathlib import Path

from tests.support import row_values
from threadline.ingest import row
from threadline.questions.context import Context
from threadline.questions.registry import QUESTIONS
from threadline.runtime.params import parse_params
from threadline.store import Store, store_url

BEGAN = 1_777_600_000_000
MINUTE_MS = 60_000


def event(
    minute: int, user: str | None = None, device: str = "kiosk", account: str = ""
) -> list[row.Value]:
    return row_values(
        event_id=f"{device} {minute}",
        anonymous_id=device,
        user_id=user,
        timestamp=BEGAN + minute * MINUTE_MS,
        properties=json.dumps({"account_id": account} if account else {}),
    )


def events(store: Store) -> dict[str, int]:
    question = QUESTIONS["accounts"]
    context = Context(store, "p", "next", asked_at_ms=BEGAN + 600 * MINUTE_MS, per_account=True)
    answer = question.ask(context, parse_params({}, question.params))
    return {each.account_id: each.events for each in answer.rows}


def test_a_device_changes_hands_within_half_an_hour(tmp_path: Path) -> None:
    """What ada did before bob came is hers, also where it is in one row with what he did."""
    came = [
        [event(0, "ada", "ada's", "one"), event(0, "bob", "bob's", "two")],
        [event(61)], [event(62, "ada")], [event(63)], [event(80)], [event(85, "bob")],
    ]  # fmt: skip
    with Store(store_url("chdb", tmp_path)) as store:
        for number, block in enumerate(came):
            body = b"".join(map(row.encode, block))
            store.insert("events", row.COLUMNS, "MsgPack", body, f"{number}")
        assert events(store) == {"one": 3, "two": 4}
        store.execute("OPTIMIZE TABLE half_hours FINAL")
        assert events(store) == {"one": 3, "two": 4}
