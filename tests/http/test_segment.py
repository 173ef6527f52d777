"""The Segment spec: its libraries send to Threadline by changing the host, and nothing else."""

import base64
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from segment.analytics.client import Client as SegmentClient

from tests.enrich.test_country import write
from tests.support import ORIGIN, ROOT, Json, Project, Reply, Server

PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_2 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.2 Mobile/15E148 Safari/604.1"
)
CONTEXT = {
    "userAgent": PHONE,
    "ip": "203.0.113.7",
    "locale": "de-AT",
    "timezone": "Europe/Vienna",
    "page": {
        "url": "https://shop.example/pricing?q=1#plans",
        "path": "/pricing",
        "referrer": "https://www.google.com/",
        "title": "Pricing",
    },
    "campaign": {"source": "Newsletter", "medium": "email", "name": "may", "term": "a b"},
    "library": {"name": "analytics-python"},
}
WHEN = datetime(2026, 5, 1, 14, tzinfo=UTC)
URL = (
    "https://shop.example/pricing?q=1&utm_source=Newsletter&utm_medium=email&utm_campaign=may"
    "&utm_term=a+b#plans"
)
FROM_CONTEXT = {
    "source": "newsletter",
    "medium": "email",
    "campaign": "may",
    "url": URL,
    "path": "/pricing",
    "referrer": "https://www.google.com/",
    "device_type": "mobile",
    "browser": "safari",
    "os": "ios",
    "timestamp": "2026-05-01T14:00:00.000Z",
}


def stored(project: Project) -> dict[str, Json]:
    """The stored events by their id, properties read."""
    return {
        row["event_id"]: {**row, "properties": json.loads(row["properties"])}
        for row in project.stored()
    }


def call(project: Project, path: str, message: Json, key: str = "sk") -> Reply:
    """As a Segment-spec library sends it."""
    packed = base64.b64encode(f"{project.keys[key]}:".encode()).decode()
    headers = {"Authorization": f"Basic {packed}", "Content-Type": "application/json"}
    if key == "pk":
        headers["Origin"] = ORIGIN
    return project.send("POST", path, json.dumps(message), headers)


def test_the_python_library_sends_everything(project: Project) -> None:
    errors: list[object] = []
    segment = SegmentClient(
        project.keys["sk"],
        host=project.url,
        gzip=True,
        on_error=lambda *given: errors.append(given),
    )
    common = {"anonymous_id": "v1", "timestamp": WHEN, "context": CONTEXT}
    in_page = {"properties": {"plan": "weaver", "n": 1.5}, **common}
    segment.page("u1", "Docs", "Pricing", message_id="m1", **in_page)
    segment.track("u1", "clicked", message_id="m2", **in_page)
    segment.identify("u1", {"name": "Ada"}, message_id="m3", **common)
    segment.screen("u1", None, "Start", message_id="m4", **in_page)
    segment.group("u1", "g1", {"seats": 3}, message_id="m5", **common)
    segment.alias("old_u1", "u1", message_id="m6")
    segment.shutdown()
    assert errors == []

    rows = stored(project)
    ids = {"anonymous_id": "v1", "user_id": "u1"}
    spoken = {"language": "de-AT", "timezone": "Europe/Vienna"}
    sent = {"plan": "weaver", "n": 1.5, **spoken}
    expected = {
        "m1": ("$pageview", {**sent, "name": "Pricing", "category": "Docs"}),
        "m2": ("clicked", sent),
        "m3": ("$identify", {"name": "Ada"}),
        "m4": ("$screen", {**sent, "name": "Start"}),
        "m5": ("$group", {"seats": 3, "group_id": "g1", **spoken}),
    }
    assert rows.keys() == expected.keys()
    for event_id, (name, properties) in expected.items():
        row = rows[event_id]
        assert (row["event_name"], row["properties"]) == (name, properties)
        assert row.items() >= {**ids, **FROM_CONTEXT}.items()
    assert project.ask("/v1/users/u1")["traits"] == {"name": "Ada"}
    # The alias is a decision: the old name leads to the new one.
    assert len(project.journey("old_u1")) == 5


