"""Questions in SQL as the server takes them: few at once, each within its limits, and beside all
others, so that none of these waits for one that somebody wrote."""

import asyncio
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import structlog

from threadline.contract.errors import Busy
from threadline.contract.policies import PARTITIONS, Policy
from threadline.control import Project
from threadline.identity.resolution import resolve
from threadline.questions.parameters import Stitched
from threadline.runtime.sql import FoundRows, Limits, SqlQuestions
from threadline.runtime.sql_refused import too_long
from threadline.settings import Settings
from threadline.store import Store, StoreBusy
from threadline.store.connection import share_of_memory

# Each may take as much memory, and as many threads, as it may.
AT_ONCE = 2
MOST_WAITING = 32
CATCH_UP_S = 5.0
# The engine looks at the clock between blocks of rows only. Past this who asked is answered, and
# what it does not stop keeps its place among `AT_ONCE` for as long as it takes.
GRACE_S = 5.0
ANSWER_BYTES = 64 * 1024**2
DISK_BYTES = 4 * 1024**3
SHARE_OF_FREE_DISK = 0.1

Result = TypeVar("Result")

_logger = structlog.get_logger("threadline")


class SqlAsked(NamedTuple):
    """A statement with its values. At most `limit` rows; `file_format`: one of the engine's."""

    text: str
    values: Mapping[str, object]
    limit: int
    file_format: str = ""


class SqlAnswer(NamedTuple):
    """`rows`, or a `file` where that was asked for. `fresh`: it holds everything that was
    acknowledged before it was asked."""

    policy: Policy
    fresh: bool
    truncated: bool
    rows: FoundRows = FoundRows([], [], [])
    file: bytes = b""


class Turns:
    """So many at once, on threads that nobody waits for when the server ends."""

    def __init__(self, patience_s: float, refused: Callable[[], None]) -> None:
        self._patience_s = patience_s
        self._refused = refused
        self._free = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def run(self, ask: Callable[[], Result], wait_s: float) -> Result:
        """Raises `Busy` if its turn does not come, `TimeoutError` past `wait_s`, and what it
        raises."""
        await self._turn()
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Result] = loop.create_future()

        def done(value: Result | None, error: BaseException | None) -> None:
            self._free.release()
            if answered.cancelled():
                return
            if error:
                answered.set_exception(error)
            else:
                answered.set_result(cast(Result, value))

        def work() -> None:
            value, failed = None, None
            try:
                value = ask()
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                failed = error
            if not loop.is_closed():
                loop.call_soon_threadsafe(done, value, failed)

        threading.Thread(target=work, name="threadline-sql", daemon=True).start()
        return await asyncio.wait_for(answered, wait_s)

    async def _turn(self) -> None:
        if self._waiting >= MOST_WAITING:
            self._refused()
            raise Busy("Too many SQL queries are waiting; try again in a few seconds.")
        self._waiting += 1
        try:
            await asyncio.wait_for(self._free.acquire(), self._patience_s)
        except TimeoutError:
            self._refused()
            raise Busy("The SQL queries before this one took too long; try again.") from None
        finally:
            self._waiting -= 1


class AskingSql:
    """Questions in SQL to all projects of one data folder."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        catch_up: Callable[[float], bool],
        refused: Callable[[], None],
    ) -> None:
        """`refused` is called for each whose turn does not come."""
        self._settings = settings
        self._store = store
        self._catch_up = catch_up
        self._refused = refused
        self._turns = Turns(settings.query_seconds, refused)

    async def ask(self, project: Project, params: Stitched, asked: SqlAsked) -> SqlAnswer:
        """In turn. Raises `SqlRefused`, `Busy`, or `StoreAway`."""
        limits = self._limits()
        wait_s = limits.seconds + CATCH_UP_S + GRACE_S
        try:
            return await self._turns.run(
                lambda: self._answer(project, params, asked, limits), wait_s
            )
        except StoreBusy as error:
            self._refused()
            raise Busy(
                "Too many questions are being answered; try again in a few seconds."
            ) from error
        except TimeoutError:
            _logger.warning("sql_not_stopped", project_id=project.project_id, seconds=wait_s)
            raise too_long(limits.seconds) from None

    def _answer(
        self, project: Project, params: Stitched, asked: SqlAsked, limits: Limits
    ) -> SqlAnswer:
        began_s = time.monotonic()
        fresh = self._catch_up(CATCH_UP_S)
        policy = policy_of(project, params.stitch)
        on = resolve(
            self._store,
            project.project_id,
            policy,
            params.as_of.ms if params.as_of else None,
            params.include_bots,
        )
        asking = SqlQuestions(
            self._store,
            on,
            limits,
            in_memory=not self._settings.store.startswith("chdb"),
            timeout_ms=project.visit_timeout_minutes * 60_000,
        )
        text, values, limit, file_format = asked
        if file_format:
            file, more = asking.file(text, limit, file_format, values)
            answer = SqlAnswer(policy, fresh, more, file=file)
        else:
            found = asking.answer(text, limit, values)
            more = len(found.lines) > limit
            answer = SqlAnswer(policy, fresh, more, found._replace(lines=found.lines[:limit]))
        if self._settings.log_sql:
            _logger.info(
                "sql_asked",
                project_id=project.project_id,
                ms=round((time.monotonic() - began_s) * 1000, 1),
                sql=text,
                params=dict(values),
            )
        return answer

    def _limits(self) -> Limits:
        """Half of the cores, and a tenth of the free disk at most: events go on being taken."""
        chosen = self._settings
        memory = chosen.query_memory or share_of_memory("chdb:")
        free = int(shutil.disk_usage(Path(chosen.data)).free * SHARE_OF_FREE_DISK)
        threads = max(1, (os.cpu_count() or 1) // 2)
        return Limits(
            chosen.query_seconds, memory, max(1, min(DISK_BYTES, free)), ANSWER_BYTES, threads
        )


def policy_of(project: Project, asked: Policy | None) -> Policy:
    """What was asked for, else the project's default, else `next`: visits and persons are there
    under it, too."""
    default = cast(Any, project.stitch)
    return asked or (default if default in PARTITIONS else None) or "next"
