"""What may go wrong between this program and the server."""

from collections.abc import Mapping

# The same request may be taken later: the server, or a proxy before it, is not ready for it. A
# redirect that is not followed waits for whoever mends the address.
LATER = frozenset((407, 408, 429))


class ThreadlineError(Exception):
    """Base of the errors of the client. `may_pass`: whether the same request may be taken a little
    later."""

    may_pass = False


class Unreachable(ThreadlineError):
    """The server does not answer, or the network does not reach it."""

    may_pass = True


class APIError(ThreadlineError):
    """The server refuses; `code` is the contract's, see docs/errors.md."""

    def __init__(self, status: int, code: str, message: str, details: Mapping[str, object]) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.details = details
        self.may_pass = status in LATER or status >= 500 or 300 <= status < 400


class Dropped(ThreadlineError):
    """Events that will not arrive, and why; given to `on_error`, never raised."""
