"""The same from half hours and from events; and what is decided, forgotten, named anew or rebuilt
keeps visits right."""

import datetime as dt
import random
import threading
from pathlib import Path

import pytest

from tests.cli.test_commands import ok
from tests.dying import TABLES
from tests.identity import oracle as identity
from tests.support import Project, Server, row_values
from tests.visits import oracle
from tests.visits.compare import Asked
from tests.visits.steps import PAUSES, RULES, STARTS, Stored, log_of, set_timeout, wire
from tests.width import PACE_S, wide
from threadline.contract.policies import PARTITIONS
from threadline.control import Control
from threadline.identity.resolution import Policy
from threadline.ingest import row
from threadline.questions import visits
from threadline.questions.context import Context
from threadline.runtime.socket_store import SocketStore
from threadline.store import Store, store_url

MINUTE = 60_000
# Numbers of direct, of an ad and of a search, as rows have them.
SOURCES = [
    ("direct", "direct", "Direct", "direct"),
    ("internal", "internal", "Internal", "internal"),
    ("facebook", "paid", "Paid Social", "utm_source"),
    ("google", "organic", "Organic Search", "google_organic"),
    ("google", "return", "Return", "return_from_login"),
    ("direct", "direct", "", "no_page"),
]
STORED = """
SELECT event_id, toString(visitor) AS visitor, toString(traffic_source) AS place
FROM events
WHERE project_id = {project_id:String}"""


def a_long_log(number: int) -> list[oracle.Event]:
    """Some devices over some days, with pauses at every edge."""
    rng = random.Random(number)
    log: list[oracle.Event] = []
    for device in ("phone", "laptop", "kiosk", "kiosk2"):
        at = STARTS[number % len(STARTS)]
        shared = device.startswith("kiosk")
        for _ in range(120):
            at += dt.timedelta(milliseconds=rng.choice([p for p in PAUSES if p < 1441 * MINUTE]))
            source, medium, channel, rule = rng.choice([*SOURCES[:2], *SOURCES])
            user = rng.choice(["ada", "bob", "cy"] if shared else [f"{device}'s"])
            log.append(
                {
                    "id": f"e{len(log) * 271 % 1009:04}",
                    "t": at,
                    "event": rng.choice(["$pageview", "$pageview", "click", "signup"]),
                    "a": device,
                    "u": user if rng.random() < 0.1 else None,
                    "source": source,
                    "medium": medium,
                    "campaign": "",
                    "channel": channel,
                    "rule": rule,
                    "path": rng.choice(["", "/", "/a"]),
                    "country": "",
                    "value": 1,
                    "device": device,
                    "on_page": rule != "no_page",
                }
            )
    rng.shuffle(log)
    return log


def rows_of(project_id: str, log: list[oracle.Event]) -> bytes:
    return b"".join(
        row.encode(
            row_values(
                project_id=project_id,
                event_id=event["id"],
                event_name=event["event"],
                anonymous_id=event["a"],
                user_id=event["u"],
                timestamp=round(event["t"].timestamp() * 1000),
                source=event["source"],
                medium=event["medium"],
                channel=event["channel"],
                source_rule_id=event["rule"],
                path=event["path"],
                properties='{"value": 1}',
            )
        )
        for event in log
    )


def test_half_hours_and_events_say_the_same(server: Server) -> None:
    """Over what came in many parts; from 30 minutes on half hours are read, below events."""
    project = Project(server)
    log = a_long_log(0)
    store = SocketStore(server.folder)
    for start in range(0, len(log), 120):
        body = rows_of(project.project_id, log[start : start + 120])
        store.insert("events", row.COLUMNS, "MsgPack", body, f"{project.project_id} {start}")
    found = {
        one["event_id"]: one for one in store.query(STORED, {"project_id": project.project_id})
    }
    known = [
        {
            **event,
            "visitor": int(found[event["id"]]["visitor"]),
            "place": int(found[event["id"]]["place"]),
        }
        for event in log
    ]
    direct_place = Stored(server, project).direct_place
    for minutes in wide((29, 30), (29, 30, 45, 240)):
        timeout = set_timeout(server, project, minutes)
        for policy in PARTITIONS:
            asked = Asked(project, oracle.World(timeout, direct_place), known, policy)
            asked.visits("source,medium,campaign,channel")
            if minutes == 30:
                asked.visits("entry_path,exit_path", "hour")
                asked.attribution("source,medium", oracle.MODELS, None)


