"""The client for programs that run on an event loop."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

from threadline.client.answers import EventRow, Row, User, UserRow
from threadline.client.client import Client
from threadline.client.context import UserId
from threadline.client.read import Pages, Table

Result = TypeVar("Result")
P = ParamSpec("P")


class AsyncClient:
    """The same client, by `await`. `track`, `identify`, `group`, `page` and `batch` only queue, so
    they are plain calls; what waits for the server waits beside the loop."""

    def __init__(self, key: str | None = None, host: str | None = None, **options: Any) -> None:
        """As `Client`."""
        self.client = Client(key, host, **options)
        self.track = self.client.track
        self.identify = self.client.identify
        self.group = self.client.group
        self.page = self.client.page
        self.batch = self.client.batch

    @property
    def dropped(self) -> int:
        """Events that were lost."""
        return self.client.dropped

    @property
    def users(self) -> "AsyncUsers":
        """`await users.get(id)`; `async for` over `users.list()` and `users.journey(id)`."""
        return AsyncUsers(self.client)

    async def alias(self, user_id: UserId, alias_of: UserId) -> bool:
        """As `Client.alias`."""
        return await _beside(self.client.alias, user_id, alias_of)

    async def forget(self, user_id: UserId = None, *, anonymous_id: str | None = None) -> str:
        """As `Client.forget`."""
        return await _beside(self.client.forget, user_id, anonymous_id=anonymous_id)

    async def flush(self, timeout_s: float = 30.0) -> bool:
        """As `Client.flush`."""
        return await _beside(self.client.flush, timeout_s)

    async def close(self) -> None:
        """As `Client.close`."""
        await _beside(self.client.close)

    async def ask(self, path: str, **params: object) -> dict[str, Any]:
        """Any read route; its JSON."""
        return await _beside(self.client.ask, path, **params)

    async def export(self, path: str | Path, **filters: object) -> int:
        """As `Client.export`."""
        return await _beside(self.client.export, path, **filters)

    async def stats(self, metric: str = "count", **params: object) -> Table:
        """As `Client.stats`."""
        return await _beside(self.client.stats, metric, **params)

    async def table(self, question: Callable[..., Table], *given: Any, **params: object) -> Table:
        """The other questions: `await client.table(Client.funnel, ["visit", "signup"])`."""
        return await _beside(question, self.client, *given, **params)

    def events(self, **filters: object) -> AsyncIterator[EventRow]:
        """As `Client.events`, by `async for`."""
        return _rows(self.client.events(**filters))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


class AsyncUsers:
    """Questions about users."""

    def __init__(self, client: Client) -> None:
        self._users = client.users

    async def get(self, user_id: str | int, **params: object) -> User:
        """As `Users.get`."""
        return await _beside(self._users.get, user_id, **params)

    def list(self, **filters: object) -> AsyncIterator[UserRow]:
        """As `Users.list`, by `async for`."""
        return _rows(self._users.list(**filters))

    def journey(self, user_id: str | int, **params: Any) -> AsyncIterator[EventRow]:
        """As `Users.journey`, by `async for`."""
        return _rows(self._users.journey(user_id, **params))


async def _beside(work: Callable[P, Result], *given: P.args, **more: P.kwargs) -> Result:
    """On another thread."""
    # Here, so that programs without an event loop do not pay for it when they start.
    from asyncio import to_thread

    return await to_thread(work, *given, **more)


async def _rows(rows: Pages[Row]) -> AsyncIterator[Row]:
    """Each page is fetched on another thread."""
    pages = rows.pages()
    while (page := await _beside(next, pages, None)) is not None:
        for row in page:
            yield row
