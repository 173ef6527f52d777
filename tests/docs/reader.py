"""Somebody who types in what a document says, in a folder that holds what a clone does."""

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit

import yaml
from rich.console import Console

from tests import forked
from tests.docs.blocks import Block
from tests.support import MEASURED, ROOT, Server
from threadline import settings, settings_files, settings_given
from threadline.cli.demo_loading import COUNTRY_HEADER, DemoNotes, count, load

CLONED = ("README.md", "docs", "examples")
ORIGIN = "https://shop.example"
SERVE = "threadline serve &"
# `threadline demo --events 20000` at the first moment of May 2026.
EVENTS, VISITORS, USERS, SEED, UNTIL_MS = 20_000, 1000, 200, 1, 1_777_593_600_000
# `curl` tells of an error in its exit status only if asked.
COMMANDS = {
    "python": f'exec {sys.executable} "$@"',
    "python3": f'exec {sys.executable} "$@"',
    "curl": f'exec {shutil.which("curl")} --fail-with-body --silent --show-error "$@"',
}
KEY = re.compile(r"\b(pk|sk|rk)_live_…")
LISTED_KEY = "sk_live_5fK2bQx0Za"
PLACES = ("http://localhost:8787", "https://stats.example.com", "localhost:8787")
REQUEST = re.compile(r"^(GET|POST|PUT|DELETE)\s+(/\S+)", re.MULTILINE)