NODE = """
import { Analytics } from "@segment/analytics-node";
const [key, host, given] = process.argv.slice(1);
const { context, when } = JSON.parse(given);
const analytics = new Analytics({ writeKey: key, host, flushAt: 4 });
const errors = [];
analytics.on("error", (error) => errors.push(error));
const common = { anonymousId: "v1", userId: "u1", context, timestamp: new Date(when) };
const properties = { plan: "weaver", n: 1.5 };
analytics.page({ ...common, messageId: "m1", name: "Pricing", category: "Docs", properties });
analytics.track({ ...common, messageId: "m2", event: "clicked", properties });
analytics.identify({ ...common, messageId: "m3", traits: { name: "Ada" } });
analytics.screen({ ...common, messageId: "m4", name: "Start", properties });
analytics.group({ ...common, messageId: "m5", groupId: "g1", traits: { seats: 3 } });
analytics.alias({ messageId: "m6", previousId: "old_u1", userId: "u1" });
await analytics.closeAndFlush();
console.log(JSON.stringify(errors));
"""


def test_the_node_library_sends_everything(project: Project) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    node = shutil.which("node", path=path)
    assert node, "run make build"
    given = json.dumps({"context": CONTEXT, "when": WHEN.isoformat()})
    command = [node, "--input-type=module", "--eval", NODE, project.keys["sk"], project.url, given]
    done = subprocess.run(command, cwd=ROOT / "browser", capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
    rows = stored(project)
    spoken = {"language": "de-AT", "timezone": "Europe/Vienna"}
    sent = {"plan": "weaver", "n": 1.5, **spoken}
    named = {key: (row["event_name"], row["properties"]) for key, row in rows.items()}
    assert named == {
        "m1": ("$pageview", {**sent, "name": "Pricing", "category": "Docs"}),
        "m2": ("clicked", sent),
        "m3": ("$identify", {"name": "Ada"}),
        "m4": ("$screen", {**sent, "name": "Start"}),
        "m5": ("$group", {"seats": 3, "group_id": "g1", **spoken}),
    }
    for row in rows.values():
        ids = {"anonymous_id": "v1", "user_id": "u1"}
        assert row.items() >= {**ids, **FROM_CONTEXT}.items()
    assert len(project.journey("old_u1")) == 5


@pytest.mark.parametrize("path", ["/v1/track", "/v1/t", "//v1/t"])
def test_a_single_call_by_either_name(project: Project, path: str) -> None:
    message = {"anonymousId": "v1", "event": "clicked", "messageId": "m1", "properties": {"n": 1}}
    reply = call(project, path, message)
    assert (reply.status, reply.json) == (200, {"success": True})
    (row,) = stored(project).values()
    assert (row["event_name"], row["anonymous_id"], row["user_id"]) == ("clicked", "v1", None)
    # Our own shape is taken on the same route, by the same key in either header.
    reply = call(project, path, {"event": "ours", "anonymous_id": "v1"})
    assert (reply.status, reply.json["ok"]) == (202, True)
    reply = project.post(path, message)
    assert (reply.status, reply.json) == (200, {"success": True})
    assert len(project.stored()) == 2


def test_our_own_shape_with_foreign_fields_stays_ours(project: Project) -> None:
    project.track("x", anonymous_id="a", userId="ignored", context={}, batch=[])
    project.post("/v1/batch", {"events": [{"event": "x"}], "batch": []})
    assert [row["user_id"] for row in project.stored()] == [None, None]


def test_browser_libraries_send_the_key_in_the_body(project: Project) -> None:
    message = {"type": "page", "anonymousId": "v1", "context": CONTEXT, "messageId": "m1"}
    message["properties"] = {
        "url": "https://shop.example/?gclid=g1",
        "referrer": "",
        "path": "/",
        "title": "Home",
    }
    headers = {"Origin": ORIGIN, "User-Agent": "Mozilla/5.0 Firefox/140.0"}
    body = json.dumps({**message, "writeKey": project.keys["pk"]})
    reply = project.send("POST", "/v1/p", body, headers)
    assert (reply.status, reply.json) == (200, {"success": True})
    assert reply.headers["Access-Control-Allow-Origin"] == ORIGIN
    (row,) = stored(project).values()
    assert (row["source"], row["medium"], row["path"]) == ("google", "paid", "/")
    assert row["browser"] == "firefox"  # a browser speaks for itself
    assert row["properties"]["title"] == "Home"
    for path in ("/v1/p", "/v1/track"):
        assert project.send("POST", path, json.dumps({"userId": "u"})).status == 401


def test_clocks_are_corrected_as_the_spec_says(project: Project) -> None:
    now = datetime.now(UTC)
    sent = (now - timedelta(days=2)).isoformat()
    happened = (now - timedelta(days=2, hours=1)).isoformat()
    batch = [
        {"type": "track", "userId": "u", "event": "a", "messageId": "a", "timestamp": happened},
        {
            "type": "track",
            "userId": "u",
            "event": "b",
            "messageId": "b",
            "originalTimestamp": happened,
        },
        {
            "type": "track",
            "userId": "u",
            "event": "c",
            "messageId": "c",
            "originalTimestamp": happened,
            "timestamp": happened,
        },
        {"type": "track", "userId": "u", "event": "d", "messageId": "d"},
    ]
    assert call(project, "/v1/batch", {"batch": batch, "sentAt": sent}).status == 200

    def hours_ago(event_id: str) -> int:
        moment = datetime.fromisoformat(stored(project)[event_id]["timestamp"])
        return round((now - moment).total_seconds() / 3600)

    # Corrected by the two days that the sender is behind; but not what somebody corrected already.
    assert [hours_ago(event_id) for event_id in "abcd"] == [1, 1, 49, 0]


def test_a_bad_call_in_a_batch_is_named_and_the_rest_stored(project: Project) -> None:
    good = {"type": "track", "event": "x", "userId": "u"}
    batch: list[object] = [
        {**good, "messageId": "m0"},
        {"type": "track", "userId": "u"},
        {"type": "teleport", "userId": "u"},
        {**good, "userId": "x" * 257},
        {**good, "properties": [1]},
        {**good, "properties": {"x": "y" * 33_000}},
        {**good, "timestamp": "yesterday"},
        {**good, "userId": "undefined", "anonymousId": "v", "messageId": "m7"},
        "track",
        {**good, "messageId": "m9", "properties": {"x": "y" * 30_000}},
        {"type": "alias", "userId": "b", "previousId": "a"},
        {"type": "alias", "userId": "a", "previousId": "b"},
        {**good, "userId": 42, "messageId": "m12", "context": "?"},
    ]
    reply = call(project, "/v1/batch", {"batch": batch})
    assert reply.status == 200
    found = [(at["index"], at["field"], at["code"]) for at in reply.json["warnings"]]
    assert found == [
        (1, "event", "invalid_payload"),
        (2, "type", "invalid_payload"),
        (3, "userId", "invalid_payload"),
        (4, "properties", "invalid_payload"),
        (5, "", "payload_too_large"),
        (6, "timestamp", "invalid_payload"),
        (7, "user_id", "placeholder_id"),
        (8, "", "invalid_payload"),
        (10, "previousId", "unknown_id"),
        (11, "", "alias_cycle"),
        (12, "context", "ignored"),
    ]
    rows = stored(project)
    assert sorted(rows) == ["m0", "m12", "m7", "m9"]
    assert (rows["m7"]["user_id"], rows["m12"]["user_id"]) == (None, "42")


HALVES = {
    "a name": b'"event":"\\ud83d","userId":"u"',
    "an id": b'"event":"e","userId":"u\\udfff"',
    "a trait": b'"event":"e","userId":"u","traits":{"t":"\\ud83d"}',
    "a page": b'"event":"e","userId":"u","context":{"page":{"url":"https://a.example/\\ud83d"}}',
    "what is ignored": b'"event":"e","userId":"u","integrations":{"t":"\\ud83d"}',
    "bytes": b'"event":"\xed\xa0\xbd","userId":"u"',
}


@pytest.mark.parametrize("where", HALVES)
def test_half_a_character_is_said_wherever_it_stands(project: Project, where: str) -> None:
    call = b'{"type":"track",%s}' % HALVES[where]
    whole = b'{"type":"track","event":"whole","userId":"u"}'
    for path, body in (
        ("/v1/track", call),
        ("/v1/page", call),
        ("/v1/batch", b'{"batch":[%s,%s]}' % (whole, call)),
    ):
        reply = project.post(path, body)
        assert reply.status == 200
        assert [at["code"] for at in reply.json["warnings"]] == ["text_mended"], path
    assert len(project.stored()) == 4


def test_what_a_batch_loses_and_what_is_changed_is_counted(folder: Path) -> None:
    with Server(folder) as server:
        project = Project(server)
        good = {"type": "track", "event": "x", "userId": "u"}
        batch = [
            good,
            {"type": "track", "userId": "u"},
            {**good, "timestamp": "yesterday"},
            {**good, "properties": {"x": "y" * 33_000}},
            {**good, "userId": "undefined"},
        ]
        assert call(project, "/v1/batch", {"batch": batch}).status == 200
        counted = numbers(project)
        assert counted['threadline_events_dropped_total{reason="invalid_payload"}'] == 2
        assert counted['threadline_events_dropped_total{reason="payload_too_large"}'] == 1
        assert counted['threadline_events_warned_total{reason="placeholder_id"}'] == 1
        assert counted["threadline_placeholder_ids_total"] == 1
        assert counted['threadline_events_accepted_total{route="/v1/batch"}'] == 2


def numbers(project: Project) -> dict[str, float]:
    """What `/metrics` says."""
    lines = project.get("/metrics").body.decode().splitlines()
    split = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name: float(value) for name, _, value in split}


