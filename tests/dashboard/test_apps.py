"""What a conversation shows (MCP Apps), in a sandbox without an origin, as hosts have it: whatever
is in an answer is text there, nothing of it runs, and nobody is asked for anything."""

from collections.abc import Mapping
from typing import cast

import pytest
from playwright.sync_api import Frame, Page, expect

from tests.dashboard.conftest import AXE, NewPage, Scheme, shoot
from tests.dashboard.house import House
from tests.support import ROOT, Json

APPS = ROOT / "src" / "threadline" / "web" / "apps"
WIDTH = 360
PAPER: Mapping[Scheme, str] = {"light": "rgb(251, 250, 247)", "dark": "rgb(23, 22, 20)"}
OTHER: Mapping[Scheme, Scheme] = {"light": "dark", "dark": "light"}
# A host, as small as one can be. It gives an app its answer once it was asked to, and lets it be as
# high as it says it is.
HOST = """<!doctype html><title>Host</title><body style="margin:0">
<iframe sandbox="allow-scripts" style="display:block;width:100%;border:0"></iframe>
<script>
  var frame = document.querySelector("iframe");
  window.heard = [];
  window.tell = (message) => frame.contentWindow.postMessage({ jsonrpc: "2.0", ...message }, "*");
  window.show = ({ html, context, notifications }) => {
    addEventListener("message", ({ source, data }) => {
      if (source !== frame.contentWindow) return;
      heard.push(data);
      if (data.method === "ui/initialize")
        tell({ id: data.id, result: {
          protocolVersion: "2026-01-26", hostInfo: { name: "host", version: "1" },
          hostCapabilities: {}, hostContext: context } });
      if (data.method === "ui/notifications/initialized")
        for (const [method, params] of notifications)
          tell({ method: "ui/notifications/" + method, params });
      if (data.method === "ui/notifications/size-changed")
        frame.style.height = data.params.height + "px";
    });
    frame.srcdoc = html;
  };
</script>"""

MARKUP = '<img src=x onerror="window.ran=1"></script><script>window.ran=1</script>\'`{{1}}'
SCHEME = "javascript:window.ran=1"
LONG = "W" * 3000
NAMES = (MARKUP, SCHEME, LONG, "\u202eeman", "https://evil.example/x.png", 'url("//evil.example")')


def event(nth: int, name: str) -> Json:
    """Of a person of whom everything is called that."""
    return {
        "timestamp": f"2026-05-0{nth + 1}T10:00:00.000Z",
        "event_id": f"{nth} {name}",
        "event_name": name if nth % 2 else "$pageview",
        "anonymous_id": f"device {nth % 3} {MARKUP}",
        "user_id": None if nth < 2 else MARKUP,
        "session_id": name,
        "source": name,
        "medium": SCHEME,
        **dict.fromkeys(("campaign", "channel", "referrer", "url", "path", "country"), name),
        **dict.fromkeys(("device_type", "browser", "os", "properties"), name),
        "source_confidence": name,
        "source_rule_id": name,
    }


JOURNEY: Json = {
    "rows": [event(nth, name) for nth, name in enumerate(NAMES)],
    "next_cursor": MARKUP,
    "known_since": "2026-05-03T10:00:00.000Z",
    "shared_devices": [MARKUP],
    "stitch": MARKUP,
}
CREDIT: Json = {"conversions": 2.5, "persons": 1, "value": {MARKUP: 5.0, "EUR": 1.25}}
FIGURES: Json = {**CREDIT, "influenced": 1, "touches": 1, "lag_seconds": None}
MODELS: Json = {"first_touch": CREDIT, MARKUP: CREDIT}
ATTRIBUTION: Json = {
    "conversion": MARKUP,
    "model": f"first_touch,{MARKUP}",
    "stitch": SCHEME,
    "rows": [
        {"source": name, "properties.<b>x": SCHEME, **FIGURES, "models": MODELS} for name in NAMES
    ],
    "total": {**FIGURES, "conversions": 15, "outside_window": 3, "models": MODELS},
    "warnings": [{"code": MARKUP, "message": MARKUP}],
    "truncated": True,
}
HOSTILE: Mapping[str, Json] = {"journey": JOURNEY, "attribution": ATTRIBUTION}


def answered(structured: object, **given: object) -> list[tuple[str, object]]:
    """What a host sends of a call that succeeded."""
    content = [{"type": "text", "text": f"In words: {MARKUP}"}]
    result = {"content": content, "structuredContent": structured}
    return [("tool-input", {"arguments": given}), ("tool-result", result)]


def show(page: Page, app: str, notifications: list[tuple[str, object]], theme: str = "") -> Frame:
    """The app inside of the host, once it has drawn."""
    html = (APPS / f"{app}.html").read_text(encoding="utf-8")
    context = {"theme": theme or None, "timeZone": "UTC"}
    page.set_content(HOST)
    page.evaluate(
        "(given) => show(given)",
        {"html": html, "context": context, "notifications": notifications},
    )
    page.frame_locator("iframe").locator("main[aria-busy=false]").wait_for()
    return page.frames[1]


@pytest.fixture
def requests() -> list[str]:
    return []


