"""A folder of schema 12 opens: every answer is as it was, and what was interrupted is finished."""

import csv
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cli.test_commands import ok, run
from tests.dying import TABLES
from tests.store.older import EXPECTED, unpack
from tests.support import Json, Reply, Server, until
from tests.width import wide

ANSWERS: list[Json] = EXPECTED["answers"]
TOKENS: dict[str, str] = EXPECTED["tokens"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(unpack(tmp_path_factory.mktemp("older"))) as running:
        running.await_line("rebuild_finished", "links")
        # Somebody who is to be forgotten is still in the log, and a dead letter is tried again.
        until(lambda: all(each["finished_ms"] for each in receipts(running)))
        events = "/v1/query?limit=1000"
        until(lambda: b'"event_id":"d1"' in ask(running, events, TOKENS["rk"]).body)
        yield running
        assert running.stop() == 0


def receipts(server: Server) -> list[Json]:
    found: list[Json] = json.loads(ok("receipts", "--json", "--data", str(server.folder)))
    return found


def ask(server: Server, path: str, token: str) -> Reply:
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    response = connection.getresponse()
    reply = Reply(response.status, response.headers, response.read())
    connection.close()
    return reply


SAID = ("warnings", "because", "last_touch", "moving_shares", "policies", "source_scope")
# Questions that speak of visits now, which stored sessions are not.
OF_VISITS = ("/v1/sessions", "/v1/attribution", "/v1/sources", "/v1/stats?metric=persons&group_by")


def plain(answer: Any) -> Any:
    """Without what is null or empty, a warning or a sentence, which may change; last touches, which
    are of visits now; what there is of more policies; and intervals in which nothing happened,
    which series fill up to today. And without the last digits of sums: threads add in another order
    each time."""
    if isinstance(answer, dict):
        answer = {k: v for k, v in answer.items() if v not in (None, "") and k not in SAID}
        if "rows" in answer:
            answer["rows"] = [row for row in answer["rows"] if "bucket" not in row or row["value"]]
        return {k: plain(v) for k, v in answer.items()}
    if isinstance(answer, float):
        return float(f"{answer:.12g}")
    return [plain(part) for part in answer] if isinstance(answer, list) else answer


def read(body: str) -> Any:
    """An answer in JSON, or the lines of a file in any order, and without empty cells."""
    if body.startswith("{"):
        answers = [plain(json.loads(line)) for line in body.splitlines()]
        return sorted(answers, key=str)
    rows = csv.DictReader(body.splitlines(keepends=True))
    return sorted(sorted((k, v) for k, v in row.items() if v) for row in rows)


def some(answers: list[Json]) -> list[Json]:
    """The first of each kind, and each fifth of the others."""
    firsts = {answer["path"].partition("?")[0]: answer for answer in reversed(answers)}
    return [*firsts.values(), *answers[::5]]


def test_every_answer_is_as_it_was(server: Server) -> None:
    assert len(ANSWERS) > 100
    asked = wide(some(ANSWERS), ANSWERS)

    def again(expected: Json) -> Reply:
        return ask(server, expected["path"], TOKENS[expected.get("key", "rk")])

    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(again, asked))
    for expected, reply in zip(asked, replies, strict=True):
        assert reply.status == expected["status"], expected["path"]
        if expected["path"].startswith(OF_VISITS):
            continue
        if reply.status == 200:
            assert read(reply.body.decode()) == read(expected["body"]), expected["path"]


def test_the_states_are_what_the_events_say(server: Server) -> None:
    said = run("doctor", "--data", str(server.folder), "--verify-identity").stdout
    assert said.count("all as the events say") == len(TABLES)
    assert "nothing was interrupted" in said


def test_what_lay_in_the_log_is_there(server: Server) -> None:
    data = ("--json", "--data", str(server.folder))
    assert json.loads(ok("dead-letter", "list", *data)) == EXPECTED["commands"]["dead-letter"]
    receipts = json.loads(ok("receipts", *data))
    assert [receipt["events"] for receipt in receipts] == [
        receipt["events"] for receipt in EXPECTED["commands"]["receipts"]
    ]
    assert len(receipts) == 2


def test_keys_are_what_they_were(server: Server) -> None:
    listed = json.loads(ok("key", "list", "--json", "--data", str(server.folder)))
    fields = ("prefix", "kind", "name", "state", "ends_at", "created_at")
    assert [[key.get(field) for field in fields] for key in listed] == [
        [key.get(field) for field in fields] for key in EXPECTED["commands"]["keys"]
    ]
    assert ask(server, "/v1/users", TOKENS["named"]).status == 200
    assert ask(server, "/v1/users", TOKENS["revoked"]).status == 401


def test_the_log_says_what_was_done_and_how_long_it_took(server: Server) -> None:
    for database in ("The event store", "The log (log.db)", "The control plane (control.db)"):
        finished = json.loads(server.await_line("migration_finished", database))
        assert finished["seconds"] >= 0
        done = [line for line in server.lines if "statement_done" in line and database in line]
        started = [
            line for line in server.lines if "migration_started" in line and database in line
        ]
        assert len(done) == sum(json.loads(line)["statements"] for line in started) >= 1
        assert all("seconds" in json.loads(line) for line in done)
