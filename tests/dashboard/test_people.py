"""People, a person's journey, and what is decided about who they are."""

import csv
import io
import json
import re
from datetime import datetime
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import WIDTHS, NewPage, settled, shoot, violations, whole
from tests.dashboard.house import House
from tests.dashboard.people_log import HOSTILE, batch, send_people
from tests.support import Json


@pytest.fixture(scope="module")
def between(house: House) -> str:
    """A time between the first and the last of what is known of Mara."""
    at = send_people(house)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def values(page: Page, part: str = "main") -> dict[str, str]:
    """Figures of a page by their names, as the API has them."""
    found = page.locator(f"{part} data[data-of]")
    return dict(
        found.evaluate_all("all => all.map(each => [each.dataset.of, each.getAttribute('value')])")
    )


def agree(page: Page, expected: dict[str, str], part: str = "main") -> None:
    """The page shows these figures, as soon as it has asked again."""
    for name, value in expected.items():
        shown = page.locator(f"{part} data[data-of={json.dumps(name)}]")
        expect(shown).to_have_attribute("value", value)
    assert values(page, part) == expected


def events_of(house: House, user: str, **params: Any) -> list[Json]:
    return list(house.ask(f"/v1/users/{user}/events", limit=1000, **params)["rows"])


def rows(page: Page) -> int:
    return page.locator("ol[aria-label^='Events of'] button.row").count()


def facts(house: House, **params: Any) -> dict[str, str]:
    profile = house.ask("/v1/users/mara", **params)
    goal = house.ask("/v1/users", filters="user_id==mara", conversion="signup", **params)["rows"][0]
    seconds = goal["seconds_to_conversion"]
    return {
        "first_touch": profile["first_touch"]["event_id"],
        "known_since": profile["known_since"],
        "goal": "" if seconds is None else f"{seconds:.15g}",
        "devices": str(len(profile["devices"])),
    }


def test_three_devices_become_one_person(house: House, between: str, page_of: NewPage) -> None:
    page = page_of("/people/mara?stitch=any")
    agree(page, facts(house, stitch="any"), ".facts")
    assert rows(page) == len(events_of(house, "mara", stitch="any"))
    # Each device is tied once, and the cord has a strand of each.
    assert page.locator("g.knot").count() == 3
    assert page.locator("path.strand").count() == 3
    said = page.get_by_text(re.compile(r"^The (laptop|phone|tablet) is mara's$"))
    assert said.all_inner_texts() == [
        f"The {each} is mara's" for each in ("phone", "tablet", "laptop")
    ]
    # What was before is the past that the ties have claimed.
    untagged = [event for event in events_of(house, "mara", stitch="any") if not event["user_id"]]
    assert page.locator("circle.dot.claimed").count() == len(untagged)

    page.get_by_role("button", name="Viewed /security").click()
    settled(page)
    event = next(event for event in untagged if event["path"] == "/security")
    assert f"event={event['event_id']}" in page.url
    why = house.ask("/v1/identity/explain", event_id=event["event_id"])["policies"]["any"]
    assert page.locator("[data-of=because]").inner_text() == why["because"]
    page.reload()
    settled(page)
    expect(page.get_by_role("button", name="Viewed /security")).to_have_attribute(
        "aria-pressed", "true"
    )


def test_policies_are_compared_in_place(house: House, between: str, page_of: NewPage) -> None:
    page = page_of("/people/mara?stitch=any")
    page.get_by_role("button", name="next", exact=True).click()
    settled(page)
    assert "stitch=next" in page.url
    agree(page, facts(house, stitch="next"), ".facts")
    page.get_by_role("button", name="Compare the policies").click()
    settled(page)
    owned = {
        policy: {event["event_id"] for event in events_of(house, "mara", stitch=policy)}
        for policy in ("any", "first", "next", "last", "none")
    }
    assert values(page, "section") == {
        f"events:{policy}": str(len(ids)) for policy, ids in owned.items()
    }
    moving = owned["any"] - (owned["first"] & owned["next"] & owned["last"])
    assert page.locator("circle.moves").count() == len(moving) > 0
    shoot(page, "person-policies-1440-light")
    page.go_back()
    settled(page)
    page.go_back()
    settled(page)
    agree(page, facts(house, stitch="any"), ".facts")


