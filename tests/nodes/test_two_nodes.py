"""Two Threadlines that write into one store: each event once, whichever node took it, and whatever
happens to the nodes."""

import random
import signal
import threading

from tests.nodes.conftest import Start
from tests.support import Json, Project, Server
from tests.width import wide

Two = tuple[Server, Server, Project, Project]


def named(*numbers: int) -> list[Json]:
    return [
        {"event": "x", "event_id": f"e{number}", "anonymous_id": f"visitor {number % 7}"}
        for number in numbers
    ]


def written(project: Project, events: list[Json]) -> str:
    """Sent, and what the node says of it."""
    reply = project.post("/v1/batch", {"events": events})
    assert reply.status == 202, reply
    return str(reply.headers["Threadline-Written"])


def counted(project: Project, *after: str) -> int:
    """Events, when all of these are in the store."""
    for token in after:
        reply = project.fetch("/v1/query", {}, headers={"Threadline-Written": token})
        assert reply.status == 200, reply
        assert not reply.headers.get("Threadline-Stale")
    return len(project.stored())


def test_the_same_events_by_both_count_once(two: Two) -> None:
    """Three times, interleaved, in blocks of other sizes, side by side."""
    _, _, here, there = two
    order = random.Random(1)
    tokens: list[str] = []
    sending: list[threading.Thread] = []

    def send(project: Project, numbers: list[int]) -> None:
        at = 0
        while at < len(numbers):
            size = order.randint(1, 40)
            tokens.append(written(project, named(*numbers[at : at + size])))
            at += size

    for project in (here, there, here.again(), there.again(), here.again(), there.again()):
        numbers = order.sample(range(600), 600)
        sending.append(threading.Thread(target=send, args=(project, numbers)))
    for thread in sending:
        thread.start()
    for thread in sending:
        thread.join()
    assert counted(here, *tokens[-6:]) == counted(there, *tokens[-6:]) == 600


def test_what_one_acknowledged_the_other_answers_with(two: Two) -> None:
    _, _, here, there = two
    for number in range(5):
        token = written(here, named(number))
        reply = there.fetch("/v1/query", {}, headers={"Threadline-Written": token})
        assert len(reply.json["rows"]) == number + 1


def test_a_node_that_was_killed_goes_on_where_it_was(two: Two, start: Start) -> None:
    """What it had acknowledged counts once, though the other one got the same meanwhile."""
    one, other, here, there = two
    kills, many = wide((2, 30), (3, 100))
    for kill in range(kills):
        numbers = range(many * kill, many * (kill + 1))
        for number in numbers:
            written(here, named(number))
        one.stop(signal.SIGKILL)
        for number in numbers:
            written(there, named(number))
        one = start("one")
        here = here.again(one)
    token = written(here, named(1000)), written(there, named(1001))
    assert counted(here, *token) == counted(there, *token) == kills * many + 2
    assert not [line for line in one.lines + other.lines if '"error"' in line]


def test_what_is_decided_on_one_counts_on_the_other(two: Two) -> None:
    """Owners are kept in memory on each, and looked at again when anything was written."""
    _, _, here, there = two
    tokens = []
    for project, device in ((here, "phone"), (there, "laptop"), (here, "shared")):
        project.track("$pageview", anonymous_id=device, url="https://shop.example/?utm_source=ad")
        reply = project.post("/v1/identify", {"anonymous_id": device, "user_id": f"of {device}"})
        tokens.append(str(reply.headers["Threadline-Written"]))

    def answers(project: Project) -> list[Json]:
        persons = project.ask("/v1/stats", metric="persons")
        return [persons, project.ask("/v1/users"), project.ask("/v1/sources")]

    assert counted(there, *tokens) == 6
    before = answers(here)
    assert answers(there) == before
    assert before[0]["rows"][-1]["value"] == 3
    alias = {"user_id": "of phone", "alias_of": "of laptop"}
    assert here.change("PUT", "/v1/identity/aliases", alias).status == 200
    after = answers(there)
    assert after[0]["rows"][-1]["value"] == 2
    assert answers(here) == after
