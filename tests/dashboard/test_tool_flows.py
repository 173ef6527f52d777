"""What people do with funnels, retention, paths, boards, live and the settings, and that every
number is the API's."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from tests.dashboard.conftest import NewPage, settled
from tests.dashboard.house import House, served_by
from tests.dashboard.test_agreement import figures, numbers
from tests.e2e.site import Site

ALL = {"stitch": "next", "tz": "UTC"}


def value(page: Page, name: str) -> float:
    return float(figures(page)[name])


@pytest.fixture
def kept(house: House) -> Iterator[None]:
    """Boards and insights that a test makes are gone afterwards."""
    yield
    for kind in ("boards", "insights"):
        for row in house.ask(f"/v1/{kind}")["rows"]:
            house.change("DELETE", f"/v1/{kind}/{quote(row['name'], safe='')}")


def test_a_funnel_by_clicking_down_to_people(house: House, page_of: NewPage) -> None:
    page = page_of("/funnels?range=all")
    page.get_by_role("button", name="+ Step").click()
    page.keyboard.type("purch")
    expect(page.get_by_role("option", name=re.compile("^purchase"))).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("steps=%24pageview%2Csignup%2Cpurchase"))
    settled(page)
    asked = {**ALL, "steps": "$pageview,signup,purchase", "window": "7d"}
    (row,) = house.ask("/v1/funnel", **asked)["rows"]
    expected = {str(nth): step["persons"] for nth, step in enumerate(row["steps"], start=1)}
    assert numbers(page, "step:") == expected
    page.get_by_role("button", name=re.compile("^2 ?signup")).click()
    who = page.get_by_role("table", name="Who got to signup")
    people = house.ask("/v1/funnel/people", **asked, step=2, limit=100)["rows"]
    assert len(people) == expected["2"]
    expect(who.get_by_role("rowheader")).to_have_text(
        [row["user_id"] or re.compile("^anonymous") for row in people]
    )
    page.get_by_role("button", name=re.compile("left here$")).first.click()
    expect(page.get_by_role("table", name="Who left before signup")).to_be_visible()
    settled(page)
    left = house.ask("/v1/funnel/people", **asked, step=2, dropped="true", limit=100)["rows"]
    expect(page.get_by_role("rowheader")).to_have_count(len(left))
    page.go_back()
    expect(who).to_be_visible()


def test_keys_that_are_faster_than_what_is_proposed(page_of: NewPage) -> None:
    page = page_of("/funnels?range=all")
    held: list[Route] = []
    page.route("**/v1/schema*", lambda route: held.append(route))
    page.get_by_role("button", name="+ Step").click()
    page.keyboard.type("purch")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert held
    page.unroute("**/v1/schema*")  # and whatever is held goes on
    page.wait_for_url(re.compile("steps=%24pageview%2Csignup%2Cpurchase"))


def test_a_funnel_is_kept_and_put_on_a_board(house: House, page_of: NewPage, kept: None) -> None:
    page = page_of("/funnels?range=all&steps=%24pageview%2Csignup&window=30d")
    shown = numbers(page, "step:")
    page.get_by_role("button", name="Save").click()
    page.get_by_label("Name").fill("To signup")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Put it on a board").click()
    page.get_by_role("combobox", name="Board").select_option("")
    page.get_by_role("textbox", name="Its name").fill("Every morning")
    page.get_by_role("button", name="Put it there").click()
    expect(page.get_by_role("heading", name="Every morning")).to_be_visible()
    tile = page.get_by_role("article", name="To signup")
    expect(tile.locator("data[data-of='step:2']")).to_have_attribute("value", f"{shown['2']:.0f}")
    page.get_by_role("button", name="Add a chart").click()
    page.get_by_role("button", name="a new one").click()
    page.get_by_role("button", name="Add it").click()
    people = page.get_by_role("article", name="People, last 30 days")
    expect(people).to_be_visible()
    page.get_by_role("button", name="Arrange").click()
    people.get_by_role("button", name="Earlier").click()
    expect(page.get_by_role("article").first).to_have_accessible_name("People, last 30 days")
    people.get_by_role("button", name="Wide").click()
    expect(people.get_by_role("button", name="Narrow")).to_be_visible()
    tile.get_by_role("button", name="Remove").click()
    expect(tile).to_have_count(0)
    (board,) = house.ask("/v1/boards")["rows"]
    assert board["insights"] == [{"insight": "People, last 30 days", "width": 12}]


def test_retention_down_to_people(house: House, page_of: NewPage) -> None:
    page = page_of("/retention?range=all&show=people")
    asked = {**ALL, "interval": "week", "cohort": "first_seen"}
    rows = [row for row in house.ask("/v1/retention", **asked)["rows"] if row["persons"]]
    expected = {
        f"{nth}:{period}": count
        for nth, row in enumerate(rows)
        for period, count in enumerate(row["retained"])
    }
    assert numbers(page, "cell:") == expected
    nth = next(nth for nth, row in enumerate(rows) if sum(row["retained"][1:2]))
    page.locator(f'[data-at="{nth},0"]').focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    people = page.get_by_role("region", name=re.compile("week 1: who was back"))
    expect(people.get_by_role("rowheader")).to_have_count(rows[nth]["retained"][1])
    page.get_by_role("button", name="who was not").click()
    gone = page.get_by_role("region", name=re.compile("week 1: who was not"))
    expect(gone.get_by_role("rowheader")).to_have_count(
        rows[nth]["persons"] - rows[nth]["retained"][1]
    )


def test_paths_down_to_people(house: House, page_of: NewPage) -> None:
    page = page_of("/paths?range=all&event=signup&rows=all")
    asked = {**ALL, "event": "signup", "direction": "before", "limit": 60}
    answer = house.ask("/v1/paths", **asked)
    assert value(page, "persons") == answer["persons"]
    ways = {
        json.dumps(row["path"], separators=(",", ":")): row["persons"] for row in answer["rows"]
    }
    assert numbers(page, "way:") == ways
    node = page.locator("g[role=button]").filter(has_text=re.compile(r"^\/pricing: \d+")).first
    node.focus()
    page.keyboard.press("Enter")
    people = page.get_by_role("region", name="Who did /pricing, then signup")
    step = int(dict(parse_qsl(urlsplit(page.url).query))["column"])
    counted = sum(
        flow["persons"]
        for flow in answer["flow"]
        if (flow["step"], flow["from"]) == (step, "/pricing")
    )
    # The node says how many they are, and so many are listed.
    expect(node).to_have_text(re.compile(rf"^/pricing: {counted}/"))
    expect(people.get_by_role("rowheader")).to_have_count(counted)
    assert node.get_attribute("aria-pressed") == "true"
    row = answer["rows"][0]
    page.get_by_role("button", name="  →  ".join(row["path"]), exact=True).click()
    went = page.get_by_role("region", name=f"Who did {', then '.join([*row['path'], 'signup'])}")
    expect(went.get_by_role("rowheader")).to_have_count(row["persons"])


def test_a_key_is_rotated_and_revoked(house: House, page_of: NewPage) -> None:
    page = page_of("/settings/keys")
    page.get_by_role("button", name="New key").click()
    page.get_by_label("What for").select_option("rk")
    page.get_by_label("Name").fill("wall")
    page.get_by_role("button", name="Make the key").click()
    secret = page.get_by_role("dialog").locator("code")
    expect(secret).to_have_text(re.compile("^rk_live_"))
    old = secret.inner_text()
    assert house.send("GET", "/v1/goals", key=old).status == 200
    page.get_by_role("button", name="I have it").click()
    row = page.get_by_role("listitem").filter(has_text="wall")
    row.get_by_role("button", name="Rotate").click()
    page.get_by_label("The old key ends").select_option("")
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    expect(secret).not_to_have_text(old)
    new = secret.inner_text()
    page.get_by_role("button", name="I have it").click()
    assert old not in page.content()
    assert new not in page.content()
    assert house.send("GET", "/v1/goals", key=old).status == 401
    assert house.send("GET", "/v1/goals", key=new).status == 200
    label = "_".join(new.split("_")[:3])
    page.get_by_role("button", name=f"Revoke {label}").click()
    page.get_by_role("button", name="Revoke it").click()
    expect(page.get_by_role("button", name=f"Revoke {label}")).to_have_count(0)
    assert house.send("GET", "/v1/goals", key=new).status == 401


def test_a_funnel_is_shared_embedded_and_revoked(
    house: House, page_of: NewPage, stranger: NewPage, tmp_path: Path
) -> None:
    page = page_of("/funnels?range=60d&tz=UTC&stitch=next&steps=%24pageview%2Csignup")
    shown = numbers(page, "step:")
    page.get_by_role("button", name="Share").click()
    page.get_by_label("Name").fill("For investors")
    page.get_by_role("button", name="Make the link").click()
    secrets = page.get_by_role("dialog").locator("code")
    expect(secrets).to_have_count(2)
    link, frame = secrets.all_inner_texts()
    page.get_by_role("button", name="I have it").click()
    visitor = stranger()
    visitor.goto(link)
    settled(visitor)
    assert numbers(visitor, "step:") == shown
    assert visitor.get_by_role("button", name="+ Step").count() == 0
    with Site(tmp_path, "magazine.example") as site:
        site.project = served_by(house.url)
        site.pages["/"] = frame
        visitor.goto(f"{site.origin}/")
        inside = visitor.frame_locator("iframe").locator("data[data-of='step:2']")
        expect(inside).to_have_attribute("value", f"{shown['2']:.0f}")
    page.goto(f"{house.url}/dashboard/settings/share-links")
    page.get_by_role("button", name="Revoke For investors").click()
    page.get_by_role("button", name="Revoke it").click()
    expect(page.get_by_text("For investors is revoked")).to_be_visible()
    visitor.goto(link)
    expect(visitor.get_by_role("alert")).to_be_visible()
    assert numbers(visitor, "step:") == {}


def test_somebody_is_forgotten_with_a_receipt(house: House, page_of: NewPage) -> None:
    event = {"event": "signup", "user_id": "leaver", "anonymous_id": "leaver's device"}
    assert house.send("POST", "/v1/track", event, key=house.keys["sk"]).status == 202
    page = page_of("/settings/forget")
    field = page.get_by_role("combobox", name="User id")
    field.fill("leaver")
    page.get_by_role("option", name="leaver").click()
    page.get_by_role("button", name="Forget leaver").click()
    sure = page.get_by_role("button", name="Forget them")
    expect(sure).to_be_disabled()
    page.get_by_label("Type the id once more").fill("leaver")
    sure.click()
    receipt = page.get_by_role("region", name="Receipt").locator("code").first
    expect(receipt).to_be_visible()
    rows = house.ask("/v1/receipts")["rows"]
    assert receipt.inner_text() in {row["receipt_id"] for row in rows}
    assert "leaver" not in page.url
    assert house.ask("/v1/users", search="leaver")["rows"] == []


def test_members_have_roles_and_sign_out_everywhere(
    house: House, page_of: NewPage, stranger: NewPage
) -> None:
    page = page_of("/settings/members")
    page.get_by_role("button", name="Invite somebody").click()
    page.get_by_label("E-mail address").fill("vera@shop.example")
    page.get_by_label("Name", exact=True).fill("Vera")
    page.get_by_role("button", name="Make the link").click()
    link = page.get_by_role("dialog").locator("code")
    first = link.inner_text()
    page.get_by_role("button", name="I have it").click()
    expect(page.get_by_text("vera@shop.example")).to_be_visible()
    page.get_by_role("button", name="Link for Vera to sign in").click()
    expect(link).not_to_have_text(first)
    second = link.inner_text()
    page.get_by_role("button", name="I have it").click()

    here, there = stranger(), stranger()
    for device, address in ((here, first), (there, second)):
        device.goto(address)
        device.wait_for_url(f"{house.url}/dashboard/")
    for path in ("keys", "members", "forget"):
        here.goto(f"{house.url}/dashboard/settings/{path}")
        expect(here.get_by_text("This is for an owner")).to_be_visible()
    here.goto(f"{house.url}/dashboard/settings/goals")
    expect(here.get_by_role("heading", name="Goals")).to_be_visible()
    assert here.get_by_role("button", name="New goal").count() == 0
    here.goto(f"{house.url}/dashboard/funnels")
    settled(here)
    assert here.get_by_role("button", name="Save", exact=True).count() == 0

    page.get_by_role("button", name="Role of Vera:").click()
    page.get_by_role("menuitemradio", name="editor").click()
    expect(page.get_by_text("Vera is editor now.")).to_be_visible()
    here.goto(f"{house.url}/dashboard/settings/goals")
    expect(here.get_by_role("button", name="New goal")).to_be_visible()

    here.goto(f"{house.url}/dashboard/settings/sessions")
    expect(here.get_by_role("listitem").filter(has_text="signed in by a link")).to_have_count(2)
    here.get_by_role("button", name="Sign out everywhere").click()
    here.get_by_role("dialog").get_by_role("button", name="Sign out everywhere").click()
    here.wait_for_url(re.compile("/dashboard/sign-in"))
    there.reload()
    there.wait_for_url(re.compile("/dashboard/sign-in"))

    page.get_by_role("button", name="Remove Vera").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("vera@shop.example")).to_have_count(0)


RULES = """- id: podcast
  when:
    params: {utm_source: "newsletter"}
  source: podcast
  medium: audio
