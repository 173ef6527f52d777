"""The visitor's id through a site on every stack: from page to page, through login and logout."""

import http.client
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode
from wsgiref.util import setup_testing_defaults

import pytest

import threadline
from tests.client.stacks import STACKS, serve
from threadline import testing
from threadline.client.visit import RequestInfo, Rules, Visit
from threadline.client.wsgi import Middleware

BROWSER = "Mozilla/5.0 Firefox/140.0"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Site:
    """One stack, as a browser asks it, without keeping cookies."""

    def __init__(self, port: int) -> None:
        self._port = port

    def ask(
        self, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[str, list[str], str]:
        """The `Set-Cookie`, what the answer varies by, and the text."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        given = {"Host": "shop.example", "User-Agent": BROWSER, **(headers or {})}
        connection.request("GET" if body is None else "POST", path, body, given)
        response = connection.getresponse()
        text = response.read().decode()
        assert response.status == 200, text
        connection.close()
        vary = response.headers.get("Vary", "").split(", ")
        return response.headers.get("Set-Cookie", ""), vary, text


@pytest.fixture
def recorded() -> Iterator[testing.Recorder]:
    with testing.record() as recorder:
        yield recorder


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def id_in(cookie: str) -> str:
    found = re.match(r"tl_aid=([^;]+)", cookie)
    assert found, cookie
    return found[1]


def asked_with(headers: Mapping[str, str]) -> RequestInfo:
    return RequestInfo(
        method="GET",
        scheme="https",
        host="shop.example",
        path="/",
        header=lambda name: headers.get(name, ""),
        peer="203.0.113.7",
    )


def test_a_visit_is_one_thread(stack: str, recorded: testing.Recorder) -> None:
    with serve(stack, {}) as port:
        site = Site(port)
        cookie, vary, page = site.ask("/?gclid=1", headers={"Referer": "https://www.google.com/"})
        visitor = id_in(cookie)
        assert f'<meta name="threadline-aid" content="{visitor}">' in page
        assert {"Max-Age=34560000", "Path=/", "SameSite=Lax", "HttpOnly"} <= set(cookie.split("; "))
        assert "Secure" not in cookie  # it came by http
        assert "Cookie" in vary

        kept = {"Cookie": f"other=1; tl_aid={visitor}"}
        body = urlencode({"account": "user_42"})
        referer = {"Referer": "https://shop.example/pricing"}
        cookie, _, text = site.ask("/signup", body, {**kept, **FORM, **referer})
        assert (cookie, json.loads(text)) == ("", {"anonymous_id": visitor})
        # The next page keeps the id alive, whoever is logged in.
        cookie, _, _ = site.ask("/", headers=kept)
        assert id_in(cookie) == visitor
    assert recorded.names() == ["$identify", "signup"]
    for event in recorded.recorded:
        assert event["anonymous_id"] == visitor
        assert event["user_id"] == "user_42"
        assert event["url"] == "http://shop.example/signup"
        assert event["referrer"] == "https://shop.example/pricing"
        assert (event["user_agent"], event["ip"]) == (BROWSER, "127.0.0.1")
    assert recorded.recorded[0]["properties"] == {"plan": "weaver"}


def test_the_browsers_own_id_wins(stack: str, recorded: testing.Recorder) -> None:
    def visitor(body: str = "", **headers: str) -> str:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        _, _, text = site.ask("/signup", body, {"Cookie": "tl_aid=old", **named})
        return str(json.loads(text)["anonymous_id"])

    with serve(stack, {}) as port:
        site = Site(port)
        form = {"Content_Type": FORM["Content-Type"]}
        sent = {"Content_Type": "application/json; charset=utf-8"}
        assert visitor(X_Threadline_Anonymous_Id="new") == "new"
        assert visitor("anonymous_id=new&a=b", **form) == "new"
        assert visitor('{"anonymous_id": "new"}', **sent) == "new"
        # From another site, or what is none.
        assert visitor("anonymous_id=new", Origin="https://evil.example", **form) == "old"
        assert visitor("anonymous_id=new", Origin="http://shop.example", **form) == "new"
        assert visitor("anonymous_id=" + "x" * 70_000, **form) == "old"
        for broken in ("{", "[]", '{"anonymous_id": 1}', '{"anonymous_id": "a;b"}', "[" * 9000):
            assert visitor(broken, **sent) == "old"
        assert visitor(X_Threadline_Anonymous_Id="a b") == "old"
        assert visitor(X_Threadline_Anonymous_Id="x" * 129) == "old"
        # What wins goes into the cookie.
        given = {"Cookie": "tl_aid=old", "X-Threadline-Anonymous-Id": "new"}
        cookie, _, _ = site.ask("/track", "", given)
        assert id_in(cookie) == "new"


def test_only_what_needs_a_cookie_sets_one(stack: str, recorded: testing.Recorder) -> None:
    with serve(stack, {}) as port:
        site = Site(port)
        assert site.ask("/api")[0] == ""
        assert site.ask("/shared")[0] == ""  # a cache would give it to everybody
        cookie, _, _ = site.ask("/track")
        assert id_in(cookie) == recorded.recorded[0]["anonymous_id"]
        for broken in ("tl_aid=", "tl_aid=a b", "tl_aid", ";;;", "tl_aid=\x7f", "=" * 4000):
            assert id_in(site.ask("/", headers={"Cookie": broken})[0]) != ""


def test_who_asks_not_to_be_tracked_is_not(stack: str, recorded: testing.Recorder) -> None:
    with serve(stack, {}) as port:
        for signal in ("DNT", "Sec-GPC"):
            given = {"Cookie": "tl_aid=old", signal: "1"}
            cookie, _, page = Site(port).ask("/", headers=given)
            assert (cookie, page) == ("", "<head></head>")
            Site(port).ask("/signup", "", given)
    for event in recorded.recorded:
        assert event.keys() <= {"event", "event_id", "timestamp", "user_id", "properties"}
    with serve(stack, {"respect_dnt": False}) as port:
        assert Site(port).ask("/", headers={"DNT": "1"})[0]


def test_an_administrator_is_not_their_customer(stack: str, recorded: testing.Recorder) -> None:
    if stack in ("django", "django-async", "flask"):
        return  # who is logged in is the framework's to say: see the examples
    with serve(stack, {"user_id": lambda _: "admin"}) as port:
        Site(port).ask("/as-admin")
        Site(port).ask("/track")
        Site(port).ask("/signup", "", {"Cookie": "tl_aid=v1"})
    approved, seen, own, identified, signup = recorded.recorded
    assert "anonymous_id" not in approved
    assert "ip" not in approved
    assert (seen["anonymous_id"], seen.get("user_id")) == ("another visitor", None)
    assert (own["user_id"], own["ip"]) == ("admin", "127.0.0.1")
    # Who signs in while another is still logged in is this visitor, too.
    for event in (identified, signup):
        assert (event["user_id"], event["anonymous_id"]) == ("user_42", "v1")


def test_a_webhook_is_no_visitor(stack: str, recorded: testing.Recorder) -> None:
    """A payment provider's server calls: its agent and address are not the customer's."""
    given = {"User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)"}
    given["Content-Type"] = "application/json; charset=utf-8"
    with serve(stack, {}) as port:
        cookie, _, _ = Site(port).ask("/webhook", '{"id": "evt_1"}', given)
        assert cookie == ""
        Site(port).ask("/webhook", "", {"Cookie": "tl_aid=v1"})
    identified, purchase, renewal, mailed = recorded.recorded[:4]
    bare = {"event", "event_id", "timestamp", "properties", "user_id"}
    assert identified.keys() == purchase.keys() == bare
    assert {event["user_id"] for event in (identified, purchase, mailed)} == {"ada"}
    assert mailed.keys() == bare - {"properties"}
    assert renewal.keys() == bare - {"properties"} | {"anonymous_id"}
    # A visitor who brings their id is one, whoever they say they are.
    for event in (recorded.recorded[4], recorded.recorded[5], recorded.recorded[7]):
        assert (event["anonymous_id"], event["ip"]) == ("v1", "127.0.0.1")
    assert recorded.recorded[6]["anonymous_id"] == "v_of_bob"
    assert "ip" not in recorded.recorded[6]


def test_a_webhooks_jobs_are_no_visitors_either(recorded: testing.Recorder) -> None:
    for headers in ({}, {"cookie": "tl_aid=v1"}):
        visit = Visit(asked_with(headers), Rules())
        with threadline.use_context(visit.context):
            fields = threadline.inject()
        with threadline.use_context(threadline.extract(json.loads(json.dumps(fields)))):
            threadline.track("purchase", user_id="ada")
            threadline.track("visit")
    webhook, anonymous, purchase, _ = recorded.recorded
    assert webhook.keys() == {"event", "event_id", "timestamp", "user_id"}
    assert anonymous["anonymous_id"]
    assert (purchase["anonymous_id"], purchase["url"]) == ("v1", "https://shop.example/")


def test_what_is_said_to_be_the_visitors_is(recorded: testing.Recorder) -> None:
    visit = Visit(asked_with({}), Rules())
    with threadline.use_context(visit.context):
        visit.identify("ada")
        threadline.track("signup")
    for event in recorded.recorded:
        assert (event["anonymous_id"], event["user_id"]) == (visit.anonymous_id, "ada")
        assert event["url"] == "https://shop.example/"


def test_an_answer_in_parts_serves_its_visitor(stack: str, recorded: testing.Recorder) -> None:
    with serve(stack, {}) as port:
        _, _, text = Site(port).ask("/stream", headers={"Cookie": "tl_aid=v1"})
        assert text == "firstsecond"
        Site(port).ask("/stream", headers={"Cookie": "tl_aid=v2"})
    assert recorded.names() == ["first", "second"] * 2
    assert [event["anonymous_id"] for event in recorded.recorded] == ["v1", "v1", "v2", "v2"]
    assert {event["url"] for event in recorded.recorded} == {"http://shop.example/stream"}


def test_a_stream_of_wsgi_is_closed_and_a_file_stays_one() -> None:
    closed = []

    class Parts:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"a"])

        def close(self) -> None:
            closed.append(threadline.inject()["anonymous_id"])

    class File(Parts):
        pass

    for parts in (Parts(), File(), [b"a"]):
        environ: dict[str, Any] = {"HTTP_COOKIE": "tl_aid=v1", "wsgi.file_wrapper": File}
        setup_testing_defaults(environ)
        app = Middleware(lambda environ, start, parts=parts: parts)
        answer = app(environ, lambda *_: None)
        assert list(answer) == [b"a"]
        assert (answer is parts) == (type(parts) is not Parts)
    environ = {"HTTP_COOKIE": "tl_aid=v1"}
    setup_testing_defaults(environ)
    Middleware(lambda *_: Parts())(environ, lambda *_: None).close()  # type: ignore[attr-defined]
    assert closed == ["v1"]
    assert threadline.inject() == {}


def test_who_is_logged_in_may_be_unknown(
    recorded: testing.Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    with serve("fastapi", {"user_id": lambda scope: scope["session"].get("user")}) as port:
        for _ in range(2):
            Site(port).ask("/track", headers={"Cookie": "tl_aid=v1"})
    assert [event["anonymous_id"] for event in recorded.recorded] == ["v1", "v1"]
    assert "user_id" not in recorded.recorded[0]
    assert caplog.text.count("KeyError: 'session'); add SessionMiddleware") == 1


def test_proxies_are_believed_if_they_are_ours(stack: str, recorded: testing.Recorder) -> None:
    given = {
        "X-Forwarded-For": "192.0.2.66, 203.0.113.7, 10.0.0.3",
        "X-Forwarded-Proto": "https, http",
        "X-Forwarded-Host": "www.shop.example",
    }
    with serve(stack, {"trusted_proxies": ["127.0.0.0/8", "10.0.0.0/8"]}) as port:
        cookie, _, _ = Site(port).ask("/track?a=1", headers=given)
        assert "Secure" in cookie
    with serve(stack, {}) as port:
        Site(port).ask("/track", headers=given)
        Site(port).ask("/track?" + "x" * 5000, headers={"Referer": "https://a/" + "x" * 5000})
    trusting, wary, long = recorded.recorded
    assert len(long["url"]) == len(long["referrer"]) == 2048  # or the server would refuse it
    assert (trusting["ip"], trusting["url"]) == (
        "203.0.113.7",
        "https://www.shop.example/track?a=1",
    )
    assert (wary["ip"], wary["url"]) == ("127.0.0.1", "http://shop.example/track")


def test_the_cookie_is_as_the_site_wants_it(stack: str) -> None:
    rules = {"cookie": "aid", "domain": "shop.example", "http_only": False, "secure": True}
    with serve(stack, rules) as port:
        cookie, _, _ = Site(port).ask("/")
    parts = set(cookie.split("; "))
    assert {"Domain=shop.example", "Secure", "SameSite=Lax"} <= parts
    assert "HttpOnly" not in parts
    assert cookie.startswith("aid=")


def test_rules_that_are_none_are_refused() -> None:
    from django.core.exceptions import ImproperlyConfigured

    for stack in ("wsgi", "asgi"):
        with pytest.raises(TypeError, match="cokie"), serve(stack, {"cokie": "x"}):
            pass
    with pytest.raises(ImproperlyConfigured, match="cokie"), serve("django", {"cokie": "x"}):
        pass
    with (
        pytest.raises(ValueError, match="nowhere"),
        serve("wsgi", {"trusted_proxies": ["nowhere"]}),
    ):
        pass


def test_a_site_may_say_who_its_visitor_is() -> None:
    visit = Visit(asked_with({"cookie": "tl_aid=old"}), Rules())
    assert visit.cookie(200, "application/json", "") is None
    visit.set_anonymous_id("new")
    assert visit.html() == '<meta name="threadline-aid" content="new">'
    assert visit.context.visitor() == "new"
    assert str(visit.cookie(200, "application/json", "")).startswith("tl_aid=new; ")
    with pytest.raises(ValueError, match="does not fit into a cookie"):
        visit.set_anonymous_id("a; b")
