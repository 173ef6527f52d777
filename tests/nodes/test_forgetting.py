"""A request to forget covers what any node had acknowledged before it."""

import json
import signal
from functools import partial

from tests import support
from tests.cli.test_commands import fails, ok, run
from tests.clickhouse_cluster import ClickHouse
from tests.nodes.conftest import Start
from tests.nodes.test_two_nodes import Two, counted, named, written
from tests.support import Json, Project, Server

# Nodes are started and killed meanwhile.
until = partial(support.until, patience_s=60.0)


def told(server: Server, *command: str) -> list[Json]:
    """What a command says of this node."""
    found: list[Json] = json.loads(
        ok(*command, "--json", "--data", str(server.folder), **settings(server))
    )
    return found


def settings(server: Server) -> dict[str, str]:
    return {name: server.environ[name] for name in ("THREADLINE_CONTROL", "THREADLINE_STORE")}


def is_done(server: Server) -> bool:
    return all(receipt["finished_ms"] for receipt in told(server, "receipts"))


def test_what_the_other_node_has_in_its_log_is_forgotten_too(two: Two) -> None:
    one, _, here, there = two
    for number in range(40):
        there.track("x", user_id="ann", anonymous_id=f"a{number}")
    there.track("x", user_id="bob", anonymous_id="b")
    assert here.post("/v1/forget", {"user_id": "ann"}).status == 200
    until(lambda: is_done(one))
    assert counted(there, written(here, named(1))) == 2
    assert [row["user_id"] for row in there.stored() if row["user_id"]] == ["bob"]


def test_it_waits_for_a_node_that_is_away_and_says_so(
    two: Two, start: Start, clickhouse: ClickHouse
) -> None:
    one, other, here, there = two
    here.track("x", user_id="ann", anonymous_id="a")
    clickhouse.kill()
    there.track("x", user_id="ann", anonymous_id="b")
    until(lambda: any(node["unwritten"] for node in told(one, "node", "list")))
    other.stop(signal.SIGKILL)
    clickhouse.start()
    assert here.post("/v1/forget", {"user_id": "ann"}).status == 200
    one.await_line("node_away", str(other.folder))
    assert here.send("GET", "/v1/query", headers=reading(here)).headers["Threadline-Stale"]
    until(lambda: bool(told(one, "receipts")[0]["waits_for"]))
    assert str(other.folder) in told(one, "receipts")[0]["waits_for"]
    said = run("doctor", "--data", str(one.folder), **settings(one)).stdout
    assert "away, perhaps with events that are not in the store" in said
    again = start("other")
    until(lambda: is_done(one))
    assert counted(here, written(here.again(again), named(1))) == 1


def test_a_node_that_did_not_stop_may_have_more_than_it_said(two: Two, start: Start) -> None:
    """Killed in the moment of an acknowledgement, or cut off from PostgreSQL."""
    one, other, here, there = two
    assert counted(here, written(there, named(1))) == 1
    until(lambda: not any(node["unwritten"] for node in told(one, "node", "list")))
    other.stop(signal.SIGKILL)
    one.await_line("node_away", str(other.folder))
    assert here.send("GET", "/v1/query", headers=reading(here)).headers["Threadline-Stale"]
    said = run("doctor", "--data", str(one.folder), **settings(one)).stdout
    assert "away, perhaps with events" in said
    again = start("other")
    one.await_line("node_back", str(other.folder))
    assert again.stop() == 0
    assert not here.send("GET", "/v1/query", headers=reading(here)).headers["Threadline-Stale"]


def test_nobody_waits_for_a_node_that_was_taken_off_the_list(
    two: Two, clickhouse: ClickHouse
) -> None:
    one, other, here, there = two
    clickhouse.kill()
    there.track("x", user_id="ann", anonymous_id="b")
    until(lambda: any(node["unwritten"] for node in told(one, "node", "list")))
    other.stop(signal.SIGKILL)
    clickhouse.start()
    here.post("/v1/forget", {"user_id": "ann"})
    one.await_line("node_away", str(other.folder))
    (gone,) = (node for node in told(one, "node", "list") if node["state"] == "away")
    ok("node", "remove", gone["node"], "--data", str(one.folder), **settings(one))
    until(lambda: is_done(one))
    said = fails("serve", "--data", str(other.folder), **other.environ)
    assert "taken off the list" in said
    assert "node restore" in said


def reading(project: Project) -> dict[str, str]:
    return {"Authorization": f"Bearer {project.keys['rk']}"}
