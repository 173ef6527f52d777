"""Funnels, retention, paths, boards, live, identity and settings in every width and theme, and with
hostile names."""

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import (
    WIDTHS,
    NewPage,
    settled,
    shoot,
    too_wide,
    violations,
    whole,
)
from tests.dashboard.house import House
from tests.dashboard.test_hostile import MARKUP, NAMES
from tests.support import Json

STEPS = quote("$pageview,$pageview{path=/pricing},signup")
PAGES: Mapping[str, str] = {
    "funnels": f"/funnels?range=all&steps={STEPS}&group_by=source&step=2&dropped=true",
    "funnels-nobody": "/funnels?range=2020-01-01..2020-01-02",
    "retention": "/retention?range=60d&show=people",
    "paths": "/paths?range=all&direction=after&event=%24pageview&node=%2Fpricing&column=1",
    "boards": "/boards?board=Every+morning&arrange=true",
    "live": "/live",
    "identity": "/identity",
    "settings": "/settings",
    "settings-snippet": "/settings/snippet",
    "settings-keys": "/settings/keys",
    "settings-sources": "/settings/sources?test=https%3A%2F%2Fshop.example%2F%3Fgclid%3D1",
    "settings-goals": "/settings/goals",
    "settings-segments": "/settings/segments?filters=known%3D%3Dtrue",
    "settings-annotations": "/settings/annotations",
    "settings-members": "/settings/members",
    "settings-sessions": "/settings/sessions",
    "settings-share-links": "/settings/share-links",
    "settings-forget": "/settings/forget?who=user_1",
}
INSIGHTS: Mapping[str, Json] = {
    "People a day": {
        "question": "stats",
        "params": {"metric": "persons", "interval": "day", "from": "30d"},
    },
    "To signup": {"question": "funnel", "params": {"steps": "$pageview,signup", "from": "30d"}},
    "Back by week": {"question": "retention", "params": {"interval": "week", "from": "60d"}},
    "Before signup": {
        "question": "paths",
        "params": {"event": "signup", "direction": "before", "from": "60d"},
    },
    "Sources": {"question": "sources", "params": {"from": "30d"}},
}


def put_on_board(house: House, board: str, insights: Mapping[str, Json]) -> None:
    for name, insight in insights.items():
        house.change("PUT", f"/v1/insights/{quote(name, safe='')}", insight)
    tiles = [{"insight": name, "width": 12 if nth == 0 else 6} for nth, name in enumerate(insights)]
    house.change("PUT", f"/v1/boards/{quote(board, safe='')}", {"insights": tiles})


def take_off(house: House, board: str, insights: Mapping[str, Json]) -> None:
    house.change("DELETE", f"/v1/boards/{quote(board, safe='')}")
    for name in insights:
        house.change("DELETE", f"/v1/insights/{quote(name, safe='')}")


@pytest.fixture(scope="module")
def board(house: House) -> Iterator[None]:
    put_on_board(house, "Every morning", INSIGHTS)
    yield
    take_off(house, "Every morning", INSIGHTS)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.usefixtures("board")
def test_page(page_of: NewPage, name: str) -> None:
    whole(page_of(PAGES[name], WIDTHS[0]), name)


GROUPED: Mapping[str, Json] = {
    "Signups by source": {
        "question": "funnel",
        "params": {"steps": "$pageview,signup", "group_by": "source", "from": "30d"},
    },
    "Pages by source": {
        "question": "stats",
        "params": {"group_by": "path,source,country,device_type,browser", "from": "30d"},
    },
    "Worth": {
        "question": "attribution",
        "params": {
            "conversion": "purchase",
            "value_property": "value",
            "group_by": "source",
            "from": "30d",
        },
    },
}


def test_what_a_board_has_no_room_for_is_said(house: House, page_of: NewPage) -> None:
    """A funnel's first group is not all of it, nor are ten rows."""
    put_on_board(house, "In groups", GROUPED)
    try:
        page = page_of("/boards?board=In+groups", WIDTHS[0])
        settled(page)
        way = GROUPED["Signups by source"]["params"]
        groups = house.ask("/v1/funnel", **way)["rows"]
        assert len(groups) > 1
        table = page.get_by_role("table", name="Signups by source")
        for row in groups[:3]:
            first, last = row["steps"][0]["persons"], row["steps"][-1]["persons"]
            shown = table.get_by_role("row", name=re.compile(rf"^{re.escape(row['source'])}\b"))
            expect(shown).to_contain_text(f"{first:,}")
            expect(shown).to_contain_text(f"{last:,}")
        found = house.ask("/v1/stats", **GROUPED["Pages by source"]["params"])
        more = f"There are {len(found['rows']) - 10:,} more rows"
        expect(page.get_by_text(more)).to_be_visible()
        message = found["warnings"][0]["message"]
        assert found["truncated"] is True
        expect(page.get_by_text(message)).to_be_visible()
        worth = house.ask("/v1/attribution", **GROUPED["Worth"]["params"])["rows"][0]["value"]
        (currency, amount), *_ = worth.items()
        expect(page.get_by_role("table", name="Worth")).to_contain_text(f"{amount:,.0f} {currency}")
        shoot(page, "boards-in-groups")
    finally:
        take_off(house, "In groups", GROUPED)


