"""RudderStack's JavaScript clients, unmodified, in a real page and in Node."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.conftest import NewDevice
from tests.e2e.site import Site
from tests.e2e.test_segment import BROWSER, bundle
from tests.http.test_segment import CONTEXT, FROM_CONTEXT, WHEN, stored
from tests.support import Project

# As docs/segment.md has it; what a page load or a click would call.
PAGE = """
import { RudderAnalytics } from "@rudderstack/analytics-js/BUILD";
const rudder = new RudderAnalytics();
rudder.load(KEY, HOST, { configUrl: HOST, ...OPTIONS });
rudder.page("Docs", "Pricing", { plan: "weaver" });
rudder.track("clicked_pricing", { plan: "weaver" });
rudder.identify("user_42", { name: "Ada" });
rudder.group("g1", { seats: 3 });
rudder.reset(true);
rudder.track("after_reset");
"""
ASKED = """url => performance.getEntriesByType("resource")
  .some(({ name }) => name.split("?")[0] === url)"""
EVENTS = ["$pageview", "clicked_pricing", "$identify", "$group", "after_reset"]


def script(site: Site, build: str, options: str) -> str:
    text = PAGE.replace("BUILD", build).replace("OPTIONS", options)
    return bundle(text, site.project.keys["pk"], site.stats)


@pytest.mark.parametrize(
    ("build", "options", "path"),
    [
        ("bundled", "{}", "/v1/track"),
        ("legacy", "{}", "/v1/track"),
        ("lite", "{}", "/v1/track"),
        ("bundled", "{ queueOptions: { batch: { enabled: true, maxItems: 5 } } }", "/v1/batch"),
        (
            "bundled",
            "{ useBeacon: true, beaconQueueOptions: { maxItems: 5 } }",
            "/beacon/v1/batch",
        ),
    ],
)
def test_the_browser_client_sends_from_a_page(
    site: Site, device: NewDevice, build: str, options: str, path: str
) -> None:
    site.pages["/rudder.js"] = script(site, build, options)
    site.pages["/landing"] = '<title>Looms</title><script src="/rudder.js"></script>'
    context = device()
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.goto(f"{site.origin}/landing?utm_source=facebook&utm_medium=cpc&utm_campaign=may")
    rows = {row["event_name"]: row for row in site.sent(5)}
    # All goes the way that this option stands for, and nothing goes elsewhere.
    page.wait_for_function(ASKED, arg=f"{site.stats}{path}")
    assert [url for url in asked if not url.startswith((site.origin, site.stats))] == []

    assert sorted(rows) == sorted(EVENTS)
    for row in rows.values():
        assert (row["source"], row["medium"], row["campaign"]) == ("facebook", "paid", "may")
        assert (row["path"], row["referrer"], row["browser"]) == ("/landing", None, "chrome")
    visitors = [rows[name]["anonymous_id"] for name in EVENTS]
    assert len(set(visitors[:4])) == 1
    assert visitors[4] != visitors[0]  # another visitor since the reset
    users = [rows[name]["user_id"] for name in EVENTS]
    assert users == [None, None, "user_42", "user_42", None]
    properties = {name: json.loads(row["properties"]) for name, row in rows.items()}
    viewed = {"name": "Pricing", "category": "Docs", "title": "Looms", "plan": "weaver"}
    assert properties["$pageview"].items() >= viewed.items()
    assert properties["clicked_pricing"]["plan"] == "weaver"
    assert properties["$identify"] == {"name": "Ada"}
    assert properties["$group"].items() >= {"group_id": "g1", "seats": 3}.items()
    profile = site.project.ask("/v1/users/user_42")
    assert (profile["traits"], profile["first_touch"]["source"]) == ({"name": "Ada"}, "facebook")


def test_a_visit_without_referrer_is_direct(site: Site, device: NewDevice) -> None:
    site.pages["/rudder.js"] = script(site, "bundled", "{}")
    site.pages["/landing"] = '<title>Looms</title><script src="/rudder.js"></script>'
    device().new_page().goto(f"{site.origin}/landing")
    for row in site.sent(5):
        assert (row["source"], row["medium"], row["referrer"]) == ("direct", "direct", None)


def test_the_time_is_when_it_happened_by_our_clock(site: Site, device: NewDevice) -> None:
    """The page's clock is two days slow: `sentAt` says so."""
    site.pages["/rudder.js"] = script(site, "bundled", "{}")
    site.pages["/landing"] = (
        "<title>Looms</title><script>const now = Date.now; Date = class extends Date {"
        " constructor(...given) { given.length ? super(...given) : super(Date.now()); }"
        " static now() { return now() - 172_800_000; } }</script>"
        '<script src="/rudder.js"></script>'
    )
    page = device().new_page()
    page.goto(f"{site.origin}/landing")
    assert page.evaluate("new Date().toISOString()") < str(datetime.now(UTC) - timedelta(days=1))
    for row in site.sent(5):
        assert datetime.now(UTC) - datetime.fromisoformat(row["timestamp"]) < timedelta(hours=1)


NODE = """
import Analytics from "@rudderstack/rudder-sdk-node";
const [key, host, given] = process.argv.slice(1);
const { context, when } = JSON.parse(given);
const errors = [];
const rudder = new Analytics(key, {
  dataPlaneUrl: host,
  errorHandler: (error) => errors.push(String(error)),
});
const happened = new Date(when);
const common = { anonymousId: "v1", userId: "u1", context, originalTimestamp: happened };
const properties = { plan: "weaver", n: 1.5 };
for (const _ of [1, 2]) {
  rudder.page({ ...common, messageId: "m1", name: "Pricing", properties });
  rudder.track({ ...common, messageId: "m2", event: "clicked", properties });
  rudder.identify({ ...common, messageId: "m3", traits: { name: "Ada" } });
  rudder.screen({ ...common, messageId: "m4", name: "Start", properties, timestamp: happened });
  rudder.group({ ...common, messageId: "m5", groupId: "g1", traits: { seats: 3 } });
}
rudder.alias({ messageId: "m6", previousId: "old_u1", userId: "u1" });
await rudder.flush();
console.log(JSON.stringify(errors));
"""


def test_the_node_client_sends_everything(project: Project) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    node = shutil.which("node", path=path)
    assert node, "run make build"
    given = json.dumps({"context": CONTEXT, "when": WHEN.isoformat()})
    command = [node, "--input-type=module", "--eval", NODE, project.keys["sk"], project.url, given]
    environ = {**os.environ, "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        command, cwd=BROWSER, env=environ, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
    rows = stored(project)
    spoken = {"language": "de-AT", "timezone": "Europe/Vienna"}
    sent = {"plan": "weaver", "n": 1.5, **spoken}
    named = {key: (row["event_name"], row["properties"]) for key, row in rows.items()}
    assert named == {
        "m1": ("$pageview", {**sent, "name": "Pricing"}),
        "m2": ("clicked", sent),
        "m3": ("$identify", {"name": "Ada"}),
        "m4": ("$screen", {**sent, "name": "Start"}),
        "m5": ("$group", {"seats": 3, "group_id": "g1", **spoken}),
    }
    assert len(project.stored()) == 5  # each was sent twice
    for row in rows.values():
        ids = {"anonymous_id": "v1", "user_id": "u1"}
        assert row.items() >= {**ids, **FROM_CONTEXT}.items()
    assert project.ask("/v1/users/u1")["traits"] == {"name": "Ada"}
    assert len(project.journey("old_u1")) == 5
