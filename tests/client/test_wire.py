"""The way to the server: redirects, proxies, and what the client may be told about it."""

import http.server
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Self

import pytest

from tests.client.moody import Moody
from threadline import APIError, Client
from threadline.client.address import find_proxy, parse, redirected

Headers = dict[str, str]


class Hop:
    """Answers as `answer` says, by the path, and keeps what it was asked."""

    def __init__(self, answer: Callable[[str], tuple[int, Headers]]) -> None:
        self.asked: list[tuple[str, str, bytes, Headers]] = []
        hop = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                hop.asked.append((self.command, self.path, body, dict(self.headers)))
                status, headers = answer(self.path)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": "0"}.items():
                    self.send_header(name, value)
                self.end_headers()

            do_GET = do_CONNECT = do_POST  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def moody() -> Iterator[Moody]:
    with Moody() as running:
        yield running


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_within_the_host_are_followed(status: int, moody: Moody) -> None:
    with Hop(lambda path: (status, {"Location": moody.url + path})) as hop:
        with Client("sk_1", f"http://127.0.0.1:{hop.port}/base") as client:
            client.track("x", {"n": "y" * 3000})
            assert client.flush()
            client.track("y")
        ((method, path, body, headers), _) = hop.asked
    assert (method, path, headers["Authorization"]) == ("POST", "/base/v1/batch", "Bearer sk_1")
    assert [event["event"] for event in moody.events] == ["x", "y"]
    assert (moody.requests[0].packed, client.dropped, len(body) > 0) == (True, 0, True)


@pytest.mark.parametrize(
    "location",
    ["http://elsewhere.invalid/v1/batch", "//elsewhere.invalid/", "ftp://127.0.0.1/", ""],
)
def test_other_redirects_keep_the_events_and_say_where_to(
    location: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[Exception] = []
    answers = iter([(307, {"Location": location})] * 2)
    with Hop(lambda _: next(answers, (202, {}))) as hop:
        client = Client("sk", f"http://127.0.0.1:{hop.port}", on_error=lambda e, _: lost.append(e))
        monkeypatch.setattr(client, "_pause", lambda seconds: True)
        with caplog.at_level(logging.WARNING, "threadline"):
            client.track("x")
            assert client.flush()
            client.close()
        assert [path for _, path, _, _ in hop.asked] == ["/v1/batch"] * 3
    assert (client.dropped, lost) == (0, [])
    assert caplog.text.count("307 redirected: the server points ") == 1
    assert location in caplog.text


def test_redirects_in_a_circle_end() -> None:
    with Hop(lambda path: (302, {"Location": path})) as hop:
        client = Client("sk", f"http://127.0.0.1:{hop.port}")
        with pytest.raises(APIError, match="at most 5 times") as refused:
            client.stats()
        assert refused.value.status == 302
        assert len(hop.asked) == 5
        client.close()


def test_the_key_goes_to_the_same_host_and_into_https_only() -> None:
    http, https = parse("http://a.example"), parse("https://a.example/x/")
    for location, port, path in (
        ("https://a.example/v1/batch?a=1", None, "/v1/batch?a=1"),
        ("http://A.example:81", 81, "/"),
        ("/v2", None, "/v2"),
        ("v2", None, "/v1/v2"),
    ):
        found = redirected(http, "/v1/batch", location)
        assert found
        assert (found[0].host, found[0].port, found[1]) == ("a.example", port, path)
    for location in ("http://a.example/", "https://b.example", "https://a.example.b/", "data:,"):
        assert redirected(https, "/x/v1/batch", location) is None
    assert redirected(http, "/v1/batch", "https://a.example:x/") is None


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)

    def set_to(**given: str) -> None:
        for name, value in given.items():
            monkeypatch.setenv(name, value)

    return set_to


def test_the_environments_proxy_is_taken(environ: Callable[..., None]) -> None:
    with Hop(lambda _: (202, {})) as hop:
        environ(HTTP_PROXY=f"http://ada:p%40ss@127.0.0.1:{hop.port}")
        with Client("sk", "http://stats.invalid:81/base") as client:
            client.track("x")
        ((method, path, _, headers),) = hop.asked
    assert (method, path) == ("POST", "http://stats.invalid:81/base/v1/batch")
    assert (headers["Host"], headers["Proxy-Authorization"]) == (
        "stats.invalid:81",
        "Basic YWRhOnBAc3M=",
    )
    assert client.dropped == 0


