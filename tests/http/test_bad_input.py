"""Every limit of the contract, and everything that is not an event: the documented 4xx, and nothing
stored."""

import gzip
import json
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import zstandard

from tests.support import Json, Project, Server, ids

MIB = 1024 * 1024
DAY_S = 86_400

# (field, a value just over its limit, a value just within it)
LIMITS: list[tuple[str, object, object]] = [
    ("event", "", "x"),
    ("event", "x" * 129, "x" * 128),
    ("event_id", "x" * 129, "x" * 128),
    ("anonymous_id", "x" * 129, "x" * 128),
    ("user_id", "x" * 257, "x" * 256),
    ("session_id", "x" * 129, "x" * 128),
    ("url", "x" * 2049, "x" * 2048),
    ("path", "x" * 2049, "x" * 2048),
    ("referrer", "x" * 2049, "x" * 2048),
    ("properties", {"k": "x" * 8200}, {"k": "x" * 8000}),
    ("properties", [1], {"k": [1]}),
    ("properties", "text", {"k": "text"}),
    ("timestamp", "yesterday", "2026-05-01"),
    ("timestamp", 1777644000, "2026-05-01T14:00:00"),
    ("timestamp", "1969-12-31T23:59:59Z", "1970-01-02T00:00:00Z"),
    ("timestamp", "1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z"),
    ("timestamp", "1970-01-01T00:00:00-12:00", "1970-01-02T00:00:00Z"),
    ("timestamp", "2026-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
    ("timestamp", "0001-01-01T00:00:00+14:00", "2026-05-01T14:00:00+14:00"),
]


@pytest.mark.parametrize(("field", "bad", "good"), LIMITS, ids=lambda v: str(v)[:20])
def test_each_field_has_its_limit(project: Project, field: str, bad: object, good: object) -> None:
    event: Json = {"event": "x", field: bad}
    for path, body in (("/v1/track", event), ("/v1/batch", {"events": [{"event": "x"}, event]})):
        reply = project.post(path, body)
        assert (reply.status, reply.error) == (400, "invalid_payload")
        assert list(reply.json["details"]["fieldErrors"]) == [field]
    assert project.stored() == []
    assert project.post("/v1/track", {**event, field: good}).status == 202


def deep(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


@pytest.mark.parametrize(("levels", "status"), [(32, 202), (33, 400), (1300, 400)])
def test_properties_are_at_most_32_levels_deep(project: Project, levels: int, status: int) -> None:
    body = f'{{"event":"x","properties":{deep(levels)}}}'.encode()
    assert project.post("/v1/track", body).status == status


def test_brackets_inside_strings_are_not_depth(project: Project) -> None:
    project.track("x", properties={"text": "{[" * 100})


NOT_EVENTS: dict[str, bytes] = {
    "nothing": b"",
    "not json": b"event=x",
    "half of it": b'{"event":"x"',
    "a wrong field and half of it": b'{"event":5,"events":5,"user_id":5,',
    "a wrong field and a pit": b'{"event":5,"events":5,"user_id":5,"x":' + b"[" * 300_000,
    "a list": b'[{"event":"x"}]',
    "a text": b'"event"',
    "null": b"null",
    "no event": b'{"url":"a"}',
    "a number for an id": b'{"event":"x","user_id":42}',
    "an object for an id": b'{"event":"x","user_id":{"$ne":null}}',
    "not utf-8": b'{"event":"\xff"}',
    "not utf-8 in properties": b'{"event":"x","properties":{"k":"\xff"}}',
    "NaN": b'{"event":"x","properties":{"k":NaN}}',
    "a bottomless pit": b'{"event":"x","properties":' + b"[" * 300_000 + b"}",
    "a bottomless unknown field": b'{"event":"x","y":' + b'{"a":' * 100_000 + b"}",
}


@pytest.mark.parametrize("name", NOT_EVENTS)
def test_what_is_not_an_event_is_refused(project: Project, name: str) -> None:
    for path in ("/v1/track", "/v1/batch", "/v1/identify", "/v1/forget"):
        reply = project.post(path, NOT_EVENTS[name])
        assert (reply.status, reply.error) == (400, "invalid_payload"), path
        assert reply.json["details"]["message"]
    assert project.stored() == []


def test_all_wrong_fields_are_named_at_once(project: Project) -> None:
    reply = project.post("/v1/track", {"user_id": 1, "url": [], "event_id": "i" * 129})
    assert sorted(reply.json["details"]["fieldErrors"]) == ["event", "event_id", "url", "user_id"]


def test_a_batch_is_stored_whole_or_not_at_all(project: Project) -> None:
    events = [{"event": "x"}, {"event": "x"}, {"event": "x", "timestamp": "never"}, {"event": ""}]
    reply = project.post("/v1/batch", {"events": events})
    assert reply.status == 400
    assert reply.json["details"]["index"] == 2
    reply = project.post("/v1/batch", {"events": [*events[:2], "text", *events[3:]]})
    assert reply.json["details"]["index"] == 2
    assert project.stored() == []
    assert project.batch(events[:2])["count"] == 2
    assert len(project.stored()) == 2


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_has_1_to_1000_events(project: Project, count: int) -> None:
    reply = project.post("/v1/batch", {"events": [{"event": "x"}] * count})
    assert (reply.status, reply.error) == (400, "invalid_payload")
    assert list(reply.json["details"]["fieldErrors"]) == ["events"]
    assert project.stored() == []


def test_a_batch_of_1000_is_fine(project: Project) -> None:
    assert project.batch([{"event": "x"}] * 1000)["count"] == 1000
    assert len(project.stored()) == 1000


@pytest.mark.parametrize(("ahead_s", "status"), [(DAY_S - 60, 202), (DAY_S + 60, 400)])
def test_clocks_may_be_a_day_ahead(project: Project, ahead_s: int, status: int) -> None:
    ahead = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + ahead_s))
    assert project.post("/v1/track", {"event": "x", "timestamp": ahead}).status == status


