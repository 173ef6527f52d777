"""The real library of the Segment spec in a real page, sending to Threadline."""

import json
import subprocess

from tests.e2e.conftest import NewDevice
from tests.e2e.site import Site
from tests.support import ROOT

BROWSER = ROOT / "browser"
# As docs/segment.md has it.
SCRIPT = """
import { AnalyticsBrowser } from "@segment/analytics-next";
const analytics = AnalyticsBrowser.load({
  writeKey: KEY,
  cdnSettings: { integrations: { "Segment.io": { apiKey: KEY, apiHost: HOST, protocol: "http" } } },
});
analytics.page();
analytics.track("clicked_pricing", { plan: "weaver" });
analytics.identify("user_42", { name: "Ada" });
"""


def bundle(script: str, key: str, host: str) -> str:
    """The script with all that it imports, `KEY` and `HOST` put in."""
    esbuild = BROWSER / "node_modules" / ".bin" / "esbuild"
    defined = [f"--define:KEY={json.dumps(key)}", f"--define:HOST={json.dumps(host)}"]
    done = subprocess.run(
        [esbuild, "--bundle", "--format=iife", *defined],
        input=script,
        text=True,
        capture_output=True,
        check=True,
        cwd=BROWSER,
    )
    return done.stdout


def test_analytics_next_sends_from_a_page(site: Site, device: NewDevice) -> None:
    host = f"{site.stats.removeprefix('http://')}/v1"
    site.pages["/segment.js"] = bundle(SCRIPT, site.project.keys["pk"], host)
    site.pages["/landing"] = '<title>Looms</title><script src="/segment.js"></script>'
    page = device().new_page()
    page.goto(f"{site.origin}/landing?utm_source=facebook&utm_medium=cpc")
    rows = {row["event_name"]: row for row in site.sent(3)}
    assert rows.keys() == {"$pageview", "clicked_pricing", "$identify"}
    (visitor,) = {row["anonymous_id"] for row in rows.values()}
    assert visitor == page.evaluate("JSON.parse(localStorage.ajs_anonymous_id)")
    for row in rows.values():
        assert (row["source"], row["medium"], row["path"]) == ("facebook", "paid", "/landing")
        assert row["browser"] == "chrome"
    properties = json.loads(rows["clicked_pricing"]["properties"])
    assert (properties["plan"], properties["language"]) == ("weaver", "en-US")
    profile = site.project.ask("/v1/users/user_42")
    assert (profile["traits"], profile["first_touch"]["source"]) == ({"name": "Ada"}, "facebook")
