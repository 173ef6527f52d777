"""Signing in by OpenID Connect, against a provider made for it; and every answer that is not to be
believed."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import OctKey, RSAKey

from tests.access.browser import Browser, add
from tests.access.provider import CLIENT, SECRET, Json, Provider
from tests.cli.test_commands import fails
from tests.support import Project, Reply, Server
from threadline.runtime.oidc import AGAIN_S, Identity, Oidc, OidcError
from threadline.settings import Settings

ADA = {"email": "ada@people.example", "email_verified": True, "name": "Ada"}
TOP = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="module")
def house(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(
        tmp_path_factory.mktemp("house"),
        THREADLINE_OIDC_ISSUER=provider.url,
        THREADLINE_OIDC_CLIENT_ID=CLIENT,
        THREADLINE_OIDC_CLIENT_SECRET=SECRET,
        THREADLINE_OIDC_NAME="People's",
        THREADLINE_OIDC_DOMAINS="@people.example, staff.example",
    ) as running:
        add(running, "owner", "first@people.example")
        yield running
        assert running.stop() == 0
        said = "".join(running.lines)
        assert '"error"' not in said
        for secret in (SECRET, "code-", "ey"):
            assert secret not in said


@pytest.fixture(autouse=True)
def _as_it_should_be(provider: Provider) -> None:
    provider.person, provider.in_userinfo = dict(ADA), {}
    provider.spoil, provider.signed_by = lambda claims: claims, provider.key
    provider.algorithm, provider.ways, provider.down = "RS256", ["client_secret_basic"], False


def go(browser: Browser, to: str = "") -> str:
    """The provider's page that the browser is sent to."""
    reply = browser.raw("GET", f"/v1/auth/oidc/start?to={to}", None, {})
    assert reply.status == 302, reply
    return reply.headers["Location"]


def back(browser: Browser, address: str) -> Reply:
    """As a browser follows the provider's link."""
    parts = urlsplit(address)
    assert f"{parts.scheme}://{parts.netloc}" == browser.project.url
    reply = browser.raw("GET", f"{parts.path}?{parts.query}", None, TOP)
    assert reply.status == 302, reply
    assert reply.body == b""
    assert "threadline_oidc" not in browser.cookies
    return reply


def refused(reply: Reply) -> str:
    address = urlsplit(reply.headers["Location"])
    assert address.path == "/dashboard/"
    return parse_qs(address.query)["sign_in_error"][0]


def test_there_and_back(house: Server, provider: Provider, shop: Project) -> None:
    browser = Browser(shop)
    assert browser.me()["oidc"] == {"name": "People's"}
    page = go(browser, "/dashboard/people%3Frange%3D7d")
    reply = back(browser, provider.authorize(page))
    assert reply.headers["Location"] == "/dashboard/people?range=7d"
    member = browser.me()["member"]
    # Of a domain that may: new, and a viewer.
    assert (member["email"], member["name"], member["role"]) == (ADA["email"], "Ada", "viewer")
    assert member["has_password"] is False
    (row,) = browser.get("/v1/auth/sessions").json["rows"]
    assert row["signed_in_by"] == "oidc"


def test_a_member_stays_what_they_are(house: Server, provider: Provider, shop: Project) -> None:
    provider.person = {**ADA, "email": "FIRST@people.example", "name": "Somebody else"}
    browser = Browser(shop)
    back(browser, provider.authorize(go(browser)))
    member = browser.me()["member"]
    assert (member["role"], member["name"]) == ("owner", "Somebody")


def test_secrets_in_the_body_and_an_address_in_the_userinfo(
    house: Server, provider: Provider, shop: Project
) -> None:
    provider.person, provider.in_userinfo = {}, {**ADA, "email": "bo@staff.example"}
    browser = Browser(shop)
    back(browser, provider.authorize(go(browser)))
    assert browser.email == "bo@staff.example"