Pack = Callable[[bytes], bytes]
PACKINGS: dict[str, Pack] = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("packing", PACKINGS)
def test_bodies_may_be_packed(project: Project, packing: str) -> None:
    body = PACKINGS[packing](b'{"event":"packed"}')
    assert project.post("/v1/track", body, Content_Encoding=packing).status == 202
    assert [row["event_name"] for row in project.stored()] == ["packed"]


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_bomb_is_defused(project: Project, packing: str) -> None:
    bomb = PACKINGS[packing](b'{"event":"' + b"x" * (64 * MIB) + b'"}')
    assert len(bomb) < MIB
    for path in ("/v1/track", "/v1/batch"):
        reply = project.post(path, bomb, Content_Encoding=packing)
        assert (reply.status, reply.error) == (413, "payload_too_large")


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("broken", [b"", b"no archive", None], ids=["empty", "other", "cut"])
def test_a_broken_packing_is_named(project: Project, packing: str, broken: bytes | None) -> None:
    body = PACKINGS[packing](b'{"event":"x"}' * 100)[:-9] if broken is None else broken
    reply = project.post("/v1/track", body, Content_Encoding=packing)
    assert (reply.status, reply.error) == (400, "invalid_payload")


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/v1/track", MIB),
        ("/v1/identify", MIB),
        ("/v1/batch", 16 * MIB),
    ],
)
def test_bodies_have_a_size(project: Project, path: str, limit: int) -> None:
    for extra, status in ((0, 400), (1, 413)):
        body = b"[" + b" " * (limit - 2 + extra) + b"]"
        reply = project.post(path, body)
        assert reply.status == status
    assert reply.json["details"]["limit_bytes"] == limit


MEDIA_TYPES = [
    "multipart/form-data",
    "application/x-www-form-urlencoded",
    "text/xml",
    "application/csp-report",
    "json",
]


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_what_is_called_something_else_has_to_look_like_json(
    project: Project, media_type: str
) -> None:
    reply = project.post("/v1/track", b"event=x", Content_Type=media_type)
    assert (reply.status, reply.error) == (415, "unsupported_media_type")
    assert project.post("/v1/track", b' {"event":"x"}', Content_Type=media_type).status == 202


def test_an_unknown_packing_is_refused(project: Project) -> None:
    reply = project.post("/v1/track", b'{"event":"x"}', Content_Encoding="br")
    assert (reply.status, reply.error) == (415, "unsupported_media_type")


def test_a_beacons_plain_text_is_json_too(project: Project) -> None:
    reply = project.post("/v1/track", b'{"event":"x"}', Content_Type="text/plain;charset=UTF-8")
    assert reply.status == 202


HOSTILE = [
    "'; DROP TABLE events; --",
    '<script>alert("1")</script>',
    "{project_id:String}",
    "a\x00b\t\r\n",
    "%s %(x)s \\' \\\\",
    "🧵 Ωμέγα \u202e",
    "../../etc/passwd",
    " padded ",
]


