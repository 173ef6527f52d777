"""What the server adds to each event."""

import json
from pathlib import Path

from tests.support import ORIGIN, Project, Server
from threadline.contract.ids import is_placeholder, read_placeholders
from threadline.enrich import address_hash, cookieless_id, session_id, time_ordered_id

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/141.0.0.0 Safari/537.36"
)


def test_a_session_is_half_an_hour_of_a_visitor() -> None:
    assert session_id("a", 1_800_000 * 7) == "a-7"
    assert session_id("a", 1_800_000 * 8 - 1) == "a-7"
    assert session_id("a", 1_800_000 * 8) == "a-8"


def test_hashes_of_addresses_depend_on_salt_project_and_address() -> None:
    salt = b"s" * 32
    hashes = {
        address_hash(*args)
        for args in [
            (salt, "p", "1.2.3.4"),
            (salt, "q", "1.2.3.4"),
            (salt, "p", "1.2.3.5"),
            (b"t" * 32, "p", "1.2.3.4"),
            (salt, "p1", ".2.3.4"),
        ]
    }
    assert len(hashes) == 5
    assert {len(digest) for digest in hashes} == {16}
    assert cookieless_id(salt, "p", "1.2.3.4", "ab") != cookieless_id(salt, "p", "1.2.3.4a", "b")


def test_ids_sort_in_the_order_they_were_made() -> None:
    made = [time_ordered_id() for _ in range(10_000)]
    assert made == sorted(set(made))


def test_an_event_is_enriched(project: Project) -> None:
    project.post(
        "/v1/track",
        {
            "event": "x",
            "anonymous_id": "a",
            "timestamp": "2026-05-01T14:29:59Z",
            "url": "https://shop.example/pricing?x=1",
            "user_agent": CHROME,
        },
    )
    (row,) = project.stored()
    found = {
        name: row[name]
        for name in ("path", "session_id", "device_type", "browser", "os", "country")
    }
    assert found == {
        "path": "/pricing",
        "session_id": "a-987580",
        "device_type": "desktop",
        "browser": "chrome",
        "os": "windows",
        "country": None,
    }


def test_click_ids_are_among_the_properties(project: Project) -> None:
    """As sent otherwise, and what was sent wins."""
    url = "https://shop.example/?GCLID=Cj%220&sccid=1&mc_eid=&x=2#fbclid=3"
    properties = '{"b":1e3,"gclid":"own","b":2}'
    project.post("/v1/track", b'{"event":"x","url":"%b"}' % url.encode())
    raw = b'{"event":"y","url":"%b","properties":%b}' % (url.encode(), properties.encode())
    project.post("/v1/track", raw)
    project.post("/v1/track", b'{"event":"z","properties":%b}' % properties.encode())
    z, y, x = (row["properties"] for row in project.stored())
    assert json.loads(x) == {"ScCid": "1", "fbclid": "3", "gclid": 'Cj"0'}
    assert y == '{"fbclid":"3","ScCid":"1","b":1e3,"gclid":"own","b":2}'
    assert z == properties


def test_what_the_client_says_wins_where_it_may(project: Project) -> None:
    project.track(
        "x",
        path="/own",
        session_id="mine",
        source="forged",
        browser="forged",
        received_at="2020-01-01T00:00:00Z",
    )
    (row,) = project.stored()
    assert (row["path"], row["session_id"]) == ("/own", "mine")
    assert "forged" not in (row["source"], row["browser"])


def test_events_without_an_id_get_one(project: Project) -> None:
    for key in ("sk", "sk", "pk", "pk"):
        project.post("/v1/track", {"event": key}, key=key, User_Agent=CHROME)
    project.post("/v1/track", {"event": "other browser"}, key="pk", User_Agent="other")
    made: dict[str, set[str]] = {row["event_name"]: set() for row in project.stored()}
    for row in project.stored():
        made[row["event_name"]].add(row["anonymous_id"])
    assert len(made["sk"]) == 2, "random for each event of a server"
    assert len(made["pk"]) == 1, "one for this browser today"
    assert made["pk"] != made["other browser"]


def test_made_ids_never_link(project: Project) -> None:
    """Two people behind one address and browser must not become one."""
    project.post("/v1/track", {"event": "browse", "event_id": "e1"}, key="pk")
    project.post("/v1/track", {"event": "signup", "event_id": "e2", "user_id": "u"}, key="pk")
    assert [row["event_id"] for row in project.journey("u")] == ["e2"]
    assert project.ask("/v1/users/u")["devices"] == []


def test_headers_are_trusted_only_when_configured(server: Server, folder: Path) -> None:
    headers = {"CF-IPCountry": "de", "X-Forwarded-For": "9.9.9.9, 1.2.3.4"}

    def visitor(project: Project, **more: str) -> tuple[str | None, str]:
        authorization = {"Authorization": f"Bearer {project.keys['pk']}", "Origin": ORIGIN}
        project.send("POST", "/v1/track", '{"event":"x"}', {**authorization, **headers, **more})
        row = project.stored()[0]
        return row["country"], row["anonymous_id"]

    plain = Project(server)
    assert visitor(plain)[0] is None
    forged = {"X-Forwarded-For": "8.8.8.8"}
    assert visitor(plain)[1] == visitor(plain, **forged)[1]

    environ = {
        "THREADLINE_COUNTRY_HEADER": "CF-IPCountry",
        "THREADLINE_CLIENT_ADDRESS_HEADER": "X-Forwarded-For",
    }
    with Server(folder, **environ) as trusting:
        project = Project(trusting)
        country, first = visitor(project)
        assert country == "DE"
        assert visitor(project, **forged)[1] != first
        prepended = {"X-Forwarded-For": "7.7.7.7, 1.2.3.4"}
        assert visitor(project, **prepended)[1] == first, "only the proxy's own entry counts"
        assert visitor(project, **{"CF-IPCountry": "<script>"})[0] is None
        trusting.stop()


def test_placeholder_ids_are_refused_or_dropped(project: Project) -> None:
    for bad in (
        "undefined",
        "NULL",
        " guest ",
        "[object Object]",
        "0",
        "  ",
        "00000000-0000-0000-0000-000000000000",
    ):
        reply = project.post("/v1/identify", {"anonymous_id": "a", "user_id": bad})
        assert (reply.status, reply.error) == (400, "placeholder_id")
        reply = project.post("/v1/identify", {"anonymous_id": bad, "user_id": "u"})
        assert (reply.status, reply.error) == (400, "placeholder_id")
        answer = project.batch(
            [{"event": "x"}, {"event": bad, "user_id": bad, "anonymous_id": bad}]
        )
        (user, device) = answer["warnings"]
        assert (user["index"], user["field"], user["code"]) == (1, "user_id", "placeholder_id")
        assert (device["index"], device["field"]) == (1, "anonymous_id")
        (row,) = project.stored(event=bad)
        assert row["user_id"] is None
        assert row["anonymous_id"] != bad
    assert project.ask("/v1/users")["rows"] == []
    assert "warnings" not in project.track("x")


def test_a_project_may_have_placeholders_of_its_own() -> None:
    own = read_placeholders(["Tester", " kunde "])
    for identifier in ("tester", "Kunde", "undefined", " ", "NULL", "n/a", "\\N", "Email"):
        assert is_placeholder(identifier, own)
    assert not is_placeholder("tester")
    assert not is_placeholder("tester2", own)
