"""On a cluster of three shards: every question has the answer that one machine gives, and a shard
that is away is an outage, never a part of an answer."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.cli.test_commands import ok
from tests.clickhouse_cluster import Cluster
from tests.identity import test_vectors
from tests.questions import test_finished
from tests.questions.test_sql import ASKED_OF, OF_EVENTS
from tests.store import test_server_mode
from tests.support import Json, Project, Server, row_values
from tests.width import WIDE, wide
from threadline import settings_given
from threadline.cli import checks_cluster
from threadline.contract.times import DAY_MS, format_ms, now_ms
from threadline.control import Control
from threadline.identity import states
from threadline.ingest import row
from threadline.questions.context import Context
from threadline.questions.registry import QUESTIONS
from threadline.runtime import events_store
from threadline.runtime.params import parse_params
from threadline.store import Store, StoreError

BEGAN = 1_777_600_000_000  # 2026-05-01
MINUTE_MS = 60_000
USERS = [f"user {number}" for number in range(40)]
NAMES = ("$pageview", "$pageview", "$pageview", "signup", "purchase", "refund", "login")
CAMPAIGNS = ("", "?utm_source=facebook&utm_medium=paid", "?utm_source=mail&utm_campaign=spring")
# What an answer says of the server that gave it.
GENERATED = re.compile(r"s_[0-9a-f-]{36}")
OF_SERVER = {"received_at", "project_id", "docs_url", "query_ms"}
MORE: dict[str, tuple[str, dict[str, str]]] = {
    "accounts": ("accounts", {}),
    "stats_filtered": (
        "stats",
        {"metric": "persons", "filters": "event==purchase;first.source==facebook"},
    ),
    "compared": (
        "stats",
        {
            "metric": "persons",
            "from": "2026-05-03",
            "to": "2026-05-05",
            "compare": "previous_period",
        },
    ),
    "suspicious_some": ("suspicious", {"devices_over": "1", "users_over": "1"}),
}
ASKED = ASKED_OF | OF_EVENTS | MORE
# What is put together as others of these are, with other columns: in a wide run.
ALIKE = {
    "stats_sum_converted", "sources_term", "funnel_grouped",
    "retention_event", "time_to_conversion_user",
}  # fmt: skip
# Of whom only known people are to travel.
CROWDED: dict[str, tuple[str, dict[str, str]]] = {
    "persons": ("stats", {"metric": "persons"}),
    "persons_by_day": ("stats", {"metric": "persons", "interval": "day"}),
    "persons_by_visit": ("stats", {"metric": "persons", "group_by": "source"}),
    "sources": ("sources", {}),
    "visits": ("visits", {}),
    "retention": ("retention", {"interval": "day"}),
    "funnel": ("funnel", {"steps": "$pageview,signup"}),
}
# When a part of the log had been received, by project.
AS_OF: dict[str, int] = {}
# Of each: a policy that the others leave out, what was known then, and people by what they did.
OTHER_WORLDS = (
    {"stitch": "last"},
    {"stitch": "none"},
    {"as_of": ""},
    {"filters": "segment==buyers"},
)
OF_WORLDS = ("funnel", "attribution", "retention", "visits", "stats_persons")


def log(random: Random, events: int) -> list[Json]:
    """Some users with several devices, some devices with several users, some strangers, and
    servers that know no device."""
    made: list[Json] = []
    for number in range(events):
        device = random.choice(("kiosk", f"device {random.randrange(150)}"))
        user = USERS[(hash_of(device) + random.randrange(2)) % len(USERS)]
        knows = random.random()
        made.append(
            {
                "event": random.choice(NAMES),
                "event_id": f"{number}",
                "timestamp": format_ms(BEGAN + random.randrange(8 * 1440) * MINUTE_MS),
                "anonymous_id": device if knows < 0.95 else None,
                "user_id": user if knows > 0.8 else None,
                "url": f"https://shop.example/{random.choice('abc')}{random.choice(CAMPAIGNS)}",
                "properties": {"value": random.randrange(1, 90), "currency": "EUR"}
                | ({"account_id": f"firm {random.randrange(6)}"} if random.random() < 0.1 else {}),
            }
        )
    for user in ("ada", "bob", "cy"):
        for event, properties in (
            ("purchase", {"value": 5, "account_id": "oak"}),
            ("$identify", {"plan": f"of {user}"}),
            ("$group", {"account_id": "oak", "seats": len(user)}),
        ):
            made.append(
                {
                    "event": event,
                    "event_id": f"{user} {event}",
                    "timestamp": "2026-05-02T10:00:00Z",
                    "anonymous_id": f"{user}'s",
                    "user_id": user,
                    "properties": properties,
                }
            )
    return made


def hash_of(device: str) -> int:
    return sum(map(ord, device))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("shards"), shards=3) as running:
        yield running


@pytest.fixture(scope="module")
def servers(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Server]]:
    """One machine, and three shards."""
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "three")]
    # On a busy machine three shards take long; here only what they answer counts.
    patient = {"THREADLINE_QUERY_SECONDS": "120"}
    with (
        Server(folders[0], **patient, THREADLINE_STORE="chdb") as one,
        Server(folders[1], **patient, THREADLINE_STORE=cluster.url("threadline")) as three,
    ):
        yield one, three
        for server in (one, three):
            assert server.stop() == 0
            assert not [line for line in server.lines if "request_failed" in line]


@pytest.fixture(scope="module")
def both(servers: tuple[Server, Server]) -> tuple[Project, Project]:
    """The same of everything on both."""
    made = log(Random(7), 1500)
    one, three = (Project(server) for server in servers)
    for project in (one, three):
        for start in range(0, len(made), 300):
            project.batch(made[start : start + 300])
            if start == 600:
                AS_OF[project.project_id] = now_ms()
                while now_ms() <= AS_OF[project.project_id]:
                    pass  # whatever comes next is received later
        buyers = {"filters": "did(30d,2)==purchase"}
        assert project.change("PUT", "/v1/segments/buyers", buyers).status == 200
        for user, alias_of in (("user 1", "user 2"), ("user 3", "user 2")):
            asked = {"user_id": user, "alias_of": alias_of}
            assert project.change("PUT", "/v1/identity/aliases", asked).status == 200
        pair = {"anonymous_id": "kiosk", "user_id": "user 5"}
        assert project.change("DELETE", "/v1/identity/links", pair).status == 200
        assert project.post("/v1/forget", {"user_id": "user 7"}).status == 200
    return one, three


@pytest.fixture
def on_three(servers: tuple[Server, Server]) -> Project:
    """An empty project."""
    return Project(servers[1])


def answer(project: Project, name: str, **more: str) -> Any:
    question, asked = ASKED[name]
    path, query = QUESTIONS[question].path, {**asked, **more}
    for field in QUESTIONS[question].in_path:
        path = path.replace(f"{{{field}}}", query.pop(field))
    reply = project.get(path, **query)
    assert reply.status == 200, reply
    if question == "export":
        return 200, plain(sorted(map(json.loads, reply.body.splitlines()), key=by_id))
    return reply.status, plain(reply.json)


def by_id(event: Json) -> str:
    return str(event["event_id"])


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items() if name not in OF_SERVER}
    if isinstance(value, str):
        return GENERATED.sub("generated", value)
    return [plain(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", [name for name in ASKED if name not in ALIKE or WIDE])
def test_three_shards_answer_as_one_machine(both: tuple[Project, Project], name: str) -> None:
    question = QUESTIONS[ASKED[name][0]]
    policies: tuple[str, ...] = ("first", "next") if question.counts_people else ("any", "next")
    nth = list(ASKED).index(name) % 2
    policies = wide(policies[nth : nth + 1], policies)
    for policy in policies if name not in OF_EVENTS and name != "schema" else ("",):
        stitch = {"stitch": policy} if policy else {}
        one, three = (answer(project, name, **stitch) for project in both)
        assert three == one, policy


@pytest.mark.parametrize("nth", range(len(OF_WORLDS)), ids=OF_WORLDS)
def test_they_do_in_other_worlds(both: tuple[Project, Project], nth: int) -> None:
    """Each in two of them; in all in a wide run."""
    name, worlds = OF_WORLDS[nth], [*OTHER_WORLDS, *OTHER_WORLDS][nth % 4 :][: wide(2, 4)]
    found = []
    for project in both:
        as_of = format_ms(AS_OF[project.project_id])
        asked = [world | ({"as_of": as_of} if "as_of" in world else {}) for world in worlds]
        found.append([answer(project, name, **world) for world in asked])
    one, three = ([without_as_of(each) for each in answers] for answers in found)
    assert three == one
    assert all(status == 200 for status, _ in one)
    assert len({json.dumps(each) for each in one}) == len(worlds), "they do differ"


def without_as_of(answered: tuple[int, Any]) -> tuple[int, Any]:
    """Each was asked of its own time."""
    status, body = answered
    return status, {name: value for name, value in body.items() if name != "as_of"}


@pytest.fixture(scope="module")
def shards(cluster: Cluster) -> Iterator[Store]:
    """A store with a random log, and with a crowd of whom few are known."""
    with Store(cluster.url("finished"), query_seconds=120) as store:
        test_finished.tell(store, 11, 700)
        store.insert("events", row.COLUMNS, "MsgPack", crowd(), "crowd")
        yield store


def crowd() -> bytes:
    """25,000 people in three days, of whom 2,000 are users with two devices each. Of the others
    every twentieth was there on each day, and gets to the second step of a funnel."""
    known = [(f"{at} of {n}", f"u{n}", n % 3) for n in range(2_000) for at in ("home", "work")]
    others = [(f"d{n}", None, n % 3) for n in range(23_000)]
    again = [(f"d{n}", None, n % 3 + days) for n in range(0, 23_000, 20) for days in (1, 2)]
    random = Random(3)
    return b"".join(
        row.encode(
            row_values(
                project_id="crowd",
                event_id=f"{device} {day}",
                event_name="$pageview" if user is None and day < 3 else "signup",
                anonymous_id=device,
                user_id=user,
                timestamp=BEGAN + day * DAY_MS + random.randrange(DAY_MS),
                source="google" if day else "direct",
            )
        )
        for device, user, day in (*known, *others, *again)
    )


@pytest.mark.parametrize("name", [*test_finished.ASKED][:: wide(2, 1)])
def test_counting_in_two_steps_on_shards(
    shards: Store, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `questions/test_finished`, which has one machine."""
    policy, world = test_finished.worlds(name)[1]
    in_two = test_finished.answer(shards, name, policy, world)
    monkeypatch.setattr(Context, "is_divided", False)
    assert test_finished.answer(shards, name, policy, world) == in_two


