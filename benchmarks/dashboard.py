"""What the dashboard costs to open: Lighthouse's scores, bytes, time until a number is there.

Lighthouse is installed from npm for this alone, into a folder that is deleted afterwards. It runs
as it does for everybody, with its own slowed-down phone and its own desktop.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, sync_playwright
from tests.dashboard.house import House
from tests.e2e.browsers import chromium

from benchmarks.report import Report

LIGHTHOUSE = "lighthouse@12.8.2"
TARGETS = {"performance": 95, "accessibility": 100, "best-practices": 100}
# What a founder may wait for the data of a page, in milliseconds, at 10 million events.
DATA_MS = {"overview": 300}
OTHER_DATA_MS = 500
# The first number that the server has answered, and when everything was asked and answered.
MEASURED = """
() => {
  const all = performance.getEntriesByType("resource");
  const asked = all.filter(({ name }) => name.includes("/v1/"));
  const own = all.filter(({ name }) => !name.includes("/v1/"));
  const page = performance.getEntriesByType("navigation")[0];
  return {
    first: window.firstNumber,
    data: Math.max(...asked.map((e) => e.responseEnd)) - Math.min(...asked.map((e) => e.startTime)),
    slowest: Math.max(...asked.map((e) => e.responseEnd - e.requestStart)),
    bytes: own.reduce((sum, e) => sum + e.encodedBodySize, page.encodedBodySize),
    requests: own.length + 1,
    asked: asked.length,
  };
}
"""
FIRST_NUMBER = """
  new MutationObserver(() => {
    if (window.firstNumber) return;
    const shown = document.querySelectorAll("main data, main dd, main td");
    if ([...shown].some(({ textContent }) => /[0-9]/.test(textContent)))
      window.firstNumber = performance.now();
  }).observe(document, { childList: true, subtree: true, characterData: true, attributes: true });
"""


_numbers = itertools.count(1)


class Opened(NamedTuple):
    """Of one load: milliseconds until the first number, and of the data; bytes and requests."""

    first: float
    data: float
    slowest: float
    bytes: int
    requests: int
    asked: int


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5, help="loads of each page")
    parser.add_argument("--without-lighthouse", action="store_true")
    asked = parser.parse_args()
    load = f"{os.getloadavg()[0]:.1f}"
    report = Report("dashboard", events=asked.events, runs=asked.runs, load=load)
    with (
        tempfile.TemporaryDirectory() as folder,
        House(Path(folder) / "demo", asked.events) as house,
    ):
        pages = _pages(house)
        _browse(report, house, pages, asked.runs)
        if not asked.without_lighthouse:
            _lighthouse(report, house, pages, Path(folder))
    report.save()


def _pages(house: House) -> dict[str, str]:
    """The Overview, and the journey of somebody on several devices."""
    users = house.ask("/v1/users", limit=1000)["rows"]
    person = max(users, key=lambda row: row["devices"])["user_id"]
    project = f"project={house.project_id}"
    return {
        "overview": f"{house.url}/dashboard/?{project}",
        "attribution": f"{house.url}/dashboard/attribution?{project}",
        "journey": f"{house.url}/dashboard/people/{person}?{project}",
        "people": f"{house.url}/dashboard/people?{project}",
    }


def _browse(report: Report, house: House, pages: dict[str, str], runs: int) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for name, address in pages.items():
            loads = [_open(browser, house, address) for _ in range(runs + 1)][1:]
            one = loads[0]
            report.row(f"{name}: first load, packed", f"{one.bytes:,} bytes, {one.requests} files")
            first = statistics.median(load.first for load in loads)
            report.row(f"{name}: until the first number", f"{first:.0f} ms")
            data = statistics.median(load.data for load in loads)
            most = DATA_MS.get(name, OTHER_DATA_MS)
            what = f"{name}: data, {one.asked} questions at once"
            report.row(what, f"{data:.0f} ms", target=f"≤ {most} ms at 10 M")
            fresh = [_open_after_an_event(browser, house, address) for _ in range(runs)]
            data = statistics.median(load.data for load in fresh)
            report.row(f"{name}: the same after a new event", f"{data:.0f} ms")
        browser.close()


def _open_after_an_event(browser: Browser, house: House, address: str) -> Opened:
    """What has been answered before is not what is so now."""
    event = {
        "event": "$pageview",
        "anonymous_id": f"new {next(_numbers)}",
        "url": "https://x.example/",
    }
    assert house.send_with(house.keys["sk"], "POST", "/v1/track", event).status < 300
    return _open(browser, house, address)


def _open(browser: Browser, house: House, address: str) -> Opened:
    """In a browser that has nothing of it."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, timezone_id="UTC")
    cookie = {"name": "threadline_session", "value": house.cookie, "url": house.url}
    context.add_cookies([cookie])  # type: ignore[list-item]
    context.add_init_script(FIRST_NUMBER)
    page = context.new_page()
    page.goto(address)
    page.locator("main[aria-busy=false]").wait_for(timeout=120_000)
    page.wait_for_load_state("networkidle")
    found: dict[str, Any] = page.evaluate(MEASURED)
    context.close()
    return Opened(**found)


def _lighthouse(report: Report, house: House, pages: dict[str, str], folder: Path) -> None:
    npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder)]
    subprocess.run([*npm, LIGHTHOUSE], check=True)
    headers = folder / "headers.json"
    headers.write_text(json.dumps({"Cookie": f"threadline_session={house.cookie}"}))
    for name in ("overview", "journey"):
        for form, preset in (("desktop", ["--preset=desktop"]), ("phone", [])):
            written = folder / f"{name}-{form}.json"
            command = [
                *(str(folder / "node_modules" / ".bin" / "lighthouse"), pages[name], "--quiet"),
                *("--output=json", f"--output-path={written}", f"--extra-headers={headers}"),
                *(f"--only-categories={','.join(TARGETS)}", *preset),
                "--chrome-flags=--headless=new --no-sandbox --disable-dev-shm-usage",
            ]
            environment = {**os.environ, "CHROME_PATH": chromium(windowed=True) or ""}
            subprocess.run(command, check=True, env=environment)
            _tell(report, f"{name}, {form}", json.loads(written.read_text()))


def _tell(report: Report, what: str, found: dict[str, Any]) -> None:
    for category, least in TARGETS.items():
        score = round(100 * (found["categories"][category]["score"] or 0))
        report.row(f"{what}: {category}", str(score), target=f"≥ {least}")
        for each in found["categories"][category]["auditRefs"]:
            audit = found["audits"][each["id"]]
            if audit["score"] is not None and audit["score"] < 1 and each["weight"]:
                print(f"    {audit['score']} {audit['title']} {audit.get('displayValue', '')}")


if __name__ == "__main__":
    main()
