"""Asking two servers the same and finding the first thing in which their answers differ."""

import json
import re
import threading
from collections import Counter
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from benchmarks.checkouts import Checkout, Connection, Reply, Serving
from benchmarks.compared_log import Log

# What may differ, and why. Nothing else may.
HEADERS_MAY_DIFFER = {
    "date": "the clock",
    "content-length": "follows from the body, which is compared",
}
# The 13th digit of a number and all behind it: threads add parts up in whatever order they come.
LONG_NUMBER = re.compile(rb"-?[0-9]+\.[0-9]{8,}(?:[eE][-+]?[0-9]+)?")
DIGITS = 12


Names = Mapping[str, str]


class Question(NamedTuple):
    """`key`: of which kind; "x": one that does not exist."""

    project: str
    path: str
    params: Names
    method: str = "GET"
    key: str = "rk"

    def __str__(self) -> str:
        key = "" if self.key == "rk" else f" key {self.key or 'none'}"
        params = f"?{urlencode(self.params)}" if self.params else ""
        return f"{self.project}{key}: {self.method} {self.path}{params}"


def difference(before: Reply, after: Reply) -> str:
    """The first, short; "" where there is none."""
    if before.status != after.status:
        said = _short(after.body.decode(errors="replace"))
        return f"status: {before.status} → {after.status}: {said}"
    for name in sorted(before.headers.keys() | after.headers.keys()):
        ours, theirs = before.headers.get(name), after.headers.get(name)
        if ours != theirs and name not in HEADERS_MAY_DIFFER:
            return f"header {name}: {ours} → {theirs}"
    if before.body == after.body:
        return ""
    if not before.headers.get("content-type", "").startswith("application/json"):
        return _in_lines(before.body, after.body)
    one, other = _rounded(before.body), _rounded(after.body)
    if one == other:
        return ""
    found = _in_json("$", json.loads(one), json.loads(other))
    return found or f"same values, other bytes: {_in_lines(one, other)}"


def _rounded(body: bytes) -> bytes:
    return LONG_NUMBER.sub(
        lambda found: repr(float(f"{float(found[0]):.{DIGITS}g}")).encode(), body
    )


def _in_json(at: str, before: Any, after: Any) -> str:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in {**before, **after}:
            if name not in before or name not in after:
                where = "before" if name in before else "after"
                return f"{at}.{name}: only {where}"
            if found := _in_json(f"{at}.{name}", before[name], after[name]):
                return found
        return ""
    if isinstance(before, list) and isinstance(after, list):
        for number, (one, other) in enumerate(zip(before, after, strict=False)):
            if found := _in_json(f"{at}[{number}]", one, other):
                return found
        return "" if len(before) == len(after) else f"{at}: {len(before)} → {len(after)} rows"
    if before == after:
        return ""
    if isinstance(before, str) and isinstance(after, str):
        return f"{at}: {_in_lines(before.encode(), after.encode())}"
    return f"{at}: {_short(repr(before))} → {_short(repr(after))}"


def _in_lines(before: bytes, after: bytes) -> str:
    ours, theirs = before.split(b"\n"), after.split(b"\n")
    for number, (one, other) in enumerate(zip(ours, theirs, strict=False), 1):
        if one != other:
            start = next(
                (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0
            )
            ours_there, theirs_there = _short(repr(one[start:])), _short(repr(other[start:]))
            return f"line {number}, byte {start}: {ours_there} → {theirs_there}"
    return f"{len(ours):,} → {len(theirs):,} lines"


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}…"


class Both:
    """The two servers, and what to ask them with."""

    def __init__(self, log: Log, before: Serving, after: Serving) -> None:
        self._log = log
        self._servers = (before, after)
        self._own = threading.local()
        self._lock = threading.Lock()
        # What *before* answered, so that nobody takes a thousand refusals for a comparison.
        self.statuses: Counter[int] = Counter()

    def compare(self, question: Question) -> str:
        """The difference; also of the second page, where there is one, by each one's own cursor."""
        try:
            return self._compare(question)
        except (OSError, HTTPException) as error:
            del self._own.connections
            return f"no answer from one of them: {error!r}"

    def _compare(self, question: Question) -> str:
        pages = [self._ask(connection, question) for connection in self._connections()]
        with self._lock:
            self.statuses[pages[0].status] += 1
        found = difference(*pages)
        cursors = [_cursor(page) for page in pages]
        if found or not all(cursors):
            return found
        more = [
            self._ask(connection, question._replace(params={**question.params, "cursor": cursor}))
            for connection, cursor in zip(self._connections(), cursors, strict=True)
        ]
        found = difference(*more)
        return f"second page: {found}" if found else ""

    def _connections(self) -> list[Connection]:
        if not hasattr(self._own, "connections"):
            self._own.connections = [server.connection() for server in self._servers]
        connections: list[Connection] = self._own.connections
        return connections

    def _ask(self, connection: Connection, question: Question) -> Reply:
        key = self._log.keys[question.project].get(question.key, question.key)
        return connection.send(question.method, question.path, key, params=question.params)


def _cursor(page: Reply) -> str:
    if page.status == 200 and page.body.startswith(b"{"):
        try:
            return page.json.get("next_cursor") or ""
        except ValueError:  # one JSON object a line
            pass
    return page.headers.get("threadline-next-cursor", "")


def compare_command(
    arguments: list[str], checkouts: tuple[Checkout, Checkout], folders: tuple[Path, Path]
) -> str:
    """The difference between what a command says of one folder and of the other."""
    done = []
    for checkout, folder in zip(checkouts, folders, strict=True):
        ended = checkout.threadline(*arguments, "--data", str(folder))
        said = f"{ended.stdout}\n{ended.stderr.replace(str(folder), 'FOLDER')}"
        done.append(Reply(ended.returncode, {}, said.encode()))
    return difference(*done)