@pytest.fixture
def alone(stranger: NewPage, requests: list[str]) -> NewPage:
    """New pages of which every request is written down, and none is let through."""

    def new(width: int = WIDTH, scheme: Scheme = "light", **options: object) -> Page:
        page = stranger(width, scheme, **options)
        page.context.route("**", lambda route: route.abort())
        page.on("request", lambda request: requests.append(request.url))
        return page

    return new


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("app", HOSTILE)
def test_hostile_answers_are_text(
    alone: NewPage, requests: list[str], app: str, theme: Scheme
) -> None:
    # The host's theme holds, and not the system's.
    page = alone(scheme=OTHER[theme])
    given = {"user_id": MARKUP, "tz": MARKUP, "group_by": MARKUP}
    frame = show(page, app, answered(HOSTILE[app], **given), theme)
    expect(frame.get_by_text("<img src=x onerror=").first).to_be_visible()
    text = frame.locator("main").inner_text()
    assert MARKUP in text
    assert "javascript:window.ran=1" in text
    # What is drawn is the component, and not the words that stand in for it.
    assert frame.locator("svg[role=img], table").count() == 1
    assert "In words" not in text
    for button in frame.get_by_role("button").all():
        button.click()
    assert frame.locator("img, iframe, object, embed, a, link, form, main script").count() == 0
    assert frame.evaluate("window.ran") is None
    assert page.evaluate("window.ran") is None
    background = frame.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert background == PAPER[theme]
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert frame.evaluate(wide) <= 0
    # As high as it says, so that there are no two bars to scroll by.
    high = "document.documentElement.scrollHeight - document.documentElement.clientHeight"
    assert frame.evaluate(high) <= 0
    frame.evaluate(AXE.read_text())
    found = frame.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    assert [each["id"] for each in found["violations"]] == []
    assert requests == []


def test_the_same_numbers_as_anywhere(alone: NewPage, requests: list[str], house: House) -> None:
    person = house.ask("/v1/users", limit=1, filters="did==purchase")["rows"][0]["user_id"]
    journey = house.ask(f"/v1/users/{person}/events")
    frame = show(alone(720), "journey", answered(journey, user_id=person))
    assert values(frame, "events") == [len(journey["rows"])]
    assert frame.locator("ol .row").count() == len(journey["rows"])
    touch = house.ask(f"/v1/users/{person}")["first_touch"]
    row = frame.locator("ol .row").filter(has_text="first touch")
    assert row.count() == 1
    assert touch["source"] in row.inner_text()
    shoot(frame.page, "app-journey")

    models = "first_touch,last_touch,linear"
    credit = house.ask("/v1/attribution", conversion="signup", model=models, from_="all")
    frame = show(alone(720), "attribution", answered(credit))
    total = credit["total"]
    assert values(frame, "conversions") == [total["conversions"]]
    for model in models.split(","):
        assert values(frame, f"sum:{model}") == [total["models"][model]["conversions"]]
        cells = frame.locator(f"data[data-of^='{model}:']")
        assert cells.count() == min(14, len(credit["rows"]))
    shoot(frame.page, "app-attribution")
    # By another model the rows are in another order: the state is kept without an address.
    frame.get_by_role("button", name="Last").click()
    expect(frame.locator("th[aria-sort]")).to_contain_text("Last")

    alone_of = house.ask("/v1/attribution", conversion="signup", group_by="channel", from_="all")
    frame = show(alone(), "attribution", answered(alone_of))
    assert values(frame, f"sum:{alone_of['model']}") == [alone_of["total"]["conversions"]]
    assert frame.locator("thead th").first.inner_text() == "channel"
    assert requests == []


def values(frame: Frame, of: str) -> list[float]:
    found = frame.locator(f"data[data-of='{of}']").all()
    return [float(cast(str, each.get_attribute("value"))) for each in found]


WORDS = f"In words: {MARKUP}"
CONTENT = [{"type": "text", "text": WORDS}]


REFUSED: Json = {"content": CONTENT, "isError": True, "structuredContent": {"error": "x"}}
STRANGE: Json = {"content": CONTENT, "structuredContent": {"rows": [1, None]}}


@pytest.mark.parametrize("app", HOSTILE)
def test_what_cannot_be_drawn_is_said(alone: NewPage, app: str) -> None:
    page = alone()
    cases: list[tuple[str, Json, str]] = [
        ("tool-result", REFUSED, WORDS),
        ("tool-result", STRANGE, WORDS),
        ("tool-result", {"content": CONTENT}, WORDS),
        ("tool-result", {}, "The tool gave no answer that can be shown."),
        ("tool-cancelled", {}, "The call was cancelled. Ask again to see this."),
    ]
    for method, params, said in cases:
        frame = show(page, app, [(method, params)])
        expect(frame.locator("main")).to_have_text(said)


def test_only_the_host_is_heard_and_answered(alone: NewPage) -> None:
    page = alone()
    frame = show(page, "attribution", answered(ATTRIBUTION))
    # What the frame says to itself, or a page beside it would, changes nothing.
    frame.evaluate("postMessage({jsonrpc: '2.0', method: 'ui/notifications/tool-cancelled'}, '*')")
    page.evaluate("tell({ id: 'a', method: 'ping' }); tell({ id: 'b', method: 'tools/list' })")
    page.evaluate("tell({ id: 'c', method: 'ui/resource-teardown', params: {} })")
    page.evaluate(
        "tell({ method: 'ui/notifications/host-context-changed', params: { theme: 'dark' } })"
    )
    expect(frame.locator("html")).to_have_attribute("data-theme", "dark")
    assert "cancelled" not in frame.locator("main").inner_text()
    heard: list[Json] = page.evaluate("heard")
    assert {each["jsonrpc"] for each in heard} == {"2.0"}
    first, second = heard[:2]
    assert first["method"] == "ui/initialize"
    assert first["params"]["protocolVersion"] == "2026-01-26"
    assert first["params"]["appInfo"]["name"] == "threadline-attribution"
    assert second["method"] == "ui/notifications/initialized"
    answers = {each["id"]: each for each in heard if "method" not in each}
    assert answers["a"]["result"] == answers["c"]["result"] == {}
    assert answers["b"]["error"]["code"] == -32601