# Who is known here is a twelfth.
@pytest.mark.parametrize("name", CROWDED)
def test_only_known_people_travel(
    shards: Store, cluster: Cluster, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    question, given = QUESTIONS[CROWDED[name][0]], CROWDED[name][1]

    def sent() -> tuple[Any, int]:
        """The answer, and the bytes that came to the asked node for it; the fewest of some times,
        as it hears of other things, too."""
        found = []
        for _ in range(3):
            context = Context(shards, "crowd", "next", asked_at_ms=BEGAN + 9 * DAY_MS)
            before = bytes_in(cluster)
            answered = question.ask(context, parse_params(given, question.params))
            found.append(bytes_in(cluster) - before)
        return answered, min(found)

    answered, few = sent()
    monkeypatch.setattr(Context, "is_divided", False)
    before, many = sent()
    assert answered == before
    assert few < many / 4


def bytes_in(cluster: Cluster) -> int:
    sql = "SELECT value FROM system.events WHERE event = 'NetworkReceiveBytes'"
    return int(cluster.nodes[0].query(sql))


def test_people_are_on_all_shards(both: tuple[Project, Project], cluster: Cluster) -> None:
    """Else it would show nothing."""
    with Store(cluster.url("threadline")) as store:
        for node in store.nodes:
            (row,) = node.query("SELECT uniq(visitor) AS n FROM events", {})
            assert row["n"] > 20
            (row,) = node.query(
                "SELECT countIf(jumpConsistentHash(visitor, 3) != toUInt32(getMacro('shard')) - 1)"
                " AS n FROM events",
                {},
            )
            assert row["n"] == 0


def test_the_story(on_three: Project) -> None:
    test_server_mode.test_the_story(on_three)


# Each of them with some other law of identity.
@pytest.mark.parametrize(
    "entry",
    test_vectors.VECTORS[:: wide(25, 9)],
    ids=lambda entry: f"{entry['name']}-{entry['policy']}",
)
def test_identity(on_three: Project, entry: dict[str, Any]) -> None:
    test_vectors.tell(on_three, entry, "shuffled")
    test_vectors.check(on_three, entry)


def test_repeats_and_forgetting(on_three: Project) -> None:
    test_server_mode.test_repeats_and_forgetting(on_three)


def test_states_are_what_the_events_say_and_can_be_made_anew(
    both: tuple[Project, Project], servers: tuple[Server, Server], cluster: Cluster
) -> None:
    before = answer(both[1], "stats_persons")
    three = servers[1]
    with Store(cluster.url("threadline")) as store:
        assert not any(each[2:] != (0, 0, 0) for each in states.verify(store))
        environ = {"THREADLINE_STORE": three.environ["THREADLINE_STORE"]}
        ok("rebuild", "--data", str(three.folder), **environ)
        assert not any(each[2:] != (0, 0, 0) for each in states.verify(store))
    assert answer(both[1], "stats_persons") == before


def test_commands_reach_all_shards(servers: tuple[Server, Server], on_three: Project) -> None:
    _, three = servers
    data = ("--data", str(three.folder))
    project = ("--project", on_three.project_id)
    environ = {"THREADLINE_STORE": three.environ["THREADLINE_STORE"]}
    events = [
        {
            "event": "$pageview",
            "anonymous_id": f"device {number}",
            "timestamp": format_ms(now_ms() - (400 if number < 20 else 1) * DAY_MS),
            "url": f"https://shop.example/?utm_source=partner{number}",
        }
        for number in range(60)
    ]
    on_three.batch(events)
    assert len(on_three.stored()) == 60
    counted = ("sql", "SELECT count() AS n FROM events", *data, *project, "--format", "json")
    assert ok(*counted, **environ) == '[{"n":60}]\n'
    ok("project", "set", on_three.project_id, "--keep-days", "100", *data, **environ)
    ok("retention", "run", *project, *data, **environ)
    assert ok(*counted, **environ) == '[{"n":40}]\n'
    assert len(on_three.ask("/v1/sources", limit=200)["rows"]) == 40
    ok("reclassify", *project, *data, **environ)
    assert len(on_three.ask("/v1/sources", limit=200)["rows"]) == 40
    assert "3 nodes answer" in ok("doctor", *data, **environ)
    noted = events_store.read(three.folder)
    assert noted
    assert noted.store.endswith("/threadline?cluster=threadline")


def test_a_project_moves_from_one_machine_into_the_cluster(
    both: tuple[Project, Project], servers: tuple[Server, Server], tmp_path: Path
) -> None:
    """With its events and decisions."""
    archive = str(tmp_path / "shop.zip")
    one, three = servers
    project = ("--project", both[0].project_id)
    ok("export", *project, "-o", archive, "--data", str(one.folder))
    environ = {"THREADLINE_STORE": three.environ["THREADLINE_STORE"]}
    ok("import", archive, "--as", "moved", "--data", str(three.folder), **environ)
    moved = both[1].again()
    with Control(three.folder) as control:
        moved.project_id = control.project("moved").project_id
        moved.keys = {"rk": str(control.create_key(moved.project_id, "rk"))}
    for name in ("stats_persons", "funnel", "users"):
        assert answer(moved, name, stitch="next") == answer(both[0], name, stitch="next")


def test_all_nodes_have_to_be_named(cluster: Cluster) -> None:
    url = cluster.url("other")
    first, *_ = url.split(",")
    with pytest.raises(StoreError, match="does not name all nodes of the cluster threadline"):
        Store(f"{first}/other?cluster=threadline")
    with pytest.raises(
        StoreError, match="It does not know the cluster nothing; there are threadline"
    ):
        Store(url.replace("cluster=threadline", "cluster=nothing"))


def test_replicas_are_refused(tmp_path: Path) -> None:
    """Their tables are not the same, unless the cluster writes to all of them and none was lost."""
    with Cluster(tmp_path, shards=1, replicas=2) as running:
        url = running.url("shop")
        with pytest.raises(StoreError, match="Shard 1 of the cluster threadline has several repli"):
            Store(url)
        found = checks_cluster.cluster(settings_given.load(store=url), tmp_path)
        assert found
        assert "one replica of each shard" in found.found


def test_what_a_migration_adds_can_be_asked(cluster: Cluster) -> None:
    url = cluster.url("older")
    with Store(url) as store:
        for node in store.nodes:
            node.execute("ALTER TABLE links ADD COLUMN newer UInt8 DEFAULT 7")
    with Store(url) as store:
        assert store.query("SELECT sum(newer) AS n FROM links", {}) == [{"n": 0}]


def test_a_shard_with_events_of_another_is_noticed(cluster: Cluster, tmp_path: Path) -> None:
    """As after another number of shards, or when two have changed places."""
    url = cluster.url("astray")
    rows = b"".join(
        row.encode(row_values(event_id=device, anonymous_id=device)) for device in "abcdefghij"
    )
    with Store(url) as store:
        store.insert("events", row.COLUMNS, "MsgPack", rows, "divided")
    with Store(url) as store:
        store.home.insert("events", row.COLUMNS, "MsgPack", rows, "on the first")
    with pytest.raises(StoreError, match="It is shard 1 of 3, but has events of another one"):
        Store(url)
    found = checks_cluster.cluster(settings_given.load(data=str(tmp_path), store=url), tmp_path)
    assert found
    assert re.match(
        r"\d of 1\d events on .*/astray_local are of other shards' visitors", found.found
    )
    shard = cluster.nodes[2]
    shard.kill()
    found = checks_cluster.cluster(settings_given.load(data=str(tmp_path), store=url), tmp_path)
    assert found
    assert f":{shard.http}/astray_local" in found.found
    assert "Start it" in found.mend
    shard.start()


def test_a_shard_that_is_away_is_an_outage_and_nothing_is_lost(
    both: tuple[Project, Project], cluster: Cluster
) -> None:
    """Events are acknowledged meanwhile, and are there afterwards, each once."""
    _, three = both
    (before,) = three.ask("/v1/stats", metric="count")["rows"]
    shard = cluster.nodes[2]
    shard.kill()
    events = [
        {"event": "late", "event_id": f"late {n}", "anonymous_id": f"late {n}"} for n in range(60)
    ]
    three.batch(events)
    for path in ("/v1/stats?metric=count", "/v1/stats?metric=persons"):
        reply = three.send("GET", path, headers={"Authorization": f"Bearer {three.keys['rk']}"})
        assert (reply.status, reply.error) == (503, "unavailable")
    ready = three.send("GET", "/readyz")
    assert ready.status == 503
    shard.start()
    three.batch(events)
    (after,) = three.ask("/v1/stats", metric="count")["rows"]
    assert after["value"] == before["value"] + 60
