"""What a script on somebody's page costs: bytes, requests, and time of a slow phone's main thread.

Other trackers are installed from npm for this alone, into a folder that is deleted afterwards. Each
is bundled with what one page view needs, and sends to the same sink on this machine.
"""

import argparse
import gzip
import json
import statistics
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Browser, sync_playwright
from tests.e2e.browsers import chromium

from benchmarks.report import Report

ROOT = Path(__file__).parents[1]
BUILT = ROOT / "src" / "threadline" / "web" / "built"
# How much slower than this machine the phone is: as much as Lighthouse assumes.
THROTTLE = 4
WATCH_MS = 4000
LONGEST_TASK = """
  self.longest = 0;
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) longest = Math.max(longest, task.duration);
  }).observe({ type: "longtask", buffered: true });
"""


class Tracker(NamedTuple):
    """`script`: a page view by it; SINK stands for where it sends."""

    package: str
    script: str


TRACKERS = [
    Tracker(
        "@plausible-analytics/tracker@0.4.6",
        'import { init } from "@plausible-analytics/tracker";'
        'init({ domain: "x", endpoint: SINK + "/event", captureOnLocalhost: true });',
    ),
    Tracker(
        "@snowplow/browser-tracker@4.10.1",
        'import { newTracker, trackPageView } from "@snowplow/browser-tracker";'
        'newTracker("t", SINK, { appId: "x" }); trackPageView();',
    ),
    Tracker(
        "@segment/analytics-next@1.84.3",
        'import { AnalyticsBrowser } from "@segment/analytics-next";'
        'AnalyticsBrowser.load({ writeKey: "k", cdnURL: SINK }, { integrations: { "Segment.io":'
        ' { apiHost: SINK.slice(7), protocol: "http" } } }).page();',
    ),
    Tracker(
        "mixpanel-browser@2.83.0",
        'import mixpanel from "mixpanel-browser";'
        'mixpanel.init("k", { api_host: SINK, track_pageview: true });',
    ),
    Tracker(
        "posthog-js@1.449.2",
        'import posthog from "posthog-js"; posthog.init("k", { api_host: SINK });',
    ),
]


class Sink:
    """Takes everything, and counts what a page asks for. `scripts`: by path."""

    def __init__(self) -> None:
        self.scripts: dict[str, bytes] = {}
        self.asked: list[str] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                script = sink.scripts.get(self.path)
                if script is not None:
                    self.answer(gzip.compress(script), "text/javascript", gzipped=True)
                elif self.path.startswith("/page/"):
                    name = self.path.removeprefix("/page")
                    self.answer(f"<!doctype html><script async src='{name}'></script>".encode())
                else:
                    self.answer(b'{"integrations":{"Segment.io":{"apiKey":"k"}}}')

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.answer(b'{"status":1}', "application/json")

            def answer(self, body: bytes, kind: str = "text/html", gzipped: bool = False) -> None:
                if not self.path.startswith(("/page/", "/favicon")):
                    sink.asked.append(f"{self.command} {self.path.partition('?')[0]}")
                self.send_response(200)
                self.send_header("Content-Type", kind)
                if gzipped:
                    self.send_header("Content-Encoding", "gzip")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def bundle(trackers: list[Tracker], folder: Path, url: str) -> dict[str, bytes]:
    """Package without version -> script."""
    packages = [tracker.package for tracker in trackers]
    npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder)]
    subprocess.run([*npm, *packages], check=True, stdout=subprocess.DEVNULL)
    esbuild = ROOT / "browser" / "node_modules" / ".bin" / "esbuild"
    options = ["--bundle", "--minify", "--format=iife", f"--define:SINK={json.dumps(url)}"]
    bundles = {}
    for tracker in trackers:
        done = subprocess.run(
            [esbuild, *options, "--log-level=error"],
            input=tracker.script,
            text=True,
            capture_output=True,
            check=True,
            cwd=folder,
        )
        bundles[tracker.package.rpartition("@")[0]] = done.stdout.encode()
    return bundles


def load(browser: Browser, url: str) -> tuple[float, float]:
    """Milliseconds of the main thread, and its longest task, for one page on a slow phone."""
    context = browser.new_context()
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("Emulation.setCPUThrottlingRate", {"rate": THROTTLE})
    devtools.send("Performance.enable")
    page.add_init_script(LONGEST_TASK)
    page.goto(url)
    page.wait_for_timeout(WATCH_MS)
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    taken = {metric["name"]: float(metric["value"]) for metric in metrics}
    longest = float(page.evaluate("longest"))
    context.close()
    return (taken["ScriptDuration"] + taken["V8CompileDuration"]) * 1000, longest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--own-only", action="store_true", help="Nothing from npm.")
    options = parser.parse_args()
    sink = Sink()
    ours = BUILT.joinpath("a.js").read_bytes()
    given = json.dumps({"key": "pk_x", "host": sink.url})
    init = f"Object.assign(document.currentScript.dataset, {given});"
    with tempfile.TemporaryDirectory() as folder:
        others = {} if options.own_only else bundle(TRACKERS, Path(folder), sink.url)
    scripts = {"threadline, GET /v1/a.js": ours, **others}
    report = Report("browser", runs=options.runs, throttle=f"{THROTTLE}x")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(windowed=True),
            args=["--no-sandbox", "--disable-background-networking"],
        )
        sink.scripts["/empty.js"] = b""
        empty_ms = statistics.median(
            load(browser, f"{sink.url}/page/empty.js")[0] for _ in range(options.runs)
        )
        for number, (name, script) in enumerate(scripts.items()):
            path = f"/{number}.js"
            sink.scripts[path] = (init.encode() + script) if script is ours else script
            runs = []
            for _ in range(options.runs):
                sink.asked.clear()
                runs.append(load(browser, f"{sink.url}/page{path}"))
            taken_ms = statistics.median(run[0] for run in runs)
            longest_ms = statistics.median(run[1] for run in runs)
            task = f"longest task {longest_ms:.0f} ms" if longest_ms else "no long task"
            report.row(
                name,
                f"{len(gzip.compress(script)):,} bytes gzipped, {len(sink.asked)} requests,"
                f" {taken_ms - empty_ms:.1f} ms of script, {task}",
                f"an empty script {empty_ms:.1f} ms",
                target="≤ 2,200 bytes, no task over 50 ms" if script is ours else "–",
            )
        browser.close()
    report.save()


if __name__ == "__main__":
    main()