@pytest.mark.parametrize(
    ("person", "code"),
    [
        ({"email": "eve@elsewhere.example"}, "oidc_not_invited"),
        ({"email": "eve@people.example.evil"}, "oidc_not_invited"),
        ({"email": "eve@sub.people.example"}, "oidc_not_invited"),
        ({"email": "first@people.example", "email_verified": False}, "oidc_no_email"),
        ({"email": "first@people.example", "email_verified": None}, "oidc_no_email"),
        ({"email": "first@people.example", "email_verified": "false"}, "oidc_no_email"),
        ({"email": None}, "oidc_no_email"),
        ({"email": ["first@people.example"]}, "oidc_no_email"),
        ({"email": "first@people.example\n@evil.example"}, "oidc_no_email"),
    ],
)
def test_who_does_not_get_in(
    house: Server, provider: Provider, shop: Project, person: Json, code: str
) -> None:
    provider.person = {**ADA, **person}
    browser = Browser(shop)
    assert refused(back(browser, provider.authorize(go(browser)))) == code
    assert browser.email is None


def other_key(provider: Provider) -> None:
    provider.signed_by = RSAKey.generate_key(2048, {"kid": "one"})


def by_the_secret(provider: Provider) -> None:
    provider.signed_by, provider.algorithm = OctKey.import_key(SECRET * 4), "HS256"  # type: ignore[assignment]


def claims(**changed: object) -> Callable[[Provider], None]:
    def spoil(provider: Provider) -> None:
        provider.spoil = lambda given: {
            name: value for name, value in {**given, **changed}.items() if value is not None
        }

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        other_key,
        by_the_secret,
        claims(iss="https://evil.example"),
        claims(iss=None),
        claims(aud="another client"),
        claims(aud=["another client"]),
        claims(aud=[CLIENT, "another client"]),
        claims(aud=None),
        claims(azp="another client"),
        claims(exp=int(time.time()) - 3600),
        claims(exp=None),
        claims(sub=None),
        claims(nonce="of another sign-in"),
        claims(nonce=None),
    ],
)
def test_a_token_that_is_not_to_be_believed(
    house: Server, provider: Provider, shop: Project, spoil: Callable[[Provider], None]
) -> None:
    spoil(provider)
    browser = Browser(shop)
    assert refused(back(browser, provider.authorize(go(browser)))) == "oidc_refused"
    assert browser.email is None


def test_the_way_back_is_of_who_went(house: Server, provider: Provider, shop: Project) -> None:
    victim, thief = Browser(shop), Browser(shop.again())
    # Somebody else's way back: a link that signs in as the thief.
    address = provider.authorize(go(thief))
    assert refused(back(victim, address)) == "oidc_expired"
    go(victim)
    assert refused(back(victim, address)) == "oidc_expired"
    # Not twice, either.
    address = provider.authorize(go(victim))
    kept = dict(victim.cookies)
    assert victim.cookies["threadline_oidc"]
    back(victim, address)
    assert victim.email == ADA["email"]
    thief.cookies = kept
    assert refused(back(thief, address)) == "oidc_expired"
    for nothing in ("", "?state=", "?state=x&code=y", "?code=y"):
        assert refused(back(Browser(shop), f"{shop.url}/v1/auth/oidc/callback{nothing}")) == (
            "oidc_expired"
        )


def test_who_says_no_over_there(house: Server, provider: Provider, shop: Project) -> None:
    browser = Browser(shop)
    state = parse_qs(urlsplit(go(browser)).query)["state"][0]
    address = f"{shop.url}/v1/auth/oidc/callback?error=access_denied&state={state}"
    assert refused(back(browser, address)) == "oidc_denied"


@pytest.mark.parametrize(
    "to",
    ["https://evil.example/", "//evil.example", "/dashboard/%5Cevil", "/v1/users", "/dashboard",
     "/dashboard/%0d%0aSet-Cookie:x", "javascript:1", "/dashboard/é"],
)  # fmt: skip
def test_nobody_is_sent_elsewhere(
    house: Server, provider: Provider, shop: Project, to: str
) -> None:
    browser = Browser(shop)
    page = go(browser, to.replace("é", "%C3%A9"))
    reply = back(browser, provider.authorize(page))
    assert reply.headers["Location"] == "/dashboard/"
    assert len(reply.headers.get_all("Set-Cookie") or []) == 2


