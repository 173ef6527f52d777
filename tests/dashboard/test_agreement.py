"""Every number on a page is the one that the HTTP API answers to whoever asks by themselves."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import NewPage
from tests.dashboard.house import House
from tests.support import Json
from tests.width import wide

MODELS = "first_touch last_touch last_non_direct linear position_based time_decay".split()


def figures(page: Page) -> dict[str, str]:
    """All `<data>` of the page by what they are of."""
    found: list[list[str]] = page.eval_on_selector_all(
        "data[data-of]", "all => all.map(each => [each.dataset.of, each.value])"
    )
    assert len({name for name, _ in found}) == len(found), "two figures of one name"
    return dict(map(tuple, found))  # type: ignore[arg-type]


def numbers(page: Page, prefix: str) -> dict[str, float]:
    """Those of a kind, by what stands behind its name."""
    return {
        name.removeprefix(prefix): float(value)
        for name, value in figures(page).items()
        if name.startswith(prefix)
    }


def since(days: int) -> str:
    return (datetime.now(UTC).date() - timedelta(days=days - 1)).isoformat()


def by(rows: list[Json], column: str, value: str) -> dict[str, float]:
    names = {None: "null", True: "true", False: "false"}
    return {str(names.get(row[column], row[column])): row[value] for row in rows}


FILTERS = ["", "country==DE|US", "first.medium==paid"]


@pytest.mark.parametrize("filters", wide(FILTERS[:2], FILTERS))
def test_overview(house: House, page_of: NewPage, filters: str) -> None:
    page = page_of(f"/?range=45d&filters={filters}&sources=all")
    on: dict[str, Any] = {"from": since(45), "tz": "UTC", "stitch": "next", "filters": filters}
    shown = figures(page)
    (people,) = house.ask("/v1/stats", metric="persons", **on)["rows"]
    (known,) = house.ask(
        "/v1/stats", metric="persons", **on | {"filters": f"{filters};known==true".strip(";")}
    )["rows"]
    (visits,) = house.ask("/v1/visits", **on)["rows"]
    (goal,) = house.ask("/v1/stats", metric="count", event="signup", **on)["rows"]
    (time,) = house.ask("/v1/time-to-conversion", conversion="signup", **on)["rows"]
    (value,) = house.ask("/v1/stats", metric="sum", event="purchase", property="value", **on)[
        "rows"
    ]
    assert (int(shown["people"]), int(shown["known"])) == (people["value"], known["value"])
    assert (int(shown["visits"]), int(shown["goal"])) == (visits["visits"], goal["value"])
    assert float(shown["time"]) == time["p50"]
    assert json.loads(shown["value"]) == value["value"]
    _same_sources(house, page, on)
    _same_breakdowns(house, page, on)


def _same_sources(house: House, page: Page, on: dict[str, Any]) -> None:
    def name(source: str | None, medium: str | None) -> str:
        return " / ".join(filter(None, (source or "unknown", medium)))

    brought = house.ask(
        "/v1/stats", metric="persons", group_by="first.source,first.medium", limit=500, **on
    )["rows"]
    expected = {name(row["first.source"], row["first.medium"]): row["value"] for row in brought}
    people = numbers(page, "source-people:")
    assert {each: count for each, count in people.items() if count} == expected
    models = "first_touch,last_touch"
    credit = house.ask("/v1/attribution", conversion="signup", model=models, **on)["rows"]
    for model, prefix in (("first_touch", "first:"), ("last_touch", "last:")):
        expected = {
            name(row["source"], row["medium"]): row["models"][model]["conversions"]
            for row in credit
        }
        found = numbers(page, prefix)
        assert {each: found[each] for each in expected} == expected
        assert sum(found.values()) == sum(expected.values())


def _same_breakdowns(house: House, page: Page, on: dict[str, Any]) -> None:
    for prefix, column in (("country:", "country"), ("device:", "device_type")):
        rows = house.ask("/v1/stats", metric="persons", group_by=column, limit=8, **on)["rows"]
        assert numbers(page, prefix) == by(rows, column, "value")
    rows = house.ask("/v1/visits", group_by="visit.entry_path", limit=8, **on)["rows"]
    assert numbers(page, "entry:") == by(rows, "visit.entry_path", "visits")


def test_trend(house: House, page_of: NewPage) -> None:
    """The table behind the bars has what they show."""
    page = page_of("/?range=14d")
    asked = {"metric": "persons", "interval": "day", "from": since(14), "tz": "UTC"}
    rows = house.ask("/v1/stats", **asked, group_by="known", stitch="next")["rows"]
    expected: dict[str, list[int]] = {}
    for row in rows:
        expected.setdefault(row["bucket"], [0, 0])[0 if row["known"] else 1] += row["value"]
    table = page.get_by_role("table", name="People a day")
    cells = [row.get_by_role("cell").all_inner_texts() for row in table.get_by_role("row").all()]
    shown = [[int(cell.replace(",", "")) for cell in row[1:3]] for row in cells if row]
    assert shown == list(expected.values())
    assert len(shown) == 14


@pytest.mark.parametrize("policy", wide(["next", "none"], ["first", "next", "last", "none"]))
def test_attribution(house: House, page_of: NewPage, policy: str) -> None:
    group = "google,organic"
    address = f"/attribution?range=all&rows=all&stitch={policy}&cell={group}&model=linear"
    page = page_of(address)
    asked = {"conversion": "signup", "model": ",".join(MODELS), "stitch": policy}
    answer = house.ask("/v1/attribution", **asked)
    # Each policy is a question of its own, whose answer comes when it comes.
    expect(page.locator("data[data-of^='policy:']")).to_have_count(4)
    shown = figures(page)
    assert int(shown["conversions"]) == answer["total"]["conversions"]
    rows = {f"{row['source']},{row['medium']}": row for row in answer["rows"]}
    for model in MODELS:
        found = numbers(page, f"{model}:")
        expected = {name: row["models"][model]["conversions"] for name, row in rows.items()}
        # Parts are summed in any order: their last bits may differ.
        assert {each: found[each] for each in rows} == pytest.approx(expected)
        total = answer["total"]["models"][model]["conversions"]
        assert float(shown[f"sum:{model}"]) == pytest.approx(total)
    influenced = numbers(page, "influenced:")
    assert influenced == {name: rows[name]["influenced"] for name in influenced}
    for other in ("first", "next", "last", "none"):
        there = house.ask("/v1/attribution", **asked | {"stitch": other}, group=group)["rows"]
        linear = there[0]["models"]["linear"]["conversions"] if there else 0
        assert float(shown[f"policy:{other}"]) == pytest.approx(linear)
