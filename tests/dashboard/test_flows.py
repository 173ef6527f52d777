"""What people do on the overview, on attribution, and at the door."""

import csv
import io
import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.dashboard.conftest import NewPage, settled
from tests.dashboard.house import PASSWORD, House, served_by
from tests.e2e.site import Site


def people(page: Page) -> int:
    return int(page.locator("data[data-of=people]").get_attribute("value") or -1)


def test_a_click_on_a_row_filters_everything_and_back_takes_it_back(
    house: House, page_of: NewPage
) -> None:
    page = page_of("/?range=all")
    everybody = people(page)
    countries = page.get_by_role("table", name="Countries")
    countries.get_by_role("button", name="Germany").click()
    chip = page.get_by_role("button", name="Remove the filter: country is DE")
    expect(chip).to_be_visible()
    settled(page)
    asked = {"metric": "persons", "stitch": "next", "filters": "country==DE"}
    (of_germany,) = house.ask("/v1/stats", **asked)["rows"]
    assert people(page) == of_germany["value"] < everybody
    assert "filters=country%3D%3DDE" in page.url
    page.reload()
    settled(page)
    assert people(page) == of_germany["value"]
    page.go_back()
    settled(page)
    assert people(page) == everybody
    page.go_forward()
    chip.click()
    settled(page)
    assert people(page) == everybody
    assert "filters" not in page.url


def test_a_source_row_leads_to_the_people_whom_it_brought(page_of: NewPage) -> None:
    page = page_of("/?range=all")
    sources = page.get_by_role("table", name="Sources")
    row = sources.get_by_role("row").filter(has_text="google / organic")
    brought = int(row.locator("data").first.get_attribute("value") or -1)
    row.get_by_role("button").click()
    chip = page.get_by_role("button", name="Remove the filter: first source is google")
    expect(chip).to_be_visible()
    settled(page)
    assert people(page) == brought


def test_a_filter_is_made_by_keyboard_with_what_there_is(page_of: NewPage) -> None:
    page = page_of("/?range=all")
    page.get_by_role("button", name="+ Filter").click()
    expect(page.get_by_role("combobox", name="What")).to_be_focused()
    page.keyboard.type("device_t")
    expect(page.get_by_role("option", name="device_type")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    value = page.get_by_role("combobox", name="Value")
    expect(value).to_be_focused()
    value.press_sequentially("mob")
    expect(page.get_by_role("option", name=re.compile("^mobile"))).to_be_visible()
    # What was there for fewer letters is gone.
    expect(page.get_by_role("option", name=re.compile("^desktop"))).to_have_count(0)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Filter", exact=True).click()
    chip = page.get_by_role("button", name="Remove the filter: device type is mobile")
    expect(chip).to_be_visible()


def test_a_bar_leads_to_its_day(page_of: NewPage) -> None:
    page = page_of("/?range=7d")
    bars = page.get_by_role("slider", name="People a day, point by point")
    bars.focus()
    page.keyboard.press("Home")
    day = bars.get_attribute("aria-valuetext") or ""
    assert re.match(r"\w+,? \d+ \w+: known today \d+, still anonymous \d+", day), day
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"range=(\d{4}-\d\d-\d\d)\.\.\1"))


def test_policies_are_a_switch(house: House, page_of: NewPage) -> None:
    page = page_of("/attribution?range=all")
    page.get_by_role("button", name="last", exact=True).click()
    page.wait_for_url(re.compile("stitch=last"))
    settled(page)
    asked = {"conversion": "signup", "model": "first_touch", "stitch": "last"}
    rows = house.ask("/v1/attribution", **asked)["rows"]
    expected = {f"{row['source']},{row['medium']}": row["conversions"] for row in rows}
    for group, conversions in list(expected.items())[:5]:
        cell = page.locator(f'data[data-of="first_touch:{group}"]')
        assert float(cell.get_attribute("value") or -1) == conversions


def test_a_number_opens_down_to_touches_rule_and_tie(house: House, page_of: NewPage) -> None:
    page = page_of("/attribution?range=all")
    page.get_by_role("button", name="google / organic, Linear").click()
    behind = page.get_by_role("table", name="People behind google / organic")
    first = behind.get_by_role("rowheader").first.get_by_role("button")
    user = first.inner_text()
    first.click()
    why = page.get_by_role("region", name="Why", exact=True)
    expect(why.get_by_role("heading", name=re.compile(f"Why: {user}'s signup"))).to_be_visible()
    answer = house.ask("/v1/attribution/why", user_id=user, conversion="signup", stitch="next")
    touches = [touch for touch in answer["touches"] if "next" in touch["credit"]]
    rows = why.get_by_role("table").get_by_role("row")
    expect(rows).to_have_count(len(touches) + 1)
    for touch, row in zip(touches, rows.all()[1:], strict=True):
        assert touch["source_rule_id"] in row.inner_text()
        assert touch["owners"]["next"]["because"].split(",")[0] in row.inner_text()
    assert f"who={user}" in page.url
    page.go_back()
    expect(why).to_have_count(0)
    expect(behind).to_be_visible()


def test_cells_are_walked_by_arrow_keys(page_of: NewPage) -> None:
    page = page_of("/attribution?range=all")
    page.locator('[data-at="0,0"]').focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.dataset.at") == "1,1"
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("model=last_touch"))


def test_tables_are_taken_along(page_of: NewPage, tmp_path: Path) -> None:
    page = page_of("/?range=all")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Countries as CSV").click()
    path = tmp_path / "countries.csv"
    waiting.value.save_as(path)
    header, *rows = csv.reader(io.StringIO(path.read_text()))
    assert header[:2] == ["Country", "People"]
    shown = page.locator('data[data-of^="country:"]')
    values = [each.get_attribute("value") for each in shown.all()]
    assert [row[1] for row in rows] == values