def test_a_provider_that_is_down_and_comes_back(folder: Path, provider: Provider) -> None:
    provider.down = True
    with Server(
        folder,
        THREADLINE_OIDC_ISSUER=f"{provider.url}/.well-known/openid-configuration",
        THREADLINE_OIDC_CLIENT_ID=CLIENT,
        THREADLINE_OIDC_CLIENT_SECRET=SECRET,
        THREADLINE_PUBLIC_URL="https://stats.people.example/",
    ) as server:
        add(server, "owner", str(ADA["email"]))
        browser = Browser(Project(server))
        assert browser.me()["oidc"] == {"name": "127.0.0.1"}
        reply = browser.raw("GET", "/v1/auth/oidc/start", None, {})
        assert refused(reply) == "oidc_unavailable"
        provider.asked.clear()
        assert refused(browser.raw("GET", "/v1/auth/oidc/start", None, {})) == "oidc_unavailable"
        assert provider.asked == [], "it is not asked again at once"
        server.await_line("oidc_sign_in_failed", "answers 503")
        server.stop()
    provider.down, provider.ways = False, ["client_secret_post"]
    with Server(
        folder,
        THREADLINE_OIDC_ISSUER=provider.url,
        THREADLINE_OIDC_CLIENT_ID=CLIENT,
        THREADLINE_OIDC_CLIENT_SECRET=SECRET,
        THREADLINE_PUBLIC_URL="https://stats.people.example/",
    ) as server:
        browser = Browser(Project(server))
        page = go(browser)
        asked = parse_qs(urlsplit(page).query)
        public = "https://stats.people.example"
        assert asked["redirect_uri"] == [f"{public}/v1/auth/oidc/callback"]
        address = provider.authorize(page)
        reply = back(browser, address.replace(public, server.url))
        assert "; Secure" in reply.headers["Set-Cookie"]
        assert browser.email == ADA["email"]
        server.stop()


def test_keys_that_the_provider_has_changed(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    oidc = Oidc(
        Settings(oidc_issuer=provider.url, oidc_client_id=CLIENT, oidc_client_secret=SECRET)
    )
    redirect_uri = "https://stats.example/callback"

    def identity() -> Identity:
        page, state = oidc.start(redirect_uri, "/dashboard/")
        code = parse_qs(urlsplit(provider.authorize(page)).query)["code"][0]
        return oidc.identity(code, oidc.come_back(state, state))

    assert identity() == Identity("ada@people.example", "Ada")
    kept, provider.key = provider.key, RSAKey.generate_key(2048, {"kid": "two", "use": "sig"})
    provider.signed_by = provider.key
    try:
        with pytest.raises(OidcError):
            identity()  # what was read a moment ago is not read again, whoever asks
        later = time.monotonic() + AGAIN_S
        monkeypatch.setattr("threadline.runtime.oidc.time.monotonic", lambda: later)
        assert identity() == Identity("ada@people.example", "Ada")
    finally:
        provider.key = kept


def test_settings_that_cannot_be_right(folder: Path) -> None:
    where = ("serve", "--data", str(folder), "--port", "0")
    said = fails(*where, THREADLINE_OIDC_ISSUER="https://id.example")
    assert "THREADLINE_OIDC_CLIENT_ID is not" in said
    given = {"THREADLINE_OIDC_ISSUER": "http://id.example", "THREADLINE_OIDC_CLIENT_ID": "x"}
    assert "write an address that begins with https://" in fails(*where, **given)


def test_without_a_provider(tmp_path: Path, project: Project) -> None:
    for path in ("start", "callback"):
        reply = project.send("GET", f"/v1/auth/oidc/{path}")
        assert (reply.status, reply.error) == (404, "not_found")
