"""Below a path of a site that is there already, `/stats`: whatever leads back to us has it, whether
the proxy keeps it or takes it away."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.access.browser import Browser, add, signed_in
from tests.access.provider import CLIENT, SECRET, Provider
from tests.cli.test_commands import fails, ok
from tests.support import Project, Server
from threadline.http.asgi import Scope
from threadline.http.request import Request
from threadline.settings import Settings

PREFIX = {"THREADLINE_PREFIX": "/stats"}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="module")
def house(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(
        tmp_path_factory.mktemp("below"),
        THREADLINE_PREFIX="/stats/",
        THREADLINE_CLIENT_ADDRESS_HEADER="X-Forwarded-For",
        THREADLINE_TRUSTED_PROXIES="2",
        THREADLINE_OIDC_ISSUER=provider.url,
        THREADLINE_OIDC_CLIENT_ID=CLIENT,
        THREADLINE_OIDC_CLIENT_SECRET=SECRET,
    ) as running:
        add(running, "owner", "first@people.example")
        yield running
        assert running.stop() == 0
        assert '"error"' not in "".join(running.lines)


@pytest.fixture
def shop(house: Server) -> Project:
    return Project(house)


@pytest.mark.parametrize("before", ["/stats", "", "//stats", "/stats/"])
def test_every_route_is_there_with_the_prefix_and_without(before: str, shop: Project) -> None:
    sent = shop.post(f"{before}/v1/track", {"event": "x", "user_id": "a/b", "anonymous_id": "d"})
    assert sent.status == 202, sent
    assert shop.get(f"{before}/v1/users/a%2Fb").json["user_id"] == "a/b"
    for path in ("/readyz", "/v1/a.js", "/docs/api", "/dashboard/people/a%2Fb"):
        assert shop.send("GET", before + path).status == 200, path
    preflight = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    assert shop.send("OPTIONS", f"{before}/v1/track", headers=preflight).status == 204


def test_what_only_looks_like_the_prefix_is_none(shop: Project) -> None:
    reply = shop.send("GET", "/statsx/readyz")
    assert reply.status == 404
    assert (
        "There is no route /statsx/readyz; see /stats/docs/api/."
        in reply.json["details"]["message"]
    )


def test_redirects_and_files_have_it(shop: Project) -> None:
    for path in ("/stats", "/stats/", "/"):
        assert shop.send("GET", path).headers["Location"] == "/stats/dashboard/"
    page = shop.send("GET", "/stats/dashboard/people").body.decode()
    addresses = re.findall(r'(?:href|src|data-root)="(/[^"]*)"', page)
    assert len(addresses) > 4
    for address in addresses:
        assert address.startswith("/stats/dashboard/"), address
        assert shop.send("GET", address).status == 200, address
    packed = shop.send("GET", "/stats/dashboard/", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["ETag"]
    kept = shop.send("GET", "/stats/dashboard/", headers={"If-None-Match": packed.headers["ETag"]})
    assert kept.status == 304


def test_no_file_of_the_dashboard_says_where_it_lies(shop: Project) -> None:
    page = shop.send("GET", "/dashboard/").body.decode()
    for address in re.findall(r'(?:href|src)="(/[^"]*\.(?:js|css))"', page):
        body = shop.send("GET", address).body.decode()
        assert "/dashboard/assets" not in body, address


def test_the_reference_says_where_it_is(shop: Project, server: Server) -> None:
    document = shop.send("GET", "/stats/openapi.json").json
    assert document["servers"] == [{"url": "/stats"}]
    assert "/v1/track" in document["paths"]
    page = shop.send("GET", "/stats/docs/api/").body.decode()
    assert 'href="/stats/openapi.json"' in page
    assert 'href="/stats/docs/"' in page
    assert Project(server).send("GET", "/openapi.json").json["servers"] == [{"url": "/"}]


def test_cookies_are_for_the_prefix_alone(house: Server, shop: Project) -> None:
    browser = signed_in(house, shop, "owner")
    reply = browser.send("POST", "/stats/v1/auth/sign-out", {})
    assert "Path=/stats/;" in reply.headers["Set-Cookie"]


def test_links_that_are_sent_to_others_have_it(house: Server, shop: Project) -> None:
    owner = signed_in(house, shop, "owner")
    invited = owner.send("POST", "/v1/members", {"email": "bo@shop.example", "role": "viewer"})
    assert urlsplit(invited.json["link"]).path.startswith("/stats/dashboard/link/")
    shared = {"page": "overview", "name": "For all", "query": "from=30d"}
    made = owner.send("POST", "/v1/share-links", shared).json
    assert urlsplit(made["link"]).path.startswith("/stats/dashboard/share/")
    printed = ok("dashboard", "login-link", "--email", "bo@shop.example",
                 "--data", str(house.folder), **PREFIX)  # fmt: skip
    assert printed.startswith(f"{house.url}/stats/dashboard/link/")


def test_the_way_to_a_provider_and_back_has_it(shop: Project) -> None:
    browser = Browser(shop)
    reply = browser.raw("GET", "/stats/v1/auth/oidc/start?to=/stats/dashboard/people", None, {})
    assert reply.status == 302
    (redirect,) = parse_qs(urlsplit(reply.headers["Location"]).query)["redirect_uri"]
    assert urlsplit(redirect).path == "/stats/v1/auth/oidc/callback"
    assert "Path=/stats/v1/auth/oidc;" in reply.headers["Set-Cookie"]
    failed = browser.raw("GET", "/stats/v1/auth/oidc/callback?state=none", None, {})
    assert failed.headers["Location"].startswith("/stats/dashboard/?sign_in_error=")


@pytest.mark.parametrize("prefix", ["/a b", "/a?b", "https://shop.example/stats", '/a"b'])
def test_what_is_no_path_is_refused(prefix: str, folder: Path) -> None:
    message = fails("serve", "--port", "0", "--data", str(folder), THREADLINE_PREFIX=prefix)
    assert f"THREADLINE_PREFIX={prefix}: write a path of letters, digits and slashes" in message
    assert not folder.exists()


FORWARDED = [
    # Both proxies in one header, as nginx and most CDNs do.
    ([b"203.0.113.9, 198.51.100.1"], "203.0.113.9", "198.51.100.1"),
    # What a visitor wrote before them counts for nothing.
    ([b"1.2.3.4, 203.0.113.9, 198.51.100.1"], "203.0.113.9", "198.51.100.1"),
    # Each in a header of its own, as HAProxy does.
    ([b"1.2.3.4, 203.0.113.9", b"198.51.100.1"], "203.0.113.9", "198.51.100.1"),
    # Past the CDN, straight to the inner proxy: what that saw.
    ([b"198.51.100.7"], "198.51.100.7", "198.51.100.7"),
    ([], "127.0.0.1", "127.0.0.1"),
]


@pytest.mark.parametrize(("sent", "behind_two", "behind_one"), FORWARDED)
def test_the_visitors_address_behind_proxies(
    sent: list[bytes], behind_two: str, behind_one: str
) -> None:
    headers = [(b"x-forwarded-for", value) for value in sent]
    scope: Scope = {"method": "GET", "headers": headers, "client": ("127.0.0.1", 5)}
    for proxies, expected in ((2, behind_two), (1, behind_one)):
        chosen = Settings(client_address_header="X-Forwarded-For", trusted_proxies=proxies)
        services = SimpleNamespace(settings=chosen)
        request = Request(services, scope, None, "/", None)  # type: ignore[arg-type]
        assert request.address == expected


def test_proxies_are_counted_from_one(folder: Path) -> None:
    message = fails("serve", "--data", str(folder), THREADLINE_TRUSTED_PROXIES="0")
    assert "THREADLINE_TRUSTED_PROXIES=0 is less than 1." in message
