"""No body holds the server: none costs much more than an ordinary one of its size, and while it is
read others are answered.

Small here; `THREADLINE_TEST_ATTACK=1` takes every shape at full size.
"""

import gzip
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attack.cost import cpu_s, ordinary_cpu_s, warm_up
from tests.attack.hostile import Hostile, bodies
from tests.support import ORIGIN, Project, Reply, Server

LARGE = bool(os.environ.get("THREADLINE_TEST_ATTACK"))
SIZE = 1024**2 if LARGE else 128 * 1024
TIMES_ORDINARY = 3
# A machine that does something else for a moment makes one measurement wrong, not ten.
ATTEMPTS = 10
LATER_S = 0.1
MIB = 1024**2


def test_no_body_costs_much_more_than_an_ordinary_one() -> None:
    warm_up()
    too_dear = {hostile.name: hostile for hostile in bodies(SIZE)}
    assert len(too_dear) > 500
    measured: dict[str, float] = {}
    for attempt in range(ATTEMPTS):
        ordinary_s = min(ordinary_cpu_s(SIZE, seed=3 * attempt + i) for i in range(3))
        for name, hostile in list(too_dear.items()):
            measured[name] = cpu_s(hostile.body) / ordinary_s
            if measured[name] <= TIMES_ORDINARY:
                del too_dear[name]
    assert not too_dear, {name: f"{measured[name]:.1f} times" for name in too_dear}


# The dearest known of each kind, as large as a request may be.
WORST: dict[str, Callable[[], bytes]] = {
    "hosts of a thousand labels": lambda: _events("referrer", "https://{}." + "a." * 1000),
    "card-like numbers": lambda: _events(
        "url", "https://s.example/{}?" + "4=4111 1111 1111 1112&" * 80
    ),
    "nested lists": lambda: (
        b'{"events":['
        + b",".join([b'{"event":"e","properties":{"a":[' + b"[]," * 2000 + b"1]}}"] * 1000)
        + b"]}"
    ),
    "far too many events": lambda: (
        b'{"events":[' + b",".join([b'{"event":"e"}'] * 1_100_000) + b"]}"
    ),
    "far too many numbers": lambda: b'{"events":[' + b"1," * (8 * MIB - 8) + b"1]}",
    "fields that nobody knows": lambda: (
        b'{"events":[{"event":"e",' + b",".join(b'"%x":1' % i for i in range(1_400_000)) + b"}]}"
    ),
    "half characters": lambda: b'{"events":[{"event":"e","x":"' + b"\\ud83d" * 2_500_000 + b'"}]}',
    "spaces": lambda: b'{"events":[{"event":"e"}]' + b" " * (15 * MIB) + b"}",
}


def _events(field: str, text: str) -> bytes:
    events = [
        f'{{"event":"e","{field}":"{text.replace("{}", str(i))[:2048]}"}}' for i in range(1000)
    ]
    return f'{{"events":[{",".join(events)}]}}'.encode()


@pytest.mark.parametrize("name", WORST)
def test_others_are_answered_while_it_is_read(server: Server, project: Project, name: str) -> None:
    packed = gzip.compress(WORST[name](), 1)
    later: list[float] = []
    for _ in range(ATTEMPTS):
        quiet_s = max(healthz_s(project) for _ in range(20))
        later.append(slowest_healthz_s(server, project, packed) - quiet_s)
        if later[-1] <= LATER_S:
            return
    raise AssertionError(f"others waited: {', '.join(f'{s * 1000:.0f} ms' for s in later)}")


def slowest_healthz_s(server: Server, project: Project, packed: bytes) -> float:
    headers = {"Content-Encoding": "gzip", "Authorization": f"Bearer {project.keys['sk']}"}
    statuses: list[int] = []

    def send() -> None:
        reply = project.again(server).send("POST", "/v1/batch", packed, headers)
        statuses.append(reply.status)

    sending = threading.Thread(target=send)
    sending.start()
    slowest = 0.0
    while sending.is_alive():
        slowest = max(slowest, healthz_s(project))
    sending.join()
    assert statuses[0] in (202, 400), statuses
    return slowest


def healthz_s(project: Project) -> float:
    started = time.perf_counter()
    assert project.send("GET", "/healthz").status == 200
    return time.perf_counter() - started


def test_who_sends_too_much_from_one_address_waits(folder: Path) -> None:
    """Requests are few; what they bring is a lot."""
    batch = b'{"events":[' + b",".join([b'{"event":"e"}'] * 1000) + b"]}"

    def send(project: Project) -> Reply:
        headers = {"Authorization": f"Bearer {project.keys['pk']}", "Origin": ORIGIN}
        return project.send("POST", "/v1/batch", batch, headers)

    # So slow a refill that no machine is slow enough for it to count.
    slow = {"THREADLINE_EVENTS_BURST": "3000", "THREADLINE_EVENTS_PER_SECOND": "1"}
    with Server(folder, **slow) as server:
        project, other = Project(server), Project(server)
        assert [send(project).status for _ in range(3)] == [202, 202, 202]
        refused = next(reply for reply in iter(lambda: send(project), None) if reply.status != 202)
        assert (refused.status, refused.error) == (429, "rate_limited")
        assert refused.json["details"]["retry_after_s"] > 0
        # Another project's visitors behind the same address go on.
        assert send(other).status == 202


if LARGE:

    def test_all_shapes_over_http(server: Server, project: Project) -> None:
        hostile: Hostile
        for hostile in bodies(MIB):
            reply = project.post(
                "/v1/batch", gzip.compress(hostile.body, 1), Content_Encoding="gzip"
            )
            assert reply.status in (202, 400, 413), hostile.name
        project.track("still there")