def test_errors_are_where_libraries_look_for_them(project: Project) -> None:
    def refused(path: str, message: object, status: int = 400) -> Json:
        packed = base64.b64encode(f"{project.keys['sk']}:".encode()).decode()
        raw = message if isinstance(message, str) else json.dumps(message)
        reply = project.send("POST", path, raw, {"Authorization": f"Basic {packed}"})
        assert reply.status == status, reply
        assert reply.json["code"] == reply.json["error"]
        assert reply.json["message"] == reply.json["details"]["message"]
        return reply.json

    refused("/v1/track", "{")
    refused("/v1/page", '"page"')
    refused("/v1/batch", {"batch": []})
    refused("/v1/batch", {"batch": [{"type": "track"}, 1], "sentAt": "2026-05-01"})
    refused("/v1/batch", {"batch": [{"type": "track"}], "sentAt": "soon"})
    refused("/v1/batch", {"batch": [{"a": "x" * 600_000}]}, 413)
    refused("/v1/track", {"userId": "u", "event": "x", "properties": {"x": "y" * 33_000}}, 413)
    refused("/v1/alias", {"userId": "u"})
    refused("/v1/alias", {"userId": "u", "previousId": "null"})
    assert call(project, "/v1/alias", {"userId": "u", "previousId": "v"}).status == 200
    cycle = refused("/v1/alias", {"userId": "v", "previousId": "u"}, 409)
    assert cycle["error"] == "alias_cycle"
    for token in ("!", base64.b64encode(b":").decode(), base64.b64encode(b"\xff:").decode()):
        reply = project.send("POST", "/v1/t", "{}", {"Authorization": f"Basic {token}"})
        assert (reply.status, reply.error) == (401, "missing_bearer_token")
    assert project.stored() == []


