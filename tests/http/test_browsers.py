"""What browsers need of the server: the script, beacons, clocks that are off."""

import gzip
import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.support import ORIGIN, Json, Project, Reply, Server


def beacon(project: Project, body: Json, origin: str = ORIGIN) -> Reply:
    """As `sendBeacon` sends it: nothing about it makes browsers ask first."""
    headers = {"Origin": origin, "Content-Type": "text/plain;charset=UTF-8"}
    return project.send("POST", "/v1/batch", json.dumps(body), headers)


def iso(moment: datetime) -> str:
    return moment.isoformat()


def test_the_key_may_come_in_the_body(project: Project) -> None:
    reply = beacon(project, {"key": project.keys["pk"], "events": [{"event": "x"}]})
    assert (reply.status, reply.json) == (202, {"ok": True, "count": 1})
    assert reply.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert [row["event_name"] for row in project.stored()] == ["x"]


def test_only_browser_keys_may_and_only_from_their_origins(project: Project) -> None:
    def refused(key: object, origin: str = ORIGIN) -> tuple[int, str]:
        reply = beacon(project, {"key": key, "events": [{"event": "x"}]}, origin)
        return reply.status, reply.error

    assert refused(project.keys["sk"]) == (403, "key_kind_not_allowed")
    assert refused(project.keys["pk"], "https://evil.example") == (403, "origin_not_allowed")
    assert refused("pk_live_abcdefgh_nothing") == (401, "malformed_api_key")
    assert refused(project.keys["pk"][:-1] + "é") == (401, "malformed_api_key")
    assert refused(None) == refused(7) == (401, "missing_bearer_token")
    headers = {"Origin": ORIGIN, "Content-Type": "text/plain"}
    for body in (b"", b"[]", b"7", b'{"key":' * 5000):
        reply = project.send("POST", "/v1/batch", body, headers)
        assert (reply.status, reply.error) == (401, "missing_bearer_token")
    # What cannot be read may have said whose it is; its page has to be able to read the answer.
    for body in (b"{", b'{"key": "pk', b"\xff"):
        reply = project.send("POST", "/v1/batch", body, headers)
        assert (reply.status, reply.error) == (400, "invalid_payload")
        assert reply.headers["Access-Control-Allow-Origin"] == "*"
    # Who sends so much says first who they are.
    reply = project.send("POST", "/v1/batch", b" " * (1024**2 + 1), headers)
    assert (reply.status, reply.error) == (413, "payload_too_large")
    assert project.send("POST", "/v1/track", b'{"key": "pk"}', headers).status == 401
    assert project.stored() == []


@pytest.mark.parametrize("off", [timedelta(days=-400), timedelta(hours=3), timedelta(days=9000)])
def test_a_clock_that_is_off_is_set_right(project: Project, off: timedelta) -> None:
    before = datetime.now(UTC)
    theirs = before + off
    event = {"event": "x", "timestamp": iso(theirs - timedelta(minutes=10))}
    sent = {"key": project.keys["pk"], "sent_at": iso(theirs), "events": [event, {"event": "y"}]}
    assert beacon(project, sent).status == 202
    at = {row["event_name"]: datetime.fromisoformat(row["timestamp"]) for row in project.stored()}
    after = datetime.now(UTC)
    slack = timedelta(seconds=30)
    assert before - slack <= at["x"] + timedelta(minutes=10) <= after + slack
    assert before <= at["y"] + timedelta(milliseconds=1)
    assert at["y"] <= after


def test_a_clock_that_is_nearly_right_is_right(project: Project) -> None:
    """What a request takes differs; events of one second have to stay in order."""
    now = datetime.now(UTC)
    event = {"event": "x", "timestamp": "2026-05-01T12:00:00.001Z"}
    sent = {"sent_at": iso(now - timedelta(seconds=25)), "events": [event]}
    assert beacon(project, {"key": project.keys["pk"], **sent}).status == 202
    assert [row["timestamp"] for row in project.stored()] == ["2026-05-01T12:00:00.001Z"]