def test_https_goes_through_the_proxy_as_a_tunnel(environ: Callable[..., None]) -> None:
    with Hop(lambda _: (403, {})) as hop:
        environ(https_proxy=f"127.0.0.1:{hop.port}")
        client = Client("sk", "https://stats.invalid", exit_timeout_s=0)
        client.track("x")
        client.close()
        method, path, _, headers = hop.asked[0]
    assert (method, path) == ("CONNECT", "stats.invalid:443")
    assert "Authorization" not in headers


def test_the_option_is_more_than_the_environment(
    environ: Callable[..., None], moody: Moody
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as unused:
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
    environ(http_proxy=nobody)
    with Hop(lambda _: (202, {})) as hop:
        with Client("sk", "http://stats.invalid", proxy=f"http://127.0.0.1:{hop.port}") as client:
            client.track("x")
        assert len(hop.asked) == 1
    with Client("sk", moody.url, proxy="") as client:
        client.track("x")
    assert len(moody.events) == 1


def test_which_proxy_is_taken(environ: Callable[..., None]) -> None:
    http, https = parse("http://a.example"), parse("https://b.a.example:444")
    assert find_proxy(http, None) is None
    environ(all_proxy="http://all:1", HTTPS_PROXY="http://secure")
    assert [find_proxy(address, None) for address in (http, https)] == [
        ("all", 1, {}),
        ("secure", 80, {}),
    ]
    for excepted in ("a.example", ".a.example", "*", "x, b.a.example:444"):
        environ(NO_PROXY=excepted)
        assert find_proxy(https, None) is None
    environ(NO_PROXY="other.example")
    assert find_proxy(https, None)
    for here in ("http://localhost:8787", "http://127.0.0.1", "http://[::1]:1"):
        assert find_proxy(parse(here), None) is None
        assert find_proxy(parse(here), "http://p:1")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"host": "localhost:8787"}, "host has to look like https://stats.example.com, not"),
        ({"host": "https://a.example:x"}, "host has to look like"),
        ({"host": "https://a b.example"}, "host has to look like"),
        ({"host": "https://a.example/?a=1"}, "host has to look like"),
        ({"host": "https://ada@a.example"}, "host has to look like"),
        ({"host": f"https://{'a' * 70}.example"}, "host has to look like"),
        ({"host": 8787}, "host has to look like"),
        ({"key": "sk_\nx"}, "key has to be text like sk_live_…"),
        ({"key": "sk_ü"}, "key has to be text like sk_live_…"),
        ({"key": b"sk"}, "key has to be text like sk_live_…"),
        ({"proxy": "socks5://a"}, "proxy has to look like http://proxy.example:3128, not"),
        ({"flush_at": 0}, "flush_at has to be a number of events, at least 1, not 0"),
        ({"flush_at": "100"}, "flush_at has to be a number of events, at least 1, not '100'"),
        ({"flush_at": 1.5}, "flush_at has to be a number of events"),
        ({"max_queue": True}, "max_queue has to be a number of events"),
        ({"flush_interval_s": -1}, "flush_interval_s has to be seconds, at least 0, not -1"),
        ({"flush_interval_s": float("inf")}, "flush_interval_s has to be seconds"),
        ({"timeout_s": 0}, "timeout_s has to be seconds"),
        ({"timeout_s": None}, "timeout_s has to be seconds"),
        ({"exit_timeout_s": float("nan")}, "exit_timeout_s has to be seconds"),
        ({"when_full": "drop"}, "when_full has to be 'drop_oldest' or 'drop_newest', not 'drop'"),
        ({"on_error": "log"}, "on_error has to be a function"),
        ({"spool": True}, "spool has to be a folder, not True"),
    ],
)
def test_what_cannot_be_meant_is_said(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match="has to") as refused:
        Client(**{"key": "sk", "host": "http://127.0.0.1:9", **options})
    assert sentence in str(refused.value)


def test_a_wrong_environment_is_said(
    environ: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    import threadline

    environ(THREADLINE_SDK_KEY="sk", THREADLINE_SDK_HOST="stats")
    with pytest.raises(ValueError, match="THREADLINE_SDK_HOST has to look like"):
        Client()
    # A program that only tracks goes on.
    threadline.close()
    with caplog.at_level(logging.ERROR, "threadline"):
        threadline.track("x")
        threadline.track("y")
    assert caplog.text.count("nothing is sent: THREADLINE_SDK_HOST has to look like") == 1
    threadline.close()
    environ(THREADLINE_SDK_HOST="http://a.example", http_proxy="ftp://p")
    with pytest.raises(ValueError, match="HTTP_PROXY has to look like"):
        Client()
    assert Client(" sk\n", proxy="")._wire._headers["Authorization"] == "Bearer sk"