def test_half_hours_tell_visits_without_events(folder: Path) -> None:
    """All but of devices that change hands under `next`."""
    log = [event for event in a_long_log(2) if not event["a"].startswith("kiosk")]
    world = oracle.World(dt.timedelta(minutes=45), 0)
    policies: tuple[Policy, ...] = ("first", "next", "last", "none")
    known = [{**event, "visitor": 0, "place": 1} for event in log]
    with Store(store_url("chdb", folder)) as store:
        for start in range(0, len(log), 20):
            body = rows_of("p", log[start : start + 20])
            store.insert("events", row.COLUMNS, "MsgPack", body, str(start))
        for truncated in (False, True):
            if truncated:
                store.execute("TRUNCATE TABLE events")
            for policy in policies:
                context = Context(store, "p", policy, visit_timeout_ms=45 * MINUTE)
                (found,) = visits.ask(context, visits.VisitsParams()).rows
                people = world.people(known, policy)
                (expected,) = oracle.count_visits(people, lambda _: (), None, None).values()
                assert (found.visits, found.persons) == (expected["visits"], expected["persons"])
                assert found.mean_seconds == pytest.approx(expected["mean_seconds"])
                assert found.bounce_share == pytest.approx(expected["bounce_share"])
                assert found.events_per_visit == pytest.approx(expected["events_per_visit"])


def story() -> list[oracle.Event]:
    rng = random.Random(7)
    kinds = ["page", "inner", "ad", "search", "sign-in", "back", "nowhere"]
    return log_of(
        STARTS[0],
        [
            (
                rng.choice([p for p in PAUSES if p < 1441 * MINUTE]),
                rng.choice(kinds),
                rng.choice(["$pageview", "click", "signup"]),
                rng.choice(["/", "/a"]),
                rng.choice(["phone", "laptop", "kiosk", "kiosk"]),
                rng.choice([None, None, None, "ada", "bob", "cy"]),
                1,
            )
            for _ in range(90)
        ],
    )


def test_visits_stay_right_whatever_becomes_of_the_events(folder: Path) -> None:
    """Sums in half hours count each event once, after unlinks, rules of their own, forgetting and
    rebuilding, also beside events that come."""
    data = ("--data", str(folder))
    log = story()
    decided = identity.NONE

    def right(minutes: int = 30) -> None:
        now = stored()
        world = now.world(set_timeout(server, project, minutes))
        known = now.known([event for event in log if event["id"] in now.rows])
        asked = Asked(project, world, known, "next", decided)
        asked.visits("source,medium,campaign,channel")
        asked.attribution("source", oracle.MODELS, None)
        asked.sources("source_medium")

    def stored() -> Stored:
        return Stored(server, project)

    def all_as_the_events_say() -> None:
        found = ok("doctor", *data, "--verify-identity")
        assert found.count("all as the events say") == len(TABLES)

    with Server(folder) as server:
        project = Project(server)
        for start in range(0, len(log), 9):
            project.batch([wire(event) for event in log[start : start + 9]])
        project.batch([wire(event) for event in log[::2]])  # repeats
        right()
        assert {row["medium"] for row in stored().rows.values()} >= {"return", "paid", "referral"}

        pair = {"anonymous_id": "kiosk", "user_id": "bob"}
        assert project.change("DELETE", "/v1/identity/links", pair).json["changed"]
        decided = identity.Decisions(frozenset({("kiosk", "bob")}))
        right()

        with Control(folder) as control:
            control.set_site(project.project_id, rules=RULES)
        ok("reclassify", *data, "--project", project.project_id)
        assert "referral" not in {row["medium"] for row in stored().rows.values()}
        right()
        all_as_the_events_say()

        before = len(stored().rows)
        assert project.post("/v1/forget", {"user_id": "cy"}).status == 200
        assert len(stored().rows) < before
        right(45)
        all_as_the_events_say()

        rebuilt = threading.Event()
        more: list[oracle.Event] = []

        def send(sender: Project) -> None:
            while not (more and rebuilt.wait(PACE_S)):
                late = {**log[len(more) % len(log)], "id": f"late{len(more)}", "u": None}
                sender.batch([wire(late)])
                more.append(late)

        sender = threading.Thread(target=send, args=(project.again(),))
        sender.start()
        try:
            ok("rebuild", *data)
        finally:
            rebuilt.set()
            sender.join()
        assert more
        log += more
        all_as_the_events_say()
        right()
        assert server.stop() == 0