OPENED: Mapping[str, Sequence[str]] = {
    "/funnels?range=all": ("+ Step", "Step 2:", "Save"),
    "/retention": ("from when",),
    "/boards": ("Add a chart",),
    "/settings/keys": ("New key", "Rotate"),
    "/settings/members": ("Invite somebody",),
    "/settings/goals": ("New goal",),
    "/settings/share-links": ("New link",),
}


@pytest.mark.parametrize("path", OPENED)
@pytest.mark.usefixtures("board")
def test_what_opens(page_of: NewPage, path: str) -> None:
    page = page_of(path, WIDTHS[0], "dark")
    for nth, button in enumerate(OPENED[path]):
        if nth:  # what the one before has opened is in nobody's way
            page.reload()
            settled(page)
        page.get_by_role("button", name=button).first.click()
        settled(page)
        assert too_wide(page) <= 0, button
        shoot(page, f"opened-{path.split('?')[0].replace('/', '-')[1:]}-{button[:6].strip()}")
        assert violations(page) == [], button


@pytest.fixture(scope="module")
def hostile(house: House) -> str:
    """A project in which every name is one that means something to some program."""
    # The demo stays the first of all, which is the one shown.
    made = house.change("POST", "/v1/projects", {"name": f"~~{MARKUP[:88]}", "origins": []})
    key = made["keys"]["sk"]
    for nth, name in enumerate(NAMES.values()):
        short = name[:100].encode("utf-8", "replace").decode()
        url = f"https://shop.example/{quote(name.encode('utf-8', 'replace'))[:1500]}"
        seen = {"anonymous_id": short, "user_id": short, "properties": {short: name}}
        minute = f"2026-05-02T10:{nth:02}"
        for event, at in (("$pageview", f"{minute}:00Z"), (short, f"{minute}:30Z")):
            body = {**seen, "url": url, "event": event, "timestamp": at}
            assert house.send("POST", "/v1/track", body, key=key).status in (202, 400)
    named = quote(MARKUP[:60], safe="")
    definitions: Mapping[str, Json] = {
        f"/v1/goals/{named}": {"event": "signup", "description": MARKUP},
        f"/v1/insights/{named}": {
            "question": "funnel",
            "params": {"steps": "$pageview,signup"},
            "description": MARKUP,
        },
        f"/v1/boards/{named}": {"insights": [{"insight": MARKUP[:60]}], "description": MARKUP},
    }
    for path, body in definitions.items():
        reply = house.send("PUT", path, body, key=key)
        assert reply.status < 300, reply
    link = {"page": "funnels", "name": MARKUP[:90], "query": ""}
    assert house.send("POST", "/v1/share-links", link, key=key).status < 300
    note = {"at": "2026-05-02", "text": MARKUP}
    assert house.send("POST", "/v1/annotations", note, key=key).status < 300
    return str(made["project_id"])


@pytest.mark.parametrize(
    "path",
    [
        f"/funnels?range=all&steps={quote('$pageview,' + MARKUP)}&step=1&group_by={quote(MARKUP)}",
        "/funnels?range=2026-05-01..2026-05-20&steps=%24pageview,x&step=1&group_by=path",
        f"/retention?range=all&cell={quote(MARKUP)}&period={quote(MARKUP)}&cohort={quote(MARKUP)}",
        "/paths?range=all&direction=after&event=%24pageview&steps=2",
        f"/paths?range=all&event={quote(MARKUP)}&node={quote(MARKUP)}&way={quote(MARKUP)}",
        "/boards",
        f"/boards?board={quote(MARKUP)}&add={quote(MARKUP)}",
        f"/live?q={quote('<img')}",
        "/identity",
        "/settings",
        "/settings/goals",
        f"/settings/segments?filters={quote(MARKUP)}",
        "/settings/annotations",
        "/settings/share-links",
        f"/settings/sources?test={quote(MARKUP)}&from_page={quote(MARKUP)}",
        f"/settings/forget?who={quote(MARKUP)}",
    ],
)
def test_hostile_names_are_text(page_of: NewPage, hostile: str, path: str) -> None:
    page = page_of(f"{path}{'&' if '?' in path else '?'}project={hostile}", WIDTHS[0])
    assert page.evaluate("window.ran") is None
    assert page.locator("main :is(img, script, iframe, a[href^='javascript:'])").count() == 0
    assert too_wide(page) <= 0
    assert violations(page) == []
