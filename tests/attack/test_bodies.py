"""No body holds the server: none costs much more than an ordinary one of its size, and while it is
read others are answered.

Small here; `THREADLINE_TEST_ATTACK=1` takes every shape at full size.
"""

import gzip
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.attack.cost import cpu_s, ordinary_cpu_s, warm_up
from tests.attack.hostile import Hostile, bodies
from tests.support import ORIGIN, Project, Reply, Server
from tests.width import WIDE, wide

SIZE = wide(128 * 1024, 1024**2)
TIMES_ORDINARY = 3
# A machine that does something else for a moment makes one measurement wrong, not ten.
ATTEMPTS = 10
# How much may be done for a body between a question and its answer, of CPU, however many programs
# share it: by the thread that answers, which takes milliseconds of the dearest and a hundred if it
# reads them itself; and by all together, of which one holds the interpreter at a time.
BY_LOOP_S = 0.02
SPENT_S = 0.1
# Whoever waits for the processor longer than this cannot say what happened meanwhile.
LATE_S = 0.005
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
    held: list[str] = []
    for _ in range(ATTEMPTS):
        seen = seen_while_it_is_read(server, project, packed)
        by_loop_s = max(each.by_loop_s for each in seen)
        spent_s = max(each.spent_s for each in seen)
        # Where those two who speak with each other waited for the processor, others went on.
        known = all(each.late_s <= LATE_S for each in seen if each.spent_s > SPENT_S)
        if by_loop_s <= BY_LOOP_S and spent_s <= SPENT_S:
            return
        if by_loop_s > BY_LOOP_S or known:
            held.append(f"{by_loop_s * 1000:.0f} ms of {spent_s * 1000:.0f} ms by the loop")
    assert not held, held


class Seen(NamedTuple):
    """CPU seconds between a question and its answer: of the thread that answers, and of the whole
    process. `late_s`: how long that thread and who asks it waited for the processor."""

    by_loop_s: float
    spent_s: float
    late_s: float


def seen_while_it_is_read(server: Server, project: Project, packed: bytes) -> list[Seen]:
    headers = {"Content-Encoding": "gzip", "Authorization": f"Bearer {project.keys['sk']}"}
    statuses: list[int] = []

    def send() -> None:
        reply = project.again(server).send("POST", "/v1/batch", packed, headers)
        statuses.append(reply.status)

    sending = threading.Thread(target=send)
    sending.start()
    seen = [one_answered(server.process.pid, project)]
    while sending.is_alive():
        seen.append(one_answered(server.process.pid, project))
    sending.join()
    assert statuses[0] in (202, 400), statuses
    return seen


def one_answered(pid: int, project: Project) -> Seen:
    loop, asker = f"/proc/{pid}/task/{pid}", "/proc/thread-self"
    before = process_cpu_s(pid), *scheduled_s(loop), *scheduled_s(asker)
    assert project.send("GET", "/healthz").status == 200
    after = process_cpu_s(pid), *scheduled_s(loop), *scheduled_s(asker)
    spent, by_loop, loop_late, _, asker_late = (b - a for a, b in zip(before, after, strict=True))
    return Seen(by_loop, spent, loop_late + asker_late)


def process_cpu_s(pid: int) -> float:
    """CPU seconds of all threads of a process: the kernel's clock of it, as clock_getcpuclockid(3)
    names it."""
    return time.clock_gettime((~pid << 3) | 2)


def scheduled_s(thread: str) -> tuple[float, float]:
    """How long a thread ran, and how long it could have and others did."""
    ran, waited, _ = Path(f"{thread}/schedstat").read_text().split()
    return int(ran) / 1e9, int(waited) / 1e9


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


if WIDE:

    def test_all_shapes_over_http(server: Server, project: Project) -> None:
        hostile: Hostile
        for hostile in bodies(MIB):
            reply = project.post(
                "/v1/batch", gzip.compress(hostile.body, 1), Content_Encoding="gzip"
            )
            assert reply.status in (202, 400, 413), hostile.name
        project.track("still there")