def test_times_that_no_clock_shows_are_refused(project: Project) -> None:
    def refused(**body: object) -> list[str]:
        events = [{"event": "x", "timestamp": "2026-05-03T12:00:00Z"}]
        reply = beacon(project, {"key": project.keys["pk"], "events": events, **body})
        assert (reply.status, reply.error) == (400, "invalid_payload")
        return list(reply.json["details"]["fieldErrors"])

    assert refused(sent_at="soon") == ["sent_at"]
    assert refused(sent_at="2026-05-01T12:00:00Z") == ["timestamp"]  # two days ahead of itself
    assert refused(dropped=-1) == refused(dropped=10**400) == ["dropped"]
    assert project.stored() == []


def test_a_clock_that_cannot_be_is_not_believed(project: Project) -> None:
    event = {"event": "x", "timestamp": "2026-05-01T10:00:00Z"}
    sent = {"key": project.keys["pk"], "sent_at": "9999-01-01T00:00:00Z", "events": [event]}
    reply = beacon(project, sent)
    assert reply.status == 202
    assert [at["code"] for at in reply.json["warnings"]] == ["clock_ignored"]
    assert [row["timestamp"] for row in project.stored()] == ["2026-05-01T10:00:00.000Z"]


def test_what_browsers_had_to_drop_is_counted(project: Project) -> None:
    def counted() -> float:
        lines = project.get("/metrics").body.decode().splitlines()
        name = "threadline_events_dropped_by_senders_total "
        return float(next(line for line in lines if line.startswith(name)).split()[1])

    before = counted()
    events = [{"event": "x"}]
    beacon(project, {"key": project.keys["pk"], "dropped": 3, "events": events})
    assert counted() == before + 3


def test_the_campaign_is_among_the_properties_of_a_browsers_events(project: Project) -> None:
    url = "https://shop.example/?utm_source=News&utm_medium=email&utm_id=7&q=1&gclid=g1"
    events = [
        {"event": "x", "url": url, "properties": {"utm_id": "mine"}},
        {"event": "$identify", "url": url, "anonymous_id": "a", "user_id": "u"},
    ]
    assert beacon(project, {"key": project.keys["pk"], "events": events}).status == 202
    found = {row["event_name"]: json.loads(row["properties"]) for row in project.stored()}
    assert found["x"] == {
        "utm_source": "News",
        "utm_medium": "email",
        "utm_id": "mine",
        "gclid": "g1",
    }
    assert found["$identify"] == {}  # traits are of the person


def test_a_slash_too_many_in_the_host_is_no_problem(project: Project) -> None:
    headers = {"Authorization": f"Bearer {project.keys['sk']}"}
    reply = project.send("POST", "//v1/track", '{"event": "x"}', headers)
    assert reply.status == 202


def test_the_script_is_served_once_and_kept(server: Server, project: Project) -> None:
    plain = project.send("GET", "/v1/a.js")
    assert plain.status == 200
    assert plain.headers["Content-Type"].startswith("text/javascript")
    assert plain.headers["Cache-Control"].startswith("public, max-age=")
    assert plain.headers["Access-Control-Allow-Origin"] == "*"
    assert plain.headers["SourceMap"] == "a.js.map"
    packed = project.send("GET", "/v1/a.js", headers={"Accept-Encoding": "br, gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) <= 2200
    known = {"If-None-Match": f'"other", {plain.headers["ETag"]}'}
    again = project.send("GET", "/v1/a.js", headers=known)
    assert (again.status, again.body) == (304, b"")
    assert again.headers["ETag"] == plain.headers["ETag"]


def test_maps_and_add_ons_are_served_and_nothing_else(project: Project) -> None:
    assert "sourcesContent" in project.send("GET", "/v1/a.js.map").json
    for name in ("outbound", "downloads", "forms", "clicks", "engagement", "cross-domain"):
        assert project.send("GET", f"/v1/addons/{name}.js").status == 200
    for name in ("site.js", "..%2Fa.js", "..%2F..%2F__init__.py", "x" * 500):
        assert project.send("GET", f"/v1/addons/{name}").status == 404