def test_time_travel(house: House, between: str, page_of: NewPage) -> None:
    page = page_of(f"/people/mara?stitch=any&as_of={quote(between)}")
    agree(page, facts(house, stitch="any", as_of=between), ".facts")
    shown = page.locator("circle.dot:not(.later):not(.stranger)").count()
    assert shown == len(events_of(house, "mara", stitch="any", as_of=between))
    shoot(page, "person-as-of-1440-light")
    # Long before the server had heard of any of it.
    slider = page.get_by_role("slider", name="As of when")
    slider.press("Home")
    settled(page)
    expect(page.get_by_text("The server had received none of these events by then")).to_be_visible()
    page.get_by_role("button", name="Back to now").click()
    settled(page)
    assert "as_of" not in page.url
    assert page.locator("g.knot").count() == 3
    slider.press("ArrowLeft")
    settled(page)
    assert datetime.fromisoformat(page.url.split("as_of=")[1].split("&")[0].replace("%3A", ":"))
    page.go_back()
    settled(page)
    assert "as_of" not in page.url


def test_unlink_with_preview_and_undo(house: House, between: str, page_of: NewPage) -> None:
    page = page_of("/people/mara?stitch=next")
    before = rows(page)
    page.get_by_role("button", name="Person: Change").click()
    page.get_by_role("menuitem", name="Unlink the tablet").click()
    body = {"unlink": {"anonymous_id": "m-tablet", "user_id": "mara"}, "stitch": "next"}
    preview = house.change("POST", "/v1/identity/preview", body)
    expect(page.locator("[data-of=summary]")).to_have_text(preview["summary"])
    assert violations(page) == []
    shoot(page, "person-unlink-1440-light")
    page.get_by_role("button", name="Unlink the device", exact=True).click()
    expect(page.locator("g.knot")).to_have_count(3)
    lost = preview["persons"][0]
    change = next(one for one in preview["persons"] if one["user_id"] == "mara")
    assert lost["after"]["events"] != lost["before"]["events"]
    expect(page.locator("ol[aria-label^='Events of'] button.row")).to_have_count(
        change["after"]["events"]
    )
    settled(page)
    agree(page, facts(house, stitch="next"), ".facts")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("ol[aria-label^='Events of'] button.row")).to_have_count(before)
    settled(page)
    agree(page, facts(house, stitch="next"), ".facts")


def test_likely_duplicates_are_joined_and_parted(
    house: House, between: str, page_of: NewPage
) -> None:
    def found() -> list[str]:
        answer = house.ask("/v1/identity/likely-duplicates", stitch="next")
        return [row["email"] for row in answer["rows"]]

    assert "lea@shop.example" in found()
    page = page_of("/duplicates?stitch=next")
    answer = house.ask("/v1/identity/likely-duplicates", stitch="next")
    assert values(page) == {
        f"{name}:{user['user_id']}": str(user[name])
        for row in answer["rows"]
        for user in row["users"]
        for name in ("events", "devices")
    }
    page.get_by_role("button", name="Join lea to lea-old").or_(
        page.get_by_role("button", name="Join lea-old to lea", exact=True)
    ).click()
    expect(page.locator("[data-of=summary]")).to_contain_text("lea")
    shoot(page, "duplicates-join-1440-light")
    page.get_by_role("button", name="They are one person").click()
    expect(page.get_by_text("They are one person now.")).to_be_visible()
    expect(page.get_by_role("heading", name="lea@shop.example")).to_have_count(0)
    assert "lea@shop.example" not in found()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", name="lea@shop.example")).to_be_visible()
    assert "lea@shop.example" in found()