def test_a_page_may_say_who_its_visitor_is_but_not_who_users_are(project: Project) -> None:
    alias = {"userId": "u", "previousId": "v1", "messageId": "m1"}
    reply = call(project, "/v1/a", {**alias, "anonymousId": "v1"}, "pk")
    assert reply.status == 200
    (row,) = stored(project).values()
    assert (row["event_name"], row["anonymous_id"], row["user_id"]) == ("$identify", "v1", "u")
    reply = call(project, "/v1/a", alias, "pk")
    assert (reply.status, reply.error) == (403, "insufficient_scope")


def test_nothing_hostile_gets_through(project: Project) -> None:
    message = {"userId": "u", "event": "x", "messageId": "m1"}
    strange: list[object] = [
        [],
        {"page": {"url": ["x"], "path": 1, "referrer": {}}, "ip": "nowhere", "campaign": "x"},
        {"page": {"url": "https://shop.example/?" + "x" * 5000}, "userAgent": "x" * 9000},
        {"campaign": {"source": "x' OR 1=1", "name": "\x00\u202e"}, "page": {"url": "//[::1"}},
    ]
    changed = {1: ["ignored", "ignored"], 2: ["cut", "cut"]}
    for number, context in enumerate(strange):
        reply = call(
            project, "/v1/track", {**message, "messageId": str(number), "context": context}
        )
        codes = [at["code"] for at in reply.json.get("warnings", [])]
        assert (reply.status, reply.json["success"]) == (200, True)
        assert codes == changed.get(number, [])
    deep = '{"userId":"u","event":"x","context":' + "[" * 30_000 + "]" * 30_000 + "}"
    headers = {"Authorization": f"Bearer {project.keys['sk']}"}
    assert project.send("POST", "/v1/track", deep, headers).status in (200, 400, 413)
    assert len(stored(project)) == len(strange)