def test_charts_are_taken_along(page_of: NewPage, tmp_path: Path) -> None:
    page = page_of("/?range=7d")
    for kind, begin in (("SVG", b"<svg"), ("PNG", b"\x89PNG"), ("CSV", b"When,")):
        page.get_by_role("button", name="People a day: save").click()
        with page.expect_download() as waiting:
            page.get_by_role("menuitem", name=f"Save as {kind}").click()
        path = tmp_path / kind
        waiting.value.save_as(path)
        assert path.read_bytes().startswith(begin)
    svg = (tmp_path / "SVG").read_text()
    assert "style=" not in svg
    assert "rgb(181, 48, 42)" in svg


def test_search_and_shortcuts(page_of: NewPage) -> None:
    page = page_of("/")
    page.keyboard.press("/")
    page.keyboard.type("purch")
    hit = page.get_by_role("option").filter(has_text="purchase").first
    expect(hit).to_be_visible()
    hit.click()
    filter_chip = page.get_by_role("button", name="Remove the filter: event is purchase")
    expect(filter_chip).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.wait_for_url(re.compile("/dashboard/attribution"))
    # What all pages share goes along.
    expect(filter_chip).to_be_visible()


def test_a_theme_is_kept(page_of: NewPage) -> None:
    page = page_of("/", scheme="light")
    root = page.locator("html")
    expect(root).to_have_css("background-color", "rgb(251, 250, 247)")
    page.get_by_role("button", name="Account:").click()
    page.get_by_role("button", name="Dark").click()
    expect(root).to_have_css("background-color", "rgb(23, 22, 20)")
    page.reload()
    settled(page)
    expect(root).to_have_css("background-color", "rgb(23, 22, 20)")


def test_sign_in_and_out(house: House, stranger: NewPage) -> None:
    page = stranger()
    page.goto(f"{house.url}/dashboard/attribution?range=all")
    page.wait_for_url(re.compile("/dashboard/sign-in"))
    page.get_by_label("E-mail address").fill(house.email)
    page.get_by_label("Password").fill("something else")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("is wrong")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    # Where one wanted to go.
    page.wait_for_url(re.compile(r"/dashboard/attribution\?.*range=all"))
    expect(page.get_by_role("heading", name=re.compile("six ways"))).to_be_visible()
    page.get_by_role("button", name="Account:").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(re.compile("/dashboard/sign-in"))
    page.goto(f"{house.url}/dashboard/")
    page.wait_for_url(re.compile("/dashboard/sign-in"))


def test_nobody_is_led_elsewhere_after_signing_in(house: House, page_of: NewPage) -> None:
    home = re.compile(rf"{re.escape(house.url)}/dashboard/(\?.*)?")
    page = page_of("/sign-in?then=https%3A%2F%2Fevil.example%2F")
    expect(page).to_have_url(home)
    page.goto(f"{house.url}/dashboard/sign-in?then=%2Fdashboard%2F%5C..%2F%2Fevil.example")
    expect(page).to_have_url(home)


def test_a_shared_page_shows_itself_and_nothing_else(house: House, stranger: NewPage) -> None:
    query = "range=30d&tz=UTC&stitch=next&goal=signup&filters=country%3D%3DDE"
    given = {"page": "overview", "name": "For the board", "query": query}
    made = house.change("POST", "/v1/share-links", given)
    page = stranger()
    page.goto(made["link"])
    settled(page)
    expect(page.get_by_text("For the board")).to_be_visible()
    assert page.get_by_role("alert").count() == 0
    asked = {"metric": "persons", "stitch": "next", "filters": "country==DE", "tz": "UTC"}
    series = house.ask("/v1/stats", **asked, from_="30d")
    assert people(page) <= series["rows"][0]["value"]
    assert page.get_by_role("button", name="+ Filter").count() == 0
    house.change("DELETE", f"/v1/share-links/{made['share_id']}")
    page.reload()
    expect(page.get_by_role("alert")).to_be_visible()


def test_a_shared_page_is_embedded_elsewhere(
    house: House, stranger: NewPage, tmp_path: Path
) -> None:
    given = {"page": "overview", "name": "n", "query": "range=7d&tz=UTC&stitch=next&goal=signup"}
    made = house.change("POST", "/v1/share-links", given)
    page = stranger()
    with Site(tmp_path, "magazine.example") as site:
        site.project = served_by(house.url)
        site.pages["/"] = f'<iframe src="{made["embed"]}" width="900" height="700"></iframe>'
        page.goto(f"{site.origin}/")
        embedded = page.frame_locator("iframe")
        expect(embedded.get_by_role("heading", name="What brought them")).to_be_visible()
        expect(embedded.locator("data[data-of=people]")).to_be_visible()


def test_a_note_is_on_the_chart(house: House, page_of: NewPage) -> None:
    page = page_of("/?range=7d")
    page.get_by_role("button", name="Add a note").click()
    page.get_by_label("What", exact=True).fill("The new prices went live")
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_text("is on every chart")).to_be_visible()
    settled(page)
    page.get_by_role("slider", name="People a day, point by point").focus()
    page.keyboard.press("End")
    expect(page.get_by_text(re.compile(": The new prices went live"))).to_be_visible()
    for note in house.ask("/v1/annotations")["rows"]:
        house.change("DELETE", f"/v1/annotations/{note['annotation_id']}")