def test_people_are_searched_sorted_and_taken_along(
    house: House, between: str, page_of: NewPage
) -> None:
    page = page_of("/people?order=-last_seen")
    names = page.locator(".people tbody th .pick")
    answer = house.ask("/v1/users", order="-last_seen", stitch="next", limit=5)
    assert names.all_inner_texts()[:5] == [row["user_id"] for row in answer["rows"]]
    devices = page.locator(".people tbody td:last-child").all_inner_texts()
    assert devices[:5] == [str(row["devices"]) for row in answer["rows"]]
    page.get_by_role("searchbox", name="Search these people").fill("STUDIO.example")
    expect(names).to_have_count(2)
    settled(page)
    assert "search=STUDIO.example" in page.url
    assert sorted(names.all_inner_texts()) == ["jon", "mara"]
    with page.expect_download() as taken:
        page.get_by_role("button", name="CSV", exact=True).click()
    text = taken.value.path().read_text()
    assert {row["user_id"] for row in csv.DictReader(io.StringIO(text))} == {"jon", "mara"}
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("checkbox", name="Plan").check()
    page.keyboard.press("Escape")
    settled(page)
    assert "traits.plan" in page.url
    expect(page.get_by_role("cell", name="pro", exact=True)).to_be_visible()
    page.get_by_role("searchbox", name="Search these people").press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(names_first(page))


def test_filters_are_kept_as_a_segment(house: House, between: str, page_of: NewPage) -> None:
    page = page_of("/people?filters=traits.plan%3D%3Dpro%3Bdevices%3E%3D3")
    names = page.locator(".people tbody th .pick")
    expect(names).to_have_text(["mara"])
    page.get_by_role("button", name="Save as segment").click()
    page.get_by_label("Name of the segment").fill("weavers")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("button", name="Segment weavers")).to_be_visible()
    settled(page)
    expect(names).to_have_text(["mara"])
    assert house.ask("/v1/segments")["rows"][0]["name"] == "weavers"
    house.change("DELETE", "/v1/segments/weavers")


def names_first(page: Page) -> str:
    """Whose page it is, by its address."""
    return page.url.split("/people/")[1].split("?")[0]


def test_somebody_is_forgotten_with_a_receipt(house: House, between: str, page_of: NewPage) -> None:
    event = {"event": "signup", "anonymous_id": "gone-1", "user_id": "gone", "event_id": "gone-1"}
    batch(house, [event])
    house.ask("/v1/identity/explain", event_id="gone-1")
    page = page_of("/people/gone")
    page.get_by_role("button", name="Person: Change").click()
    page.get_by_role("menuitem", name="Forget this person").click()
    forget = page.get_by_role("button", name="Forget for good")
    expect(forget).to_be_disabled()
    page.get_by_label("Type gone to confirm").fill("gone")
    forget.click()
    expect(page.get_by_role("heading", name="It is being deleted")).to_be_visible()
    assert page.locator("dialog pre").inner_text()
    page.get_by_role("button", name="To all people").click()
    expect(page.get_by_role("heading", name="People", level=1)).to_be_visible()
    assert house.send("GET", "/v1/users/gone", cookie=house.cookie).status == 404


WHOLE = {
    "people": "/people",
    "person": "/people/mara?stitch=any",
    "person-hostile": f"/people/{quote(HOSTILE, safe='')}",
    "duplicates": "/duplicates",
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.usefixtures("between")
def test_every_page_is_whole(page_of: NewPage, name: str) -> None:
    page = page_of(WHOLE[name], WIDTHS[0])
    whole(page, name)
    assert page.evaluate("window.ran") is None
    assert page.locator("main img").count() == 0


def test_a_viewer_looks_and_changes_nothing(house: House, between: str, stranger: NewPage) -> None:
    member = {"email": "viewer@calendar.example", "name": "Nils", "role": "viewer"}
    link = house.change("POST", "/v1/members", member)["link"]
    reply = house.send("POST", "/v1/auth/link", {"token": link.rsplit("/", 1)[1]})
    cookie = reply.headers["Set-Cookie"].partition(";")[0].partition("=")[2]
    page = stranger()
    page.context.add_cookies([{"name": "threadline_session", "value": cookie, "url": house.url}])
    page.goto(f"{house.url}/dashboard/people/mara")
    settled(page)
    expect(page.locator("g.knot")).to_have_count(3)
    expect(page.get_by_role("button", name="unlink the device")).to_have_count(0)
    page.get_by_role("button", name="Person: Change").click()
    assert page.get_by_role("menuitem").all_inner_texts() == ["Save everything as JSON"]
    page.goto(f"{house.url}/dashboard/duplicates")
    settled(page)
    expect(page.get_by_text("An owner of the project can join them.")).to_be_visible()