def test_what_is_cut_or_left_out_is_said(project: Project) -> None:
    """An address gets room for the campaign, which says where the visit came from."""
    page = {"url": "https://shop.example/?" + "x" * 3000 + "#top", "referrer": "y" * 3000}
    context = {
        "page": page,
        "campaign": {"source": "spring fair", "name": "may"},
        "groupId": "g" * 257,
        "ip": "home",
    }
    good = {"type": "page", "userId": "u", "messageId": "m0"}
    reply = call(
        project,
        "/v1/batch",
        {"batch": [good, {**good, "messageId": "m1", "context": context, "properties": {}}]},
    )
    said = [(at["index"], at["field"], at["code"]) for at in reply.json["warnings"]]
    assert sorted(said) == [
        (1, "context.groupId", "ignored"),
        (1, "context.ip", "ignored"),
        (1, "referrer", "cut"),
        (1, "url", "cut"),
    ]
    row = stored(project)["m1"]
    assert (row["source"], row["campaign"]) == ("spring fair", "may")
    assert "account_id" not in row["properties"]
    assert len(row["referrer"]) == 2048


def test_a_group_is_the_one_that_the_call_names(project: Project) -> None:
    for number, traits in enumerate(({"group_id": "H"}, {"account_id": "H", "plan": "pro"})):
        group = {"type": "group", "userId": f"u{number}", "groupId": "G", "traits": traits}
        (said,) = call(project, "/v1/group", group).json["warnings"]
        assert (said["field"], said["code"]) == (f"traits.{next(iter(traits))}", "ignored")
    tracked = {"userId": "u3", "event": "x", "groupId": 7}
    assert call(project, "/v1/track", tracked).json == {"success": True}
    found = project.ask("/v1/accounts", order="people")["rows"]
    assert {row["account_id"]: row["people"] for row in found} == {"G": 2, "7": 1}


def test_a_batch_speaks_for_its_calls(project: Project) -> None:
    now = datetime.now(UTC)
    about = {"page": {"url": "https://shop.example/a"}, "groupId": "acme"}
    own = {"page": {"url": "https://shop.example/b"}}
    good = {"type": "track", "event": "x", "userId": "u"}
    late = {
        "timestamp": (now - timedelta(hours=6)).isoformat(),
        "sentAt": (now - timedelta(hours=5)).isoformat(),
    }
    batch = [
        {**good, "messageId": "m0"},
        {**good, "messageId": "m1", "context": own},
        {**good, "messageId": "m2", **late},
    ]
    reply = call(project, "/v1/batch", {"batch": batch, "context": about})
    assert reply.json == {"success": True}
    rows = stored(project)
    assert [rows[name]["path"] for name in ("m0", "m1")] == ["/a", "/b"]
    assert {rows[name]["properties"]["account_id"] for name in rows} == {"acme"}
    long = {"page": {"url": "https://shop.example/" + "x" * 33_000}}
    sent_again = {"batch": [{**good, "messageId": "m3"}], "context": long}
    (said,) = call(project, "/v1/batch", sent_again).json["warnings"]
    assert (said["field"], said["code"]) == ("context", "ignored")
    # An hour before it was sent, which was now.
    at = datetime.fromisoformat(rows["m2"]["timestamp"])
    assert abs(at - (now - timedelta(hours=1))) < timedelta(minutes=2)


