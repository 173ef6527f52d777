"""A request as part of a visit: whose it is, and how their id is kept.

The id comes from the browser SDK, in a header or in the body, else from the cookie, else it is
generated. It stays the same through login and logout. Nothing of a web framework is known here.
"""

import json
import logging
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from html import escape
from http.cookies import CookieError, SimpleCookie
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import parse_qs, urlsplit

from threadline.client import default
from threadline.client.client import Client
from threadline.client.context import Context, UserId
from threadline.client.values import id_text

KEY = "threadline"  # where requests have it
HEADER = "x-threadline-anonymous-id"
COOKIE = "tl_aid"
FIELD = "anonymous_id"
MAX_AGE_S = 400 * 86_400  # as long as browsers keep any
MAX_BODY_BYTES = 64 * 1024
MAX_LENGTH = 2048  # of addresses, in the contract; an event with a longer one would be refused
# What a cookie can hold as it is. Ids that the SDKs make are UUIDs.
FIT = re.compile(r"[\w.~:@/+=-]{1,128}", re.ASCII)
FORMS = ("application/x-www-form-urlencoded", "application/json")

_logger = logging.getLogger("threadline")

Networks = Sequence[IPv4Network | IPv6Network]
Headers = Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How visitors are known.

    `user_id`: who is logged in, asked with the request as the middleware knows it.
    `http_only`: False lets the browser SDK read the cookie itself (its option `cookie`); a page
    that has `html()` in it needs no such thing. `secure`: default: where the request came by https.
    `trusted_proxies`: addresses or networks whose `X-Forwarded-…` headers are believed.
    `respect_dnt`: visitors who ask not to be tracked get no id and no cookie.
    """

    client: Client | None = None
    user_id: Callable[[Any], UserId] | None = None
    cookie: str = COOKIE
    domain: str | None = None
    http_only: bool = True
    secure: bool | None = None
    body_field: str | None = FIELD
    trusted_proxies: Sequence[str] = ()
    respect_dnt: bool = True
    networks: Networks = field(init=False)
    _failures: set[str] = field(init=False, default_factory=set, compare=False)

    def __post_init__(self) -> None:
        networks = [ip_network(text, strict=False) for text in self.trusted_proxies]
        object.__setattr__(self, "networks", networks)

    def logged_in(self, request: object) -> str | None:
        """Who is; None where `user_id` fails, which is logged once for each kind of failure."""
        if self.user_id is None:
            return None
        try:
            found = self.user_id(request)
            return id_text(found) or None
        except Exception as error:  # noqa: BLE001 - the program's own; the request has to go on
            said = f"{type(error).__name__}: {error}"
            if said not in self._failures:
                self._failures.add(said)
                hint = "; add SessionMiddleware to the application" if "'session'" in said else ""
                _logger.warning(
                    "user_id of the middleware failed, so events do not say who is logged in"
                    " (%s)%s",
                    said,
                    hint,
                )
            return None


@dataclass(frozen=True, kw_only=True)
class RequestInfo:
    """A request, as every framework can say it. `header`: by its lower-case name, "" if it is not
    there. `body`: read only where it may hold the id."""

    method: str
    scheme: str
    host: str
    path: str
    header: Headers
    peer: str
    body: Callable[[], bytes] = bytes


class Html(str):
    """Text that Django's and Jinja's templates put into a page as it is."""

    def __html__(self) -> str:
        return str(self)


class Visit:
    """What a view gets as `request.threadline`."""

    def __init__(self, info: RequestInfo, rules: Rules, request: object = None) -> None:
        """`request`: what `rules.user_id` is asked with."""
        self._info = info
        self._rules = rules
        self._header = info.header
        self._id: str | None = None
        self._kept: str | None = None
        self._brought: str | None = None
        self._looked = False
        signals = self._header("sec-gpc") == "1" or self._header("dnt") == "1"
        self.is_anonymous = rules.respect_dnt and signals
        trusted = _within(info.peer, rules.networks)
        self._scheme = (trusted and _first(self._header("x-forwarded-proto"))) or info.scheme
        host = (trusted and _first(self._header("x-forwarded-host"))) or info.host
        user_id = None if rules.user_id is None else partial(rules.logged_in, request)
        if self.is_anonymous:
            self.context = Context(user_id=user_id)
        else:
            self.context = Context(
                anonymous_id=lambda: self.anonymous_id,
                known=lambda: self._id or self._look(),
                generated=lambda: self._look() is None,
                user_id=user_id,
                url=f"{self._scheme}://{host}{info.path}"[:MAX_LENGTH],
                referrer=self._header("referer")[:MAX_LENGTH] or None,
                user_agent=self._header("user-agent")[:MAX_LENGTH] or None,
                ip=self._client_address(trusted),
            )

    @property
    def client(self) -> Client:
        """What `track` and `identify` send by."""
        return self._rules.client or default.get_client()

    @property
    def anonymous_id(self) -> str | None:
        """The visitor's id; None for who asks not to be tracked."""
        if self.is_anonymous:
            return None
        if self._id is None:
            self._id = self._look() or str(uuid.uuid4())
        return self._id

    def set_anonymous_id(self, anonymous_id: str) -> None:
        """The visitor is this one, from now on.

        Raises `ValueError` for an id that a cookie cannot hold.
        """
        if not FIT.fullmatch(anonymous_id):
            raise ValueError(f"{anonymous_id!r} does not fit into a cookie as it is.")
        if not self.is_anonymous:
            self._look()
            self._id = self._brought = anonymous_id

    def track(self, event: str, properties: Mapping[str, object] | None = None, **more: Any) -> str:
        """As `Client.track`, of this visitor."""
        return self.client.track(event, properties, **more)

    def identify(
        self, user_id: UserId, traits: Mapping[str, object] | None = None, **more: Any
    ) -> str | None:
        """As `Client.identify`, of this visitor, also where somebody else was logged in until now;
        the rest of the request is the user's, too."""
        more.setdefault("anonymous_id", self.anonymous_id)
        found = self.client.identify(user_id, traits, **more)
        if found is not None:
            self.context.user_id = user_id
        return found

    def html(self) -> Html:
        """For a page's head: tells the browser SDK the id. "" for who asks not to be tracked."""
        anonymous_id = self.anonymous_id
        if anonymous_id is None:
            return Html()
        return Html(f'<meta name="threadline-aid" content="{escape(anonymous_id)}">')

    def cookie(self, status: int, media_type: str, cache_control: str) -> str | None:
        """The `Set-Cookie` that the answer needs, or none.

        Pages that somebody opens keep the id alive; other answers carry it only where it was used
        and is not the cookie's already; what caches may share never does, or all would become one
        visitor.
        """
        if self.is_anonymous or "public" in cache_control or "s-maxage" in cache_control:
            return None
        opened = self._info.method in ("GET", "HEAD")
        page = opened and media_type.startswith("text/html") and status < 400
        if not page and self._id in (None, self._kept):
            return None
        rules = self._rules
        secure = self._scheme == "https" if rules.secure is None else rules.secure
        parts = [
            f"{rules.cookie}={self.anonymous_id}",
            "Path=/",
            f"Max-Age={MAX_AGE_S}",
            "SameSite=Lax",
            f"Domain={rules.domain}" if rules.domain else "",
            "Secure" if secure else "",
            "HttpOnly" if rules.http_only else "",
        ]
        return "; ".join(filter(None, parts))

    def _look(self) -> str | None:
        """The id that the request brought."""
        if not self._looked:
            self._kept = self._of_cookie()
            self._brought = self._of_sdk() or self._kept
            self._looked = True
        return self._brought

    def _of_sdk(self) -> str | None:
        found = self._header(HEADER)
        if not found and self._rules.body_field and self._info.method in ("POST", "PUT", "PATCH"):
            found = self._of_body(self._rules.body_field)
        return found if FIT.fullmatch(found) else None

    def _of_body(self, name: str) -> str:
        """Only from a page of the site itself: another could give its visitor's browser any id."""
        origin = self._header("origin")
        if origin and urlsplit(origin).netloc != urlsplit(self.context.url or "").netloc:
            return ""
        if not may_hold_id(self._header):
            return ""
        return _field_of(self._info.body(), self._header("content-type"), name)

    def _of_cookie(self) -> str | None:
        try:
            morsel = SimpleCookie(self._header("cookie")).get(self._rules.cookie)
        except CookieError:
            return None
        return morsel.value if morsel is not None and FIT.fullmatch(morsel.value) else None

    def _client_address(self, trusted: bool) -> str | None:
        """Of a chain of proxies the first from our end that is not trusted."""
        address = self._info.peer
        if trusted:
            for hop in reversed(self._header("x-forwarded-for").split(",")):
                if _address(hop.strip()):
                    address = hop.strip()
                if not _within(address, self._rules.networks):
                    break
        return address if _address(address) else None


def may_hold_id(header: Headers) -> bool:
    """Whether the body is one that is worth looking into."""
    media_type = header("content-type").partition(";")[0].strip().lower()
    length = header("content-length")
    return media_type in FORMS and length.isdecimal() and int(length) <= MAX_BODY_BYTES


def _first(listed: str) -> str:
    """Of a header that each proxy adds to."""
    return listed.partition(",")[0].strip()


def _field_of(body: bytes, media_type: str, name: str) -> str:
    try:
        if "json" in media_type.lower():
            found = json.loads(body)
            value = found.get(name) if isinstance(found, dict) else None
        else:
            value = parse_qs(body.decode()).get(name, [None])[0]
    except (ValueError, RecursionError):
        return ""
    return value if isinstance(value, str) else ""


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _within(text: str, networks: Networks) -> bool:
    address = _address(text) if networks else None
    return address is not None and any(address in network for network in networks)
