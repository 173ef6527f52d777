"""What others have written to check servers, on the demo: `make mcp-check`.

`@modelcontextprotocol/inspector` in its form for the command line lists everything and calls every
tool, over HTTP and over stdio; `@modelcontextprotocol/conformance` runs each scenario that applies.
Not a part of `make test`: it installs 150 MB from npm, and starts Node some eighty times.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.cli.test_ask import PARAMS
from tests.dashboard.house import House
from tests.support import Json
from threadline.mcp.catalogue import tools_for
from threadline.mcp.tools import SAYS

ROOT = Path(__file__).parents[2]
MODULES = ROOT / ".venv" / "outside"
INSPECTOR, CONFORMANCE = "2.12.0", "0.1.16"
LEAST_NODE = (22, 19)
AT_ONCE = 2

# Scenarios of the suite that every server can pass.
APPLY = (
    "server-initialize",
    "ping",
    "tools-list",
    "resources-list",
    "prompts-list",
    "server-sse-multiple-streams",
    "dns-rebinding-protection",
)
EXAMPLE = "it asks for what only the suite's own example server has"
NOT_OFFERED = "a feature that we do not offer, and do not say that we do"
# The others, each with the reason; one that is in neither list fails.
DO_NOT_APPLY = {
    r"tools-call-.*|json-schema-2020-12|elicitation-.*": EXAMPLE,
    r"resources-read-.*|resources-templates-read|prompts-get-.*": EXAMPLE,
    r"completion-complete|logging-set-level|resources-(un)?subscribe": NOT_OFFERED,
    "server-sse-polling": "it is about streams that are resumed; our answers are JSON at once",
}
# What the tools that are no questions take.
MORE_ARGUMENTS: dict[str, Json] = {
    "classify": {"url": "https://shop.example/?utm_source=facebook&utm_medium=paid"},
    "segments": {},
    "goals": {},
    "annotations": {},
}


def arguments(house: House) -> dict[str, Json]:
    """Of every tool that reads, about what the demo has."""
    users = house.ask("/v1/users", conversion="signup", limit=1)["rows"]
    event = house.ask("/v1/query", limit=1)["rows"][0]
    account = house.ask("/v1/accounts", limit=1)["rows"]
    known: Json = {
        "user_id": users[0]["user_id"],
        "event_id": event["event_id"],
        "account_id": account[0]["account_id"] if account else "none",
    }
    found = {
        SAYS[name].name: {key: known.get(key, value) for key, value in params.items()}
        for name, params in PARAMS.items()
    }
    return {**found, **MORE_ARGUMENTS}


# -- the inspector ------------------------------------------------------------------------------


class Inspector:
    """One way to the server: what stands before the method in its command."""

    def __init__(self, name: str, *target: str) -> None:
        self.name = name
        self._target = target

    def run(self, *command: str) -> Json:
        """What it prints. Raises `AssertionError` where it fails."""
        done = _node("mcp-inspector", "--cli", *self._target, *command)
        assert done.returncode == 0, f"{self.name}: {' '.join(command)}: {done.stderr[-2000:]}"
        found: Json = json.loads(done.stdout)
        return found

    def call(self, tool: str, given: Json) -> str:
        """Whether it answers, and as text what it says."""
        pairs = [f"{name}={value}" for name, value in given.items()]
        args = [part for pair in pairs for part in ("--tool-arg", pair)]
        result = self.run("--method", "tools/call", "--tool-name", tool, *args)
        text = str(result["content"][0]["text"])
        assert not result["isError"], f"{self.name}: {tool}: {text}"
        assert result["structuredContent"] is not None
        return text


def inspect(way: Inspector, asked: dict[str, Json]) -> None:
    listed = {tool["name"] for tool in way.run("--method", "tools/list")["tools"]}
    assert listed == set(tools_for("rk")), listed ^ set(tools_for("rk"))
    assert listed == set(asked), listed ^ set(asked)
    resources = [each["uri"] for each in way.run("--method", "resources/list")["resources"]]
    assert "events://recent" in resources
    for uri in ("events://recent", "schema://events", "docs://index"):
        read = way.run("--method", "resources/read", "--uri", uri)
        assert read["contents"][0]["text"], uri
    prompts = [each["name"] for each in way.run("--method", "prompts/list")["prompts"]]
    for name in prompts:
        assert way.run("--method", "prompts/get", "--prompt-name", name)["messages"], name
    with ThreadPoolExecutor(AT_ONCE) as threads:
        texts = [*threads.map(lambda each: way.call(*each), asked.items())]
    for name, text in zip(asked, texts, strict=True):
        print(f"  {way.name} {name}: {text[:90]}")
    print(f"{way.name}: {len(listed)} tools, {len(resources)} resources, {len(prompts)} prompts")


def check_schemas(way: Inspector) -> None:
    """What it has to say of schemas that other clients would stumble over."""
    command = ("--method", "tools/list", "--strict")
    done = _node("mcp-inspector", "--cli", *way._target, *command)
    assert done.returncode == 0, done.stderr
    print(f"{way.name}, strict: {done.stderr.strip().splitlines()[-1]}")


# -- the conformance suite ----------------------------------------------------------------------


@contextmanager
def with_key(url: str, key: str) -> Iterator[str]:
    """An address that hands everything on, with the key: the suite has no way to send one."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: value for name, value in self.headers.items() if name != "Connection"}
            headers["Authorization"] = f"Bearer {key}"
            request = urllib.request.Request(
                url + self.path, body or None, headers, method=self.command
            )
            try:
                reply = urllib.request.urlopen(request, timeout=60)
            except urllib.error.HTTPError as error:
                reply = error
            answered = reply.read()
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answered)))
            self.end_headers()
            self.wfile.write(answered)

        do_GET = do_POST = do_DELETE = do_OPTIONS = _pass  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Clients hang up when they know enough."""

    server = Quiet(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def conform(url: str) -> None:
    listed = _node("conformance", "list").stdout.partition("Client scenarios")[0]
    scenarios = re.findall(r"^  - ([\w.-]+)", listed, re.MULTILINE)
    assert scenarios, listed
    assert set(APPLY) <= set(scenarios), set(APPLY) - set(scenarios)
    for name in scenarios:
        reason = next((why for what, why in DO_NOT_APPLY.items() if re.fullmatch(what, name)), "")
        if name not in APPLY:
            assert reason, f"{name} is new in the suite: does it apply?"
            print(f"  conformance {name}: does not apply: {reason}")
            continue
        done = _node("conformance", "server", "--url", f"{url}/mcp", "--scenario", name)
        said = done.stdout + done.stderr
        assert done.returncode == 0, f"conformance {name}: {said[-3000:]}"
        checks = re.findall(r"Passed: *(\d+)/(\d+)", said)
        assert checks, said
        assert all(passed == every for passed, every in checks), said
        print(f"  conformance {name}: passed {'/'.join(checks[-1])}")


# -- Node ---------------------------------------------------------------------------------------


def _node(binary: str, *command: str) -> subprocess.CompletedProcess[str]:
    bins = MODULES / "node_modules" / ".bin"
    # The inspector keeps things in the home of whoever runs it.
    environ = {**os.environ, "HOME": str(MODULES / "home"), "NO_COLOR": "1"}
    return subprocess.run(
        [str(bins / binary), *command], text=True, capture_output=True, env=environ, cwd=ROOT
    )


def install() -> None:
    """What is not there yet. Exits where Node is too old for it."""
    found = subprocess.run(["node", "--version"], text=True, capture_output=True, check=True).stdout
    if tuple(map(int, found.strip().lstrip("v").split(".")[:2])) < LEAST_NODE:
        least = ".".join(map(str, LEAST_NODE))
        sys.exit(f"The inspector needs Node {least}, and this is {found.strip()}.")
    wanted = {"inspector": INSPECTOR, "conformance": CONFORMANCE}
    packages = [f"@modelcontextprotocol/{name}@{version}" for name, version in wanted.items()]
    (MODULES / "home").mkdir(parents=True, exist_ok=True)
    command = ["npm", "--no-audit", "--no-fund", "--loglevel", "error", "--prefix", str(MODULES)]
    subprocess.run([*command, "install", *packages], check=True)


def main() -> None:
    install()
    with tempfile.TemporaryDirectory() as folder, House(Path(folder) / "demo") as house:
        key = house.keys["rk"]
        asked = arguments(house)
        http = Inspector(
            "http",
            *(f"{house.url}/mcp", "--transport", "http"),
            *("--header", f"Authorization: Bearer {key}"),
        )
        threadline = (sys.executable, "-m", "threadline.cli.main")
        # It hands on nothing of its own surroundings.
        source = ("-e", f"PYTHONPATH={ROOT / 'src'}")
        stdio = Inspector("stdio", *source, *threadline, "mcp", "--data", str(house.folder))
        check_schemas(http)
        inspect(http, asked)
        inspect(stdio, asked)
        with with_key(house.url, key) as url:
            conform(url)
    print("All of it passed.")


if __name__ == "__main__":
    main()