class Reader:
    """With nothing but the clone, or (`begun`) where README leaves its reader: a server that runs,
    a project `shop` with its keys in the shell, and the story in it. Done when it is needed."""

    def __init__(self, folder: Path, begun: bool, demo: bool = False) -> None:
        """`demo`: with the demo log in the project instead of the story."""
        self.folder = folder / "clone"
        self.folder.mkdir()
        for name in CLONED:
            source = ROOT / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, self.folder / name)
        self.server: Server | None = None
        self.variables = _environment(folder)
        self._to_begin = begun
        self._demo = demo

    def _begin(self) -> None:
        self._to_begin = False
        self._serve()
        made = self._shell(f"threadline project create shop --origin {ORIGIN} --json")
        for kind, key in json.loads(made)["keys"].items():
            self.variables[kind.upper()] = key
        if self._demo:
            self._load_demo()
        else:
            self._shell(
                'curl localhost:8787/v1/batch -H "Authorization: Bearer $SK"'
                " -H 'Content-Type: application/json' --data @examples/story.json"
            )

    def _load_demo(self) -> None:
        assert self.server
        keys = {kind: self.variables[kind.upper()] for kind in ("pk", "sk", "rk")}
        notes = DemoNotes(keys, EVENTS, VISITORS, USERS, SEED, UNTIL_MS)
        assert load(self.server.url, notes, threading.Event(), Console(quiet=True))
        count(self.server.url, keys["rk"], threading.Event())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.server:
            self.server.__exit__()

    def _serve(self) -> None:
        headers = {"THREADLINE_COUNTRY_HEADER": COUNTRY_HEADER} if self._demo else {}
        self.server = Server(self.folder / settings.Settings().data, **headers)
        self.variables["THREADLINE_SDK_HOST"] = self.server.url

    def run(self, block: Block) -> None:
        """Do what the block says. Raises `AssertionError` if that does not work."""
        if block.file:
            (self.folder / block.file).write_text(block.text + "\n")
        assert block.kind in RUN, f"{block}: of no kind that can be run; mark it, or name its kind"
        if self._to_begin and block.kind not in ALONE:
            self._begin()
        RUN[block.kind](self, block)

    def shell(self, block: Block) -> None:
        """All lines as if they were pasted."""
        lines = block.text.splitlines()
        if SERVE in lines:
            assert lines.index(SERVE) == 0, f"{block}: the server comes first"
            self._serve()
        self._shell("\n".join(line for line in lines if line != SERVE))

    def console(self, block: Block) -> None:
        """Commands after `$`, and what they print. `…` is any text of one line."""
        for command, expected in commands(block.text):
            printed = self._printed(command)
            pattern = re.escape(_without_space(expected)).replace("…", "[^\n]*")
            assert re.fullmatch(pattern, _without_space(printed)), f"{block} prints:\n{printed}"

    def python(self, block: Block) -> None:
        """A program of its own, that has nothing to complain of."""
        done = self._run([sys.executable, "-c", self._filled(block.text)])
        assert not done.returncode, f"{block}: {done.stderr}"
        assert not done.stderr, f"{block}: {done.stderr}"

    def node(self, block: Block) -> None:
        """A module for Node, run as a program; one that has a name is there to be imported."""
        name = block.file or "program.mjs"
        (self.folder / name).write_text(self._filled(block.text) + "\n")
        done = self._run([_node(), name])
        assert not done.returncode, f"{block}: {done.stderr}"
        assert not done.stderr, f"{block}: {done.stderr}"

    def sql(self, block: Block) -> None:
        done = self._run(["threadline", "sql", block.text, "--format", "ndjson"])
        assert not done.returncode, f"{block}: {done.stderr}"
        assert done.stdout.splitlines(), f"{block}: no rows"

    def http(self, block: Block) -> None:
        for request in requests(block.text):
            status, answer = self._ask(request)
            assert status < 300, f"{block}: {status} {answer!r}"

    def html(self, block: Block) -> None:
        assert _Tags.of(block.text), f"{block}: no element in it"

    def script(self, block: Block) -> None:
        """JavaScript or TypeScript, without an error in its syntax."""
        esbuild = ROOT / "browser" / "node_modules" / ".bin" / "esbuild"
        done = subprocess.run(
            [esbuild, "--loader=tsx"], input=block.text, text=True, capture_output=True
        )
        assert not done.returncode, f"{block}: {done.stderr}"

    def data(self, block: Block) -> None:
        """JSON, or a file that a later command reads."""
        if block.kind == "json":
            json.loads(block.text)
        else:
            assert block.file, f"{block}: what is its name?"

    def yaml(self, block: Block) -> None:
        loaded = yaml.safe_load(block.text)
        assert loaded, f"{block}: empty"
        if isinstance(loaded, list) and "when" in loaded[0]:
            (self.folder / "checked.yaml").write_text(block.text)
            self._shell("threadline rules check checked.yaml")

    def toml(self, block: Block) -> None:
        """Settings, as the program reads them."""
        assert tomllib.loads(block.text), f"{block}: empty"
        here = Path.cwd()
        try:
            os.chdir(self.folder)
            Path(settings_files.FILE).write_text(block.text)
            settings_given.load({})
        finally:
            Path(settings_files.FILE).unlink()
            os.chdir(here)

    def ini(self, block: Block) -> None:
        """A unit of systemd: sections, and one setting a line."""
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.read_string(block.text)
        assert unit["Service"]["ExecStart"], f"{block}: starts nothing"

    def variables_file(self, block: Block) -> None:
        """Settings for the environment, one a line."""
        pairs = dict(line.split("=", 1) for line in block.text.splitlines())
        settings_given.load(pairs)

    def clickhouse(self, block: Block) -> None:
        """What an administrator of a server types in there: statements that the engine can read."""
        done = self._run([sys.executable, "-c", PARSE, *block.text.split(";")])
        assert not done.returncode, f"{block}: {done.stderr}"

    def drawing(self, block: Block) -> None:
        """Nothing to do; and nothing that should be done."""
        assert not COMMAND.search(block.text), f"{block}: there are commands in it"

    def _shell(self, script: str) -> str:
        """What it prints. Variables that it exports are there for the next one."""
        kept = self.folder.parent / "variables"
        script = f"set -euo pipefail\n{self._filled(script)}\nenv -0 > {kept}"
        done = self._run(["bash", "-c", script])
        assert not done.returncode, f"{script}\n{done.stdout}{done.stderr}"
        pairs = (pair.split("=", 1) for pair in kept.read_text().split("\0") if pair)
        self.variables.update((name, value) for name, value in pairs if name not in OF_SHELL)
        return done.stdout

    def _printed(self, command: str) -> str:
        """All that it prints, whatever becomes of it."""
        return self._run(["bash", "-c", f"exec 2>&1\n{self._filled(command)}"]).stdout

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        environ = {**self.variables, "THREADLINE_SDK_KEY": self.variables.get("SK", "")}
        return subprocess.run(
            command, env=environ, cwd=self.folder, text=True, capture_output=True, timeout=120
        )

    def _ask(self, request: "Request") -> tuple[int, bytes]:
        assert self.server
        connection = HTTPConnection(urlsplit(self.server.url).netloc, timeout=60)
        headers = {
            "Authorization": f"Bearer {self.variables['SK']}",
            "Content-Type": "application/json",
        }
        connection.request(request.method, request.path, request.body, headers)
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    def _filled(self, text: str) -> str:
        """With the address and keys of this reader in place of the examples'."""
        if self.server:
            for place in PLACES:
                text = text.replace(place, self.server.url)
        if LISTED_KEY in text:
            text = text.replace(LISTED_KEY, self._newest_key())
        return KEY.sub(lambda found: self.variables[found[1].upper()], text)

    def _newest_key(self) -> str:
        done = self._run(["threadline", "key", "list", "--json"])
        usable = [key for key in json.loads(done.stdout) if key["state"] == "active"]
        secret = [key for key in usable if key["kind"] == "sk" and key["name"]]
        newest = max(secret, key=lambda key: key["created_at"])
        return f"sk_live_{newest['prefix']}"


