"""Filters made to break: whatever is written, the answer is the truth or a sentence that helps."""

from urllib.parse import quote

import pytest

from tests.support import Json, Project, Reply, Server

LOG: list[Json] = [
    {"event": "signup", "anonymous_id": "a", "user_id": "ann", "url": "https://shop.example/x",
     "properties": {"n": "inf"}},
    {"event": "$identify", "anonymous_id": "a", "user_id": "ann", "properties": {"plan": "pro"}},
    {"event": "purchase", "user_id": "ann", "properties": {"n": 5.0, "x') OR 1=1 --": "y"}},
]  # fmt: skip


@pytest.fixture(scope="module")
def shop(server: Server) -> Project:
    Project(server).track("secret", user_id="spy", properties={"x": "y"})
    project = Project(server)
    project.batch(LOG)
    return project


def count(project: Project, filters: str) -> int:
    rows = project.ask("/v1/stats", filters=filters)["rows"]
    return int(rows[0]["value"]) if rows else 0


# What reads like SQL, a slot or a bound value is a text like any other.
TEXTS = [
    ("properties.x'\\) OR 1\\=1 --==y", 1),
    ("properties.x'\\) OR 1\\=1 --!=y", 2),
    ("properties.n==5' OR '1'='1", 0),
    ("path==' OR project_id != '", 0),
    ("path=={project_id:String}", 0),
    ("path==$who", 0),
    ("traits.$key==x", 0),
    ("traits.{filter_1:String}==x", 0),
    ("traits.'==x", 0),
    ("properties.`==x", 0),
    ("event==secret", 0),
    ("user_id==spy", 0),
    ("did==secret", 0),
    ("did=='\\; DROP TABLE events --", 0),
    ("path==\x00", 0),
    ("properties.\x00==x", 0),
    ("traits.\x00==x", 0),
    ("path==" + "\\" * 3000, 0),
    ("path=^" + "*a" * 1500, 0),
    ("path=^" + "%_" * 900, 0),
    ("path=^\\", 0),
    ("path=~(a*)*b", 0),
    ("path=~[\\x{10000}-\\x{10FFFF}]{200}", 0),
    ("properties.n>4", 1),
    ("properties.n>" + "9" * 3000, 0),
    ("properties.n>1e99", 0),
    ("properties.n>0001-01-01T00:00:00+23:59", 0),
    ("properties.n>9999-12-31T23:59:59Z", 0),
    ("devices==" + "9" * 400, 0),
    ("did(99999w,999999)==signup", 0),
]


@pytest.mark.parametrize(("filters", "expected"), TEXTS)
def test_a_text_is_a_text(shop: Project, filters: str, expected: int) -> None:
    assert count(shop, filters) == expected


# Each with what the sentence has in it: what is wrong, or the way out.
REFUSED = [
    ("a" * 4001, "at most 4000 characters"),
    ("a" * 4000, "write a name, an operator and a value"),
    (";".join(["path==/"] * 31), "at most 30 conditions"),
    ("path==/" + "|/" * 250, "at most 200 values"),
    ("path=~" + "a" * 301, "at most 300 characters"),
    ("path=~(a{1000}){1000}", "RE2"),
    ("path=~((((a{10}){10}){10}){10}){10}", "RE2"),
    ("path=~(?i)\\pL{900}", "RE2"),
    ("path=~(?=a)", "RE2"),
    ("path=~(?P<n>a)\\1", "RE2"),
    ("path=~[", "RE2"),
    ("path=~;", "the regular expression is empty"),
    ("path=@", "write (none) for absent"),
    ("path==a||b", "write (none) for absent"),
    ("path=@(none)", "== or !="),
    ("did(0d)==x", "did(30d)"),
    ("did(1y)==x", "did(30d)"),
    ("did(1d,0)==x", "from 1 on"),
    ("did(30d==x", "is not a condition"),
    ("properties.n>1e400", "takes a number or a time"),
    ("properties.n>NaN", "takes a number or a time"),
    ("properties.n>2026-13-01", "takes a number or a time"),
    ("devices>nan", "takes a number"),
    ("properties.==x", "properties.KEY"),
    ("properties.x') OR 1=1 --==y", "write == for equal"),
    ("first.first.source==x", "did you mean first.source?"),
    ("==", "is not a condition"),
    ("\x00", "is not a condition"),
    (";;;;", "at least one condition"),
    (" ; ; ", "at least one condition"),
    ("event>5", "event takes"),
    ("known=~t", "known takes"),
]


def said(reply: Reply) -> str:
    assert (reply.status, reply.error) == (400, "invalid_params"), reply
    return str(reply.json["details"]["fieldErrors"]["filters"][0])


@pytest.mark.parametrize(("filters", "way_out"), REFUSED)
def test_a_refusal_says_the_way_out(shop: Project, filters: str, way_out: str) -> None:
    message = said(shop.get("/v1/stats", filters=filters))
    assert way_out in message
    assert len(message) < 1000


@pytest.mark.parametrize("path", ["/v1/stats", "/v1/visits", "/v1/attribution", "/v1/funnel"])
def test_no_question_takes_what_cannot_be_read(shop: Project, path: str) -> None:
    asked = {"/v1/attribution": {"conversion": "x"}, "/v1/funnel": {"steps": "a,b"}}.get(path, {})
    for filters, way_out in REFUSED[::3]:
        assert way_out in said(shop.get(path, filters=filters, **asked))


@pytest.mark.parametrize("raw", ["%ff%fe==x", "%00", "path%3D%3D%ff", "path==%ED%A0%80", "path==%"])
def test_what_is_no_text_breaks_nothing(shop: Project, raw: str) -> None:
    headers = {"Authorization": f"Bearer {shop.keys['rk']}"}
    reply = shop.send("GET", f"/v1/stats?filters={raw}", headers=headers)
    assert reply.status in (200, 400)
    assert reply.status == 400 or reply.json["rows"] == [{"value": 0}]


def test_filters_twice_are_refused(shop: Project) -> None:
    headers = {"Authorization": f"Bearer {shop.keys['rk']}"}
    twice = f"filters={quote('path==a')}&filters={quote('path==b')}"
    reply = shop.send("GET", f"/v1/stats?{twice}", headers=headers)
    assert "once" in said(reply)


# As many conditions as there may be, each of its own kind; all hold of everybody.
MANY = {
    "did": [f"did({n + 1}d,{n % 3 + 1})!=e{n}" for n in range(30)],
    "last and first": [
        f"{name}!=x{n}"
        for n in range(5)
        for name in ("last.source", "last.path", "last.country", "first.path", "first.source",
                     "user_id")
    ],
    "traits": [f"traits.k{n}!=x" for n in range(30)],
    "properties": [f"properties.k{n}!=x" for n in range(30)],
    "expressions": ["path=~(a|b|c){50}x|.*"] * 30,
    "all at once": [
        condition
        for n in range(6)
        for condition in (f"did({n + 1}d)!=e{n}", f"last.path!=p{n}", f"first.path!=q{n}",
                          f"traits.t{n}!=1", f"properties.p{n}!=2")
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", MANY)
def test_as_many_conditions_as_may_be_are_answered(shop: Project, name: str) -> None:
    filters = ";".join(MANY[name])
    assert len(MANY[name]) == 30
    assert count(shop, filters) == 3
