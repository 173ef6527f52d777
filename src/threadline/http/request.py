"""One request: what it carries, who sent it, and the memory that it holds."""

from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

from threadline.control import Key, Member, Project, Session
from threadline.http.asgi import Receive, Scope, header
from threadline.http.body import check_type, drain, encoding_of, read_body, unpack
from threadline.runtime.memory import RequestHold
from threadline.runtime.services import Services

# What proxies say of the visitor's address.
FORWARDED = frozenset({b"x-forwarded-for", b"forwarded", b"x-real-ip", b"cf-connecting-ip"})


@dataclass(slots=True)
class Request:
    """`path`: as routes are found by. `in_path`: its named parts, percent-encoded. `hold`: the
    memory it takes. `arrived`: the body, where it had to be read to find the key.
    `allowed_origin`: of the page that may read the answer. `segment`: it came from a library of
    that spec, and is answered as those expect. `member` and `session`: of who is signed in to the
    dashboard, where it came with a cookie in the place of a key."""

    services: Services
    scope: Scope
    receive: Receive
    path: str
    hold: RequestHold
    in_path: dict[str, str] = field(default_factory=dict)
    arrived: bytes | None = None
    allowed_origin: str = ""
    segment: bool = False
    member: Member | None = None
    session: Session | None = None
    _sent_by: tuple[Key, Project] | None = None

    @property
    def key(self) -> Key:
        """On routes that take a key only, as is `project`."""
        assert self._sent_by
        return self._sent_by[0]

    @property
    def project(self) -> Project:
        assert self._sent_by
        return self._sent_by[1]

    @property
    def is_admitted(self) -> bool:
        """Whether it is known whose it is."""
        return self._sent_by is not None

    @property
    def may_all_projects(self) -> bool:
        """Whether it may see all projects there are: a key has one, and members have all."""
        return self.member is not None

    @property
    def known_project_id(self) -> str:
        """Of the key that was recognised so far, whether it may or not; else nothing."""
        return self._sent_by[1].project_id if self._sent_by else ""

    def admitted(self, key: Key, project: Project) -> None:
        """It is this key's."""
        self._sent_by = key, project

    @property
    def method(self) -> str:
        """HEAD is GET, and its body is left out at the end."""
        method: str = self.scope["method"]
        return "GET" if method == "HEAD" else method

    def header(self, name: str) -> str:
        """The last header of this name, or nothing."""
        return header(self.scope, name)

    @property
    def query(self) -> str:
        """The query string, as it came."""
        query: bytes = self.scope["query_string"]
        return query.decode("latin-1")

    @property
    def is_https(self) -> bool:
        """Whether the browser's side of it is encrypted, as far as we or a proxy know."""
        return is_https(self.scope, self.services.settings.public_url)

    @property
    def base_url(self) -> str:
        """Where the browser has found us: `https://stats.example`."""
        return base_url(self.scope, self.services.settings.public_url)

    @property
    def root_path(self) -> str:
        """What browsers have before our paths: `/stats`, or nothing."""
        return str(self.scope.get("root_path", ""))

    @property
    def own_hosts(self) -> set[str]:
        """With their port, as pages of our own name us."""
        public = urlsplit(self.services.settings.public_url).netloc.lower()
        return {self.header("host").lower(), public} - {""}

    @property
    def address(self) -> str:
        """Where it came from: the trusted header's entry that the outermost trusted proxy wrote,
        else the connection itself."""
        name = self.services.settings.client_address_header
        if name and (entries := self._entries(name)):
            # Who came past an outer proxy has fewer: the first is what the innermost saw.
            return entries[-min(self.services.settings.trusted_proxies, len(entries))]
        if not name and FORWARDED.intersection(dict(self.scope["headers"])):
            self.services.note_proxy()
        return self.scope["client"][0] if self.scope["client"] else ""

    def _entries(self, name: str) -> list[str]:
        """All there are, by commas or in headers of their own, as some proxies add them."""
        wanted = name.lower().encode("latin-1")
        values = [value.decode("latin-1") for key, value in self.scope["headers"] if key == wanted]
        return [entry.strip() for entry in ",".join(values).split(",")] if any(values) else []

    async def body(self, limit: int) -> bytes:
        """The body, unpacked: at most `limit` bytes. Raises what `read_body`, `unpack` and
        `check_type` raise."""
        if self.arrived is None:
            self.arrived = await self._whole_body(limit)
        return self.arrived

    async def _whole_body(self, limit: int) -> bytes:
        seconds = self.services.settings.body_seconds
        sent = await read_body(self.scope, self.receive, limit, seconds, self.hold)
        body, encoding = sent, encoding_of(self.scope)
        if encoding:
            # How large it is shows only when it is unpacked.
            unpacked = partial(unpack, sent, encoding, limit, self.hold)
            body = await self.services.beside(limit, unpacked)
        check_type(self.scope, body)
        return body

    async def drain(self) -> None:
        """Throw away what of the body nobody has read."""
        await drain(self.scope, self.receive, self.services.settings.body_seconds)


def is_https(scope: Scope, public_url: str) -> bool:
    """Whether the browser's side of it is encrypted, as far as we or a proxy know."""
    return "https" in (
        scope.get("scheme", ""),
        header(scope, "x-forwarded-proto").lower(),
        public_url.partition(":")[0].lower(),
    )


def base_url(scope: Scope, public_url: str) -> str:
    """Where a request has found us, or where we are said to be; nothing if neither says so."""
    host = header(scope, "host")
    root_path: str = scope.get("root_path", "")
    if public_url or not host:
        return public_url.rstrip("/") + root_path
    return f"http{'s' if is_https(scope, public_url) else ''}://{host}{root_path}"