"""


def test_rules_are_tried_before_they_are_kept(house: House, page_of: NewPage) -> None:
    page = page_of("/settings/sources?test=https%3A%2F%2Fshop.example%2F%3Futm_source%3Dnewsletter")
    expect(page.get_by_text("newsletter / ", exact=False).first).to_be_visible()
    rules = page.get_by_label("Rules, as YAML")
    rules.fill("- id: [")
    expect(page.get_by_role("alert")).to_contain_text("Line 1")
    rules.fill(RULES)
    expect(page.get_by_text("custom:podcast")).to_be_visible()
    page.get_by_role("button", name="Try them on all that is stored").click()
    change = page.get_by_role("table", name="What would change")
    row = change.get_by_role("row").filter(has_text="podcast / audio")
    expect(row).to_be_visible()
    asked = {"dry_run": True, "rules": RULES}
    rows = house.change("POST", "/v1/reclassify", asked)["rows"]
    (podcast,) = [row for row in rows if row["source"] == "podcast"]
    assert podcast["before"] == 0
    assert row.get_by_role("cell").nth(1).inner_text() == f"{podcast['after']:,}"
    assert house.ask("/v1/rules")["rules"] == ""
    page.get_by_role("button", name="Undo the changes").click()
    expect(page.get_by_text("custom:podcast")).to_have_count(0)


def test_a_goal_is_made_changed_and_deleted(house: House, page_of: NewPage) -> None:
    page = page_of("/settings/goals")
    page.get_by_role("button", name="New goal").click()
    page.get_by_label("Name", exact=True).fill("Won")
    page.get_by_role("combobox", name="Event").fill("purch")
    page.get_by_role("option", name=re.compile("^purchase")).click()
    page.get_by_role("combobox", name="Worth this property").click()
    page.get_by_role("option", name=re.compile("^value")).click()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("worth its value")).to_be_visible()
    goal = house.ask("/v1/goals/Won")
    assert (goal["event"], goal["value_property"]) == ("purchase", "value")
    page.get_by_role("button", name="Delete Won").click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.get_by_text("worth its value")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("worth its value")).to_be_visible()
    house.change("DELETE", "/v1/goals/Won")


def test_live_shows_what_arrives_and_what_is_refused(house: House, page_of: NewPage) -> None:
    page = page_of("/live")
    event = {"event": "Odd Name <b>", "user_id": "user_1", "anonymous_id": "d"}
    assert house.send("POST", "/v1/track", event, key=house.keys["sk"]).status == 202
    line = page.get_by_role("button").filter(has_text="Odd Name <b>")
    expect(line).to_contain_text("1 warning")
    line.click()
    expect(page.get_by_text("capitals or spaces")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    assert house.send("POST", "/v1/track", event, key="sk_live_0000000000_none").status == 401
    refused = page.get_by_role("listitem").filter(has_text="at /v1/track")
    assert refused.count() == 0
    page.get_by_role("button", name="Go on").click()
    expect(refused.first).to_be_visible()
    page.get_by_role("searchbox").fill("nothing like that")
    expect(page.get_by_text(re.compile("None of the last"))).to_be_visible()


def test_identity_is_as_the_api_has_it(house: House, page_of: NewPage) -> None:
    page = page_of("/identity")
    answer = house.ask("/v1/identity/stats", stitch="next")
    shown = figures(page)
    for name in ("known_share", "persons", "users", "links", "devices_per_user", "placeholder_ids"):
        assert float(shown[name]) == answer[name], name
    devices = house.ask("/v1/identity/shared-devices", stitch="next")["rows"]
    table = page.get_by_role("table", name="Shared devices")
    expect(table.get_by_role("rowheader")).to_have_text([row["anonymous_id"] for row in devices])
