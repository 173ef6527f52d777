"""The steps of an event on its way in, and the row that it becomes."""

from typing import Any

import msgspec
import pytest

from threadline.classify import NO_SITE
from threadline.contract.bodies import Event
from threadline.contract.errors import InvalidPayload
from threadline.enrich import scrubber
from threadline.ingest import row
from threadline.ingest.accept import accept
from threadline.ingest.checking import check
from threadline.ingest.context import IngestContext
from threadline.ingest.steps import STEPS, Warnings, stored_event

NOW_MS = 1_800_000_000_000


def context(**given: Any) -> IngestContext:
    known: dict[str, Any] = {
        "project_id": "p",
        "site": NO_SITE,
        "scrub": scrubber(),
        "browser_key": False,
        "address": "",
        "address_hash": bytes(16),
        "user_agent": "",
        "country": "",
        "salt": bytes(32),
        "id_key": 1,
        "now_ms": NOW_MS,
    }
    return IngestContext(**known | given)


def event(**given: Any) -> Event:
    return Event(**{"event": "x", "event_id": "e1", "anonymous_id": "a", "user_id": "u"} | given)


def test_the_steps_read_from_top_to_bottom() -> None:
    names = [step.__name__ for step in STEPS]
    expected = ["shape", "placeholder_ids", "account", "generated_ids", "agent", "scrub", "source"]
    assert names == expected


def test_a_stored_event_is_its_columns_in_order() -> None:
    stored = stored_event(event(url="https://shop.example/a?x=1"), context(), Warnings())
    columns = row.by_column(row.encode(stored))
    assert list(columns) == row.COLUMNS
    assert columns == {name: getattr(stored, name) for name in row.COLUMNS}
    assert (columns["url"], columns["path"]) == ("https://shop.example/a?x=1", "/a")


def test_what_steps_change_they_warn_of() -> None:
    many = "https://shop.example/?" + "&".join(f"p{n}=1" for n in range(50))
    sent = [event(), event(user_id="null", anonymous_id="undefined", url=many, referrer=many)]
    accepted = accept(sent, context(), in_batch=True)
    found = [(notice.index, notice.field, notice.code) for notice in accepted.warnings]
    assert found == [
        (1, "user_id", "placeholder_id"),
        (1, "anonymous_id", "placeholder_id"),
        (1, "url", "cut"),
        (1, "referrer", "cut"),
    ]
    assert accepted.placeholder_ids == 2
    again = accept(sent, context(), in_batch=True)  # what is remembered of addresses is said again
    assert again.warnings == accepted.warnings


def test_a_clock_that_cannot_be_right_is_not_believed() -> None:
    warnings = Warnings()
    sent = event(timestamp="2026-05-01T00:00:00Z")
    stored = stored_event(sent, context(skew_ms=-(10**13)), warnings)
    assert [notice.code for notice in warnings.notices] == ["clock_ignored"]
    assert stored.timestamp == 1_777_593_600_000


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"timestamp": "2026-05-01T00:00:00Z", "properties": msgspec.Raw(b'{"a": 1}')},
        {"ip": "2001:DB8:0::7", "session_id": "s"},
    ],
)
def test_what_was_checked_before_becomes_the_same_row(given: dict[str, Any]) -> None:
    sent = event(**given)
    checked = [check(sent, NOW_MS)]
    by = context(country_of=lambda address: "AT" if address == "2001:db8::7" else "")
    known = accept([sent], by, in_batch=True, checked=checked)
    assert known == accept([event(**given)], by, in_batch=True)


def test_the_first_event_that_is_not_acceptable_is_named() -> None:
    sent = [event(), event(ip="home", timestamp="soon", properties=msgspec.Raw(b"[1]"))]
    with pytest.raises(InvalidPayload) as refused:
        accept(sent, context(), in_batch=True)
    assert refused.value.details["index"] == 1
    fields = refused.value.details["fieldErrors"]
    assert isinstance(fields, dict)
    assert sorted(fields) == ["ip", "properties", "timestamp"]