@pytest.mark.parametrize(
    ("url", "campaign", "source"),
    [
        ("https://shop.example/docs/utm_guide", {"source": "spring fair"}, "spring fair"),
        ("https://shop.example/#utm_x", {"source": "spring fair"}, "spring fair"),
        ("https://shop.example/?utm_term=x", {"source": "spring fair"}, "spring fair"),
        ("https://shop.example/?utm_source=mail", {"source": "spring fair"}, "mail"),
        ("https://shop.example/", {"source": 1}, "1"),
    ],
)
def test_a_campaign_counts_where_the_address_names_none(
    project: Project, url: str, campaign: Json, source: str
) -> None:
    context = {"page": {"url": url}, "campaign": campaign}
    call(project, "/v1/page", {"userId": "u", "messageId": "m", "context": context})
    assert stored(project)["m"]["source"] == source


def test_what_is_not_what_the_spec_has_there_is_said(project: Project) -> None:
    wrong = {"page": "https://shop.example/", "userAgent": {}, "ip": 5, "groupId": 1.5}
    given = {"userId": "u", "timestamp": "", "properties": {"a": 1}, "context": wrong}
    said = call(project, "/v1/identify", given).json["warnings"]
    assert {(at["field"], at["code"]) for at in said} == {
        (field, "ignored")
        for field in ("timestamp", "properties", *(f"context.{name}" for name in wrong))
    }
    named = {"userId": "w", "messageId": "m", "context": {"traits": {"plan": "pro"}}}
    raw = json.dumps(named)[:-1] + ', "traits": { }}'
    headers = {"Authorization": f"Bearer {project.keys['sk']}"}
    assert project.send("POST", "/v1/identify", raw, headers).json == {"success": True}
    assert stored(project)["m"]["properties"] == {"plan": "pro"}


def test_an_alias_of_a_visitor_keeps_its_time(project: Project) -> None:
    project.track("x", anonymous_id="dev8")
    alias = {
        "previousId": "dev8",
        "userId": "u8",
        "messageId": "m",
        "timestamp": "2026-05-01T10:00:00.000Z",
        "originalTimestamp": "2026-05-01T08:00:00.000Z",
        "sentAt": (datetime.now(UTC) - timedelta(hours=2)).isoformat(),
    }
    assert call(project, "/v1/alias", alias).status == 200
    assert stored(project)["m"]["timestamp"] == "2026-05-01T10:00:00.000Z"


def test_a_server_says_where_its_visitor_is(tmp_path: Path) -> None:
    file = tmp_path / "country.mmdb"
    write(file, AT="203.0.113.0/24")
    with Server(tmp_path / "data", THREADLINE_COUNTRY_DB=str(file)) as server:
        project = Project(server)
        call(project, "/v1/track", {"userId": "u", "event": "x", "context": {"ip": "203.0.113.7"}})
        project.track("x", ip="203.0.113.8", user_agent=PHONE)
        rows = project.stored()
        assert [row["country"] for row in rows] == ["AT", "AT"]
        assert {row["os"] for row in rows} == {None, "ios"}
        reply = project.post("/v1/track", {"event": "x", "ip": "home"})
        assert list(reply.json["details"]["fieldErrors"]) == ["ip"]
        # A browser cannot choose its country.
        project.post("/v1/track", {"event": "y", "ip": "203.0.113.8", "user_agent": PHONE}, "pk")
        (row,) = project.stored(event="y")
        assert (row["country"], row["os"]) == (None, None)


BATCH_OF_HALVES = (
    b'{"batch":[{"type":"track","event":"a","userId":"u"},'
    b'{"type":"track","event":"b","userId":"u","properties":{"t":"\\ud83d"}}]}'
)
ONE_OF_HALVES = b'{"event":"c","userId":"u","anonymousId":"d","properties":{"t":"\\ud83d"}}'


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_half_a_character_does_not_hide_whose_shape_it_is(project: Project, mark: bytes) -> None:
    for path, body in (("/v1/batch", BATCH_OF_HALVES), ("/v1/track", ONE_OF_HALVES)):
        reply = project.post(path, mark + body)
        assert reply.status == 200
        (said,) = reply.json["warnings"]
        assert said["code"] == "text_mended"
        assert "U+FFFD" in said["message"]
    assert [row["user_id"] for row in project.stored()] == ["u", "u", "u"]