class Request(NamedTuple):
    method: str
    path: str
    body: str | None


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command after `$`, with the lines it goes on in, and what it is said to print."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        last = next(at for at, line in enumerate(lines) if not line.endswith("\\"))
        yield "\n".join(lines[: last + 1]), "\n".join(lines[last + 1 :])


def requests(text: str) -> Iterator[Request]:
    """Each request of a block. What follows the JSON of a body is a remark."""
    found = list(REQUEST.finditer(text))
    ends = [*(request.start() for request in found[1:]), len(text)]
    for request, end in zip(found, ends, strict=True):
        rest = text[request.end() : end].lstrip()
        body = None
        if rest.startswith("{"):
            _, length = json.JSONDecoder().raw_decode(rest)
            body = rest[:length]
        yield Request(request[1], request[2], body)


class _Tags(HTMLParser):
    """The names of all elements."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.append(tag)

    @classmethod
    def of(cls, text: str) -> list[str]:
        tags = cls()
        tags.feed(text)
        tags.close()
        return tags.found


def _node() -> str:
    """The machine's, else the one beside Python."""
    return shutil.which("node") or str(Path(sys.executable).parent / "node")


def _environment(folder: Path) -> dict[str, str]:
    """Of a shell that knows of nothing but the commands."""
    bin = folder / "bin"
    bin.mkdir()
    for name, script in {**COMMANDS, "threadline": f"exec {forked.in_shell()}"}.items():
        (bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (bin / name).chmod(0o755)
    kept = {name: os.environ[name] for name in ("PYTHONPATH", "LANG") if name in os.environ}
    return {
        "PATH": f"{bin}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "COLUMNS": "100",
        **kept,
        **MEASURED,
    }


def _without_space(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


PARSE = """
import sys, clickhouse_connect
engine = clickhouse_connect.get_client(interface="chdb")
for statement in filter(str.strip, sys.argv[1:]):
    engine.query("SELECT formatQuery({text:String})", parameters={"text": statement})
"""
# These need no server.
ALONE = {"clickhouse", "csv", "env", "html", "ini", "json", "ndjson", "script", "text", "toml"}
OF_SHELL = ("_", "SHLVL", "PWD", "OLDPWD")
COMMAND = re.compile(r"^\s*(\$ |threadline \w+ -|curl|pip |npm |make |sudo )", re.MULTILINE)
RUN = {
    "shell": Reader.shell,
    "console": Reader.console,
    "mjs": Reader.node,
    "python": Reader.python,
    "sql": Reader.sql,
    "clickhouse": Reader.clickhouse,
    "http": Reader.http,
    "html": Reader.html,
    "script": Reader.script,
    "json": Reader.data,
    "csv": Reader.data,
    "ndjson": Reader.data,
    "yaml": Reader.yaml,
    "toml": Reader.toml,
    "ini": Reader.ini,
    "env": Reader.variables_file,
    "text": Reader.drawing,
}