def test_hostile_text_is_stored_as_it_is_and_found_again(project: Project) -> None:
    for text in HOSTILE:
        project.track(
            text,
            event_id=text,
            anonymous_id=text,
            user_id=text,
            url=text,
            referrer=text,
            session_id=text,
            path=text,
            properties={text: text},
        )
    for text in HOSTILE:
        for name in ("event", "anonymous_id", "user_id"):
            (row,) = project.stored(**{name: text})
            assert {
                row[field]
                for field in (
                    "event_name",
                    "event_id",
                    "anonymous_id",
                    "user_id",
                    "url",
                    "referrer",
                    "session_id",
                    "path",
                )
            } == {text}
            assert json.loads(row["properties"]) == {text: text}
        (row,) = project.journey(text)
        assert row["event_id"] == text
        assert project.ask("/v1/time-to-conversion", conversion=text, user_id=text)["seconds"] == 0


def test_properties_are_kept_to_the_letter(project: Project) -> None:
    kept = '{ "b":1e400, "a":123456789012345678901234567890.10, "a":null,\n"k":"\\u0000" }'
    reply = project.post("/v1/track", f'{{"event":"x","properties":{kept}}}'.encode())
    assert reply.status == 202
    (row,) = project.stored()
    assert row["properties"] == kept


def test_traits_survive_hostile_numbers(project: Project) -> None:
    project.post("/v1/identify", b'{"anonymous_id":"a","user_id":"u","traits":{"n":1e400}}')
    project.post("/v1/identify", b'{"anonymous_id":"a","user_id":"u","traits":{"plan":"pro"}}')
    reply = project.get("/v1/users/u")
    assert b'"traits":{"n":1e400,"plan":"pro"}' in reply.body


def test_ten_thousand_event_names_are_no_problem(project: Project) -> None:
    for start in range(0, 10_000, 1000):
        project.batch([{"event": f"name {number}"} for number in range(start, start + 1000)])
    assert len(project.stored(event="name 9999")) == 1


PARAMS: list[tuple[str, Json, str]] = [
    ("/v1/query", {"limit": 0}, "limit"),
    ("/v1/query", {"limit": 1001}, "limit"),
    ("/v1/query", {"limit": "many"}, "limit"),
    ("/v1/query", {"from": "yesterdays"}, "from"),
    ("/v1/query", {"to": "99999-01-01"}, "to"),
    ("/v1/query", {"cursor": "!!"}, "cursor"),
    ("/v1/query", {"cursor": "WzFd"}, "cursor"),
    ("/v1/query", {"cursor": "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OTksIngiXQ"}, "cursor"),
    ("/v1/query", {"evnet": "x"}, "evnet"),
    ("/v1/users", {"stitch": "all"}, "stitch"),
    ("/v1/users", {"format": "xml"}, "format"),
    ("/v1/users/u", {"stitch": ""}, "stitch"),
    ("/v1/users/u/events", {"phase": "during"}, "phase"),
    ("/v1/users/u/events", {"order": "random"}, "order"),
    ("/v1/time-to-conversion", {}, "conversion"),
    ("/v1/time-to-conversion", {"conversion": ""}, "conversion"),
]


@pytest.mark.parametrize(("path", "params", "field"), PARAMS)
def test_wrong_parameters_are_named(project: Project, path: str, params: Json, field: str) -> None:
    reply = project.get(path, **params)
    assert (reply.status, reply.error) == (400, "invalid_params")
    assert list(reply.json["details"]["fieldErrors"]) == [field]


def test_a_misspelt_parameter_is_guessed(project: Project) -> None:
    reply = project.get("/v1/query", evnet="x")
    assert "did you mean event?" in reply.json["details"]["message"]


def test_grouping_by_something_else_lists_what_is_allowed(project: Project) -> None:
    reply = project.get("/v1/time-to-conversion", conversion="x", group_by="source,shoe_size")
    assert (reply.status, reply.error) == (400, "invalid_group_by")
    allowed = reply.json["details"]["allowed"]
    assert allowed[:4] == ["source", "medium", "campaign", "channel"]
    assert "traits.KEY" in allowed


def test_unknown_routes_users_and_methods(project: Project) -> None:
    assert project.get("/v1/nothing").error == "not_found"
    assert project.get("/v1/users/nobody").error == "not_found"
    assert project.get("/v1/users/nobody/events").error == "not_found"
    assert project.get("/v1/track").error == "method_not_allowed"
    assert project.get("/v1/track").status == 405


