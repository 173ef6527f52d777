"""What may go wrong between this program and the server."""

from collections.abc import Mapping


class ThreadlineError(Exception):
    """Base of the errors of the client."""


class Unreachable(ThreadlineError):
    """The server does not answer, or the network does not reach it."""


class APIError(ThreadlineError):
    """The server refuses; `code` is the contract's, see docs/errors.md."""

    def __init__(self, status: int, code: str, message: str, details: Mapping[str, object]) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.details = details

    @property
    def may_pass(self) -> bool:
        """Whether the same request may be taken a little later."""
        return self.status in (408, 429) or self.status >= 500


class Dropped(ThreadlineError):
    """Events that will not arrive, and why; given to `on_error`, never raised."""
