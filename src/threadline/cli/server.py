"""A running server, as commands speak to it: through the client that programs use."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPResponse

from threadline.client.address import parse
from threadline.client.errors import APIError, Unreachable
from threadline.client.wire import Json, Reply, Wire
from threadline.contract.errors import ApiError, NotFound, Unavailable

TIMEOUT_S = 60.0
FILE_TIMEOUT_S = 3600.0
AGENT = "threadline-cli"
KINDS: dict[int, type[ApiError]] = {404: NotFound, 503: Unavailable}


class Server:
    """`key`: of the project it is asked about; without one, about the server itself. Safe to use
    from several threads. Everything raises `ApiError`: what the server says, or that it is
    silent."""

    def __init__(self, url: str, key: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self.url = url
        self._key = key
        self._wire = self._connect(timeout_s)

    def _connect(self, timeout_s: float) -> Wire:
        return Wire(parse(self.url), self._key, timeout_s, pack=False, proxy="", agent=AGENT)

    def get(self, path: str, params: Mapping[str, object] | None = None) -> Json:
        """The JSON of a route."""
        with self._errors():
            return self._wire.ask("GET", path, params)

    def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> Json:
        """The JSON that a route answers to this JSON. `headers`: besides the usual ones."""
        with self._errors():
            reply = self._wire.send("POST", path, body, more=headers)
            if reply.status >= 300:
                raise reply.error()
            return reply.json()

    def reply(self, path: str) -> Reply:
        """Whatever a route answers, errors included."""
        with self._errors():
            return self._wire.send("GET", path)

    def file(self, path: str, params: Mapping[str, object]) -> HTTPResponse:
        """A long answer, to be read piece by piece and closed."""
        with self._errors():
            return self._connect(FILE_TIMEOUT_S).open(path, params)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except APIError as error:
            said = str(error.details.get("message", error))
            raise KINDS.get(error.status, ApiError)(said) from None
        except Unreachable as error:
            raise Unavailable(
                f"The server at {self.url} does not answer: it is starting or stopping. Try again "
                "in a few seconds."
            ) from error