def raw(server: Server, request: bytes) -> bytes:
    """What comes back on a connection of its own until the server closes it or answers."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname or "", address.port or 0), 60) as connection:
        try:
            connection.sendall(request)
            return connection.recv(65_536)
        except ConnectionError:
            return b""


def test_a_slow_body_is_cut_off_and_others_go_on(folder: Path) -> None:
    with Server(folder, THREADLINE_BODY_SECONDS="1") as server:
        project = Project(server)
        head = (
            "POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {project.keys['sk']}\r\nContent-Length: 100\r\n\r\n"
        )
        answered = raw(server, head.encode() + b'{"event":')
        assert b" 408 " in answered
        assert b"request_timeout" in answered
        project.track("x", event_id="e1")
        assert ids(project.stored()) == ["e1"]
        server.stop()


def test_huge_headers_are_cut_off(server: Server, project: Project) -> None:
    head = b"POST /v1/track HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 1_000_000 + b"\r\n\r\n"
    assert raw(server, head).partition(b"\r\n")[0] in (
        b"",
        b"HTTP/1.1 431 Request Header Fields Too Large",
    )
    project.track("x")


def test_many_large_bodies_at_once_are_turned_away(server: Server, project: Project) -> None:
    address = urlsplit(server.url)
    with ExitStack() as connections:

        def begin(headers: str, sent: int) -> socket.socket:
            """A request of 16 MiB, of which so many bytes are sent."""
            place = (address.hostname or "", address.port or 0)
            opened = connections.enter_context(socket.create_connection(place, 60))
            head = f"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: {16 * MIB}\r\n{headers}"
            opened.sendall(f"{head}\r\n".encode() + b" " * sent)
            return opened

        key = f"Authorization: Bearer {project.keys['sk']}\r\n"
        for _ in range(100):  # promises take no room
            begin(key, 1)
        for _ in range(8):
            begin(key, 15 * MIB)
        while body_bytes(project) < 8 * 15 * MIB:  # until it has come
            continue
        reply = begin(key, 16 * MIB).recv(65_536)
        assert b" 503 " in reply
        assert b"retry-after" in reply.lower()
        project.track("x", event_id="small ones still pass")
    while body_bytes(project):  # given back as soon as they are gone
        continue
    assert ids(project.stored()) == ["small ones still pass"]


def test_who_has_no_key_takes_no_room_from_those_who_have(server: Server, project: Project) -> None:
    address = urlsplit(server.url)
    with ExitStack() as connections:
        for _ in range(130):
            place = (address.hostname or "", address.port or 0)
            opened = connections.enter_context(socket.create_connection(place, 60))
            head = f"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: {MIB}\r\n\r\n"
            opened.sendall(head.encode() + b"{" * 200_000)
        events = [{"event": "x", "properties": {"text": "y" * 8000}}] * 100
        assert project.batch(events)["count"] == 100


def body_bytes(project: Project) -> int:
    lines = project.get("/metrics").body.decode().splitlines()
    return int(
        float(next(line for line in lines if line.startswith("threadline_body_bytes ")).split()[1])
    )


WHOLE: list[tuple[bytes, str]] = [
    (b'"\\ud83d"', "\ufffd"),
    (b'"\\udfff"', "\ufffd"),
    (b'"\\ud83d\\ud83d"', "\ufffd\ufffd"),
    (b'"\\ude00\\ud83d"', "\ufffd\ufffd"),
    (b'"\\ud83dx"', "\ufffdx"),
    (b'"\\ud83d\\u0041"', "\ufffdA"),
    (b'"\\ud83d\\ude00"', "\U0001f600"),
    (b'"\\\\ud83d"', "\\ud83d"),
    (b'"\xed\xa0\xbd"', "\ufffd"),
    (b'"\xed\xa0\xbd\xed\xb8\x80"', "\U0001f600"),
]


@pytest.mark.parametrize(("text", "stored"), WHOLE)
def test_half_a_character_costs_only_itself(project: Project, text: bytes, stored: str) -> None:
    events = [b'{"event":"a"}', b'{"event":"b","properties":{"t":%s}}' % text, b'{"event":"c"}']
    named = b'{"event":%s}' % text
    for path, body in (
        ("/v1/batch", b'{"events":[' + b",".join(events) + b"]}"),
        ("/v1/track", named),
        ("/v1/track", b'{"event":"d","unheard_of":%s}' % text),
    ):
        assert project.post(path, body).status == 202
    rows = {row["event_name"]: row for row in project.stored()}
    assert set(rows) == {"a", "b", "c", "d", stored}
    assert json.loads(rows["b"]["properties"]) == {"t": stored}


def test_empty_ids_are_none(project: Project) -> None:
    empty = {"anonymous_id": "", "user_id": "", "session_id": "", "event_id": ""}
    reply = project.post("/v1/batch", {"events": [{"event": "a", **empty}, {"event": "b"}]})
    assert reply.status == 202
    named = [(at["index"], at["field"], at["code"]) for at in reply.json["warnings"]]
    assert named == [(0, "user_id", "placeholder_id"), (0, "anonymous_id", "placeholder_id")]
    rows = project.stored()
    assert [row["user_id"] for row in rows] == [None, None]
    assert all(row["anonymous_id"] and row["event_id"] for row in rows)
    identified = {"anonymous_id": "a", "user_id": ""}
    assert project.post("/v1/identify", identified).status == 400
    assert project.post("/v1/forget", {"user_id": ""}).status == 400


def test_unknown_fields_are_named(project: Project) -> None:
    events = [
        {"event": "a", "anonymousId": "v", "source": "google"},
        {"event": "b", "anonymousId": "v", "x" * 5000: 1},
    ]
    reply = project.post("/v1/batch", {"events": events, "batchId": 7})
    assert reply.status == 202
    found = {at["field"]: (at["index"], at["message"]) for at in reply.json["warnings"]}
    assert {at["code"] for at in reply.json["warnings"]} == {"unknown_field"}
    assert found["anonymousId"] == (
        0,
        "There is no field 'anonymousId'; did you mean anonymous_id? It was ignored.",
    )
    assert found["source"] == (0, "source is set by the server. It was ignored.")
    assert found["batchId"][1].endswith("It was ignored.")
    assert max(map(len, found)) == 64
    answers = [
        project.post("/v1/track", {"event": "a", "plan": 1}),
        project.post("/v1/identify", {"anonymous_id": "a", "user_id": "u", "properties": {}}),
        project.post("/v1/forget", {"user_id": "u2", "reason": "asked"}),
        project.change("PUT", "/v1/identity/links", {"anonymous_id": "a", "user_id": "u", "x": 1}),
    ]
    assert [reply.json["warnings"][0]["code"] for reply in answers] == ["unknown_field"] * 4


def test_parameters_without_end_are_cut_off(project: Project) -> None:
    url = "https://shop.example/?" + "&".join(f"p{i}={i}" for i in range(100))
    reply = project.post("/v1/track", {"event": "x", "url": f"{url}&token=secret"})
    assert [(at["field"], at["code"]) for at in reply.json["warnings"]] == [("url", "cut")]
    (row,) = project.stored()
    assert row["url"] == url[: url.index("&p40=")]


MEMBERS = [b'{"events":[{"event":"a"},', b'{"event":"b"}', b"]}"]


def test_gzip_of_several_members(project: Project) -> None:
    whole = b"".join(map(gzip.compress, MEMBERS))
    for body in (whole, whole + b"\0" * 100):
        assert project.post("/v1/batch", body, Content_Encoding="gzip").status == 202
    assert len(project.stored()) == 4
    for damaged in (whole + b"more", whole[:-1], whole + whole[:20]):
        reply = project.post("/v1/batch", damaged, Content_Encoding="gzip")
        assert (reply.status, reply.error) == (400, "invalid_payload")
    tiny = gzip.compress(b" ") * 20_000
    assert project.post("/v1/batch", tiny, Content_Encoding="gzip").status == 400
    assert len(project.stored()) == 4


def test_a_byte_order_mark_is_none_of_the_body(project: Project) -> None:
    project.post("/v1/track", b'\xef\xbb\xbf{"event":"x"}')
    assert [row["event_name"] for row in project.stored()] == ["x"]


def test_a_number_for_a_time_is_told_what_it_looks_like(project: Project) -> None:
    for number, unit in ((1764583200, "seconds"), (1764583200000, "milliseconds")):
        reply = project.post("/v1/track", {"event": "x", "timestamp": number})
        (message,) = reply.json["details"]["fieldErrors"]["timestamp"]
        assert message.endswith(f"{number} looks like Unix {unit}")
