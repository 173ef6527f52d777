"""What the routes stand on, opened in order and closed in reverse."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar, cast

import structlog

from threadline import upgrade_copies
from threadline.classify import RulesError, Site, Subdomains, read_site
from threadline.contract.errors import Busy
from threadline.contract.ids import read_placeholders
from threadline.control import Control, Project
from threadline.control.address import IN_FOLDER
from threadline.control.opened import open_nodes
from threadline.control.others import NOBODY, Others
from threadline.enrich import Countries, address_hash, no_country, scrubber
from threadline.ingest.log import Log
from threadline.ingest.writer import Writer
from threadline.metrics import Metrics
from threadline.runtime import events_store
from threadline.runtime.ask import Asking
from threadline.runtime.asking_sql import AskingSql
from threadline.runtime.folder import temporary_files
from threadline.runtime.housekeeping import repeated
from threadline.runtime.memory import ROOM_BYTES, SMALL_BYTES, STRANGERS_BYTES, Room
from threadline.runtime.oidc import Oidc
from threadline.runtime.rate_limits import Buckets
from threadline.runtime.refusals import Refusals
from threadline.runtime.this_node import LOOK_EVERY_S, ThisNode
from threadline.runtime.throttle import Throttle
from threadline.settings import Settings
from threadline.store import Store, StoreError, UnfinishedWork, store_url

if TYPE_CHECKING:  # what speaks to PostgreSQL is an extra
    from threadline.control.nodes import Nodes

HOUSEKEEPING_EVERY_S = 60.0
# All that was acknowledged is in the store by then, unless something is wrong.
CATCH_UP_S = 60.0
# Large bodies are read beside the event loop, so many at a time: the others wait, still packed.
LARGE_AT_ONCE = 2
# Each takes some tens of milliseconds.
HASHES_WAITING = 32

Result = TypeVar("Result")

_logger = structlog.get_logger("threadline")


class Services:
    """Control plane, log, store and writer of one data folder."""

    def __init__(self, settings: Settings) -> None:
        """Open everything, in the order that events pass it.

        Raises `ControlError`, `CountryFileError`, `SchemaError`, `SettingsError` or `StoreError`;
        what was open is closed again.
        """
        folder = Path(settings.data)
        with ExitStack() as opened:
            self._take(settings)
            self.control = opened.enter_context(Control.of(settings))
            _say_what_is_unused(settings)
            opened.enter_context(temporary_files(folder))
            self.store = opened.enter_context(_store(settings, folder))
            events_store.check(folder, self.store.url, self.store, may_note=True)
            nodes = opened.enter_context(_nodes(settings))
            self.buckets = Buckets(settings, shared=nodes is not None)
            self.log = Log(
                folder, settings.log_max_bytes, self.control.event_id_key, nodes is not None
            )
            opened.callback(self.log.close)
            self.node = self._join(nodes, folder, opened) if nodes else None
            self.others: Others = nodes.locks if nodes else NOBODY
            known = self.node.known if self.node else None
            self.writer = Writer(
                self.log, self.store, settings.dedup_days, self.metrics, self.others, known
            )
            opened.callback(self.writer.close)
            if self.node:
                look = partial(self.node.look, self.writer.wake)
                opened.enter_context(repeated(look, LOOK_EVERY_S, "nodes"))
            self.asking = Asking(
                settings, self.control, self.store, self.writer, self.metrics.busy.inc, self.node
            )
            opened.callback(self.asking.close)
            self.asking_sql = AskingSql(
                settings, self.store, self.asking.catch_up, self.metrics.busy.inc
            )
            self._large = _threads(LARGE_AT_ONCE, "body", opened)
            self._short = _threads(2, "short", opened)
            self._hashing = _threads(1, "password", opened)
            self._providing = _threads(2, "oidc", opened)
            opened.enter_context(repeated(self._housekeeping, HOUSEKEEPING_EVERY_S, "housekeeping"))
            if copy := upgrade_copies.finish(folder):
                _logger.info("upgrade_finished", copy=str(copy), kept_days=upgrade_copies.KEPT_DAYS)
            self._opened = opened.pop_all()

    def _take(self, settings: Settings) -> None:
        """What follows from the settings alone, or begins empty. Raises `CountryFileError` or
        `SettingsError`."""
        self.settings = settings
        self.metrics = Metrics()
        self.country_of: Callable[[str], str] = no_country
        if settings.country_db:
            self.country_of = Countries(Path(settings.country_db)).country
        self.country_headers = _names(settings.country_header)
        self.scrub = scrubber(_names(settings.scrub_params)) if settings.scrub else str
        self.placeholders = read_placeholders(settings.placeholder_ids.split(","))
        self.oidc = Oidc(settings) if settings.oidc_issuer else None
        self.throttle = Throttle()
        self.refusals = Refusals()
        self.room, self.strangers = Room(ROOM_BYTES), Room(STRANGERS_BYTES)
        self.upkeep_asked = threading.Event()  # there is something to do for `upkeep`
        self.unfinished: list[UnfinishedWork] = []  # as `recovery` last saw it
        self._proxy_noted = False
        self._hashes = 0

    def _join(self, nodes: "Nodes", folder: Path, opened: ExitStack) -> ThisNode:
        hash_of = partial(address_hash, self.control.pepper)
        node = ThisNode(nodes, self.log, folder, hash_of, self.buckets, self.metrics)
        opened.callback(node.close)
        return node

    def close(self) -> None:
        """Write everything acknowledged to the store, then close."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextmanager
    def caught_up(self) -> Iterator[None]:
        """The store has all that was acknowledged before, and as long as the block lasts nothing
        comes or changes there, and no block is half on its way. Raises `StoreError`."""
        if not self.writer.catch_up(CATCH_UP_S):
            raise StoreError(
                "The store does not accept the events in the log. The server's log says why; try "
                "again when that is solved."
            )
        with self.writer.held():
            if self.writer.failing_since is not None:
                raise StoreError("The store went away in the middle of a block. Try again.")
            yield

    async def beside(self, size: int, step: Callable[[], Result]) -> Result:
        """Have a step done that takes time in proportion to `size` bytes: at once if that is next
        to nothing, else beside the event loop."""
        if size <= SMALL_BYTES:
            return step()
        return await asyncio.get_running_loop().run_in_executor(self._large, step)

    async def beside_questions(self, step: Callable[[], Result]) -> Result:
        """Have something short done that must wait behind no question."""
        return await asyncio.get_running_loop().run_in_executor(self._short, step)

    async def beside_passwords(self, step: Callable[[], Result]) -> Result:
        """Hash a password, or compare one: one at a time, as each takes much memory. Raises `Busy`
        where too many wait."""
        if self._hashes >= HASHES_WAITING:
            raise Busy("Too many people are signing in; try again.")
        self._hashes += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._hashing, step)
        finally:
            self._hashes -= 1

    async def beside_provider(self, step: Callable[[], Result]) -> Result:
        """Ask the identity provider something, which may take seconds: nobody else waits."""
        return await asyncio.get_running_loop().run_in_executor(self._providing, step)

    def metrics_text(self) -> bytes:
        """The counters, and how log and writer stand at this moment."""
        self.metrics.log_events.set(self.log.depth_events)
        self.metrics.log_bytes.set(self.log.depth_bytes)
        self.metrics.body_bytes.set(self.room.held + self.strangers.held)
        self.metrics.lag_s.set(self.log.lag_s())
        self.metrics.dead_letters.set(self.log.count_dead_letters())
        self.metrics.forgets.set(self.log.count_unfinished_forgets())
        self.metrics.forgets_on_disk.set(self.log.count_forgets_on_disk())
        self.metrics.store_up.set(self.writer.failing_since is None)
        self.metrics.control_up.set(not self.control.is_away)
        self.metrics.unfinished_work.set(len(self.unfinished))
        return self.metrics.text()

    def note_proxy(self) -> None:
        """A request came by a proxy that nobody told us to trust."""
        if not self._proxy_noted:
            _logger.warning(
                "proxy_without_address_header",
                problem="A proxy says where visitors come from, but"
                " THREADLINE_CLIENT_ADDRESS_HEADER is empty: all of them have the proxy's address,"
                " and share one rate limit.",
            )
        self._proxy_noted = True
        self.metrics.behind_proxy.inc()

    def count_placeholder_ids(self, project_id: str, ids: int = 1) -> None:
        """So many more ids of this project were dropped or refused."""
        self.metrics.placeholders.inc(ids)
        self.control.count_placeholder_ids(project_id, ids)

    def _housekeeping(self) -> None:
        """Uses of keys and the like are kept in memory until now; old salts go, also where nobody
        sends anything."""
        self.control.housekeeping()
        for copy in upgrade_copies.prune(Path(self.settings.data), time.time()):
            _logger.info("before_upgrade_removed", copy=str(copy))


def _say_what_is_unused(settings: Settings) -> None:
    """Such as after a backup was restored that has its control plane as a file."""
    file = Path(settings.data) / IN_FOLDER
    if not settings.control_in_folder and file.exists():
        _logger.warning(
            "control_file_unused",
            file=str(file),
            problem="THREADLINE_CONTROL names PostgreSQL, so nothing of the file counts: threadline"
            " migrate-control moves what is in it into an empty database; else remove it.",
        )


def _nodes(settings: Settings) -> AbstractContextManager["Nodes | None"]:
    """Those that write into this store."""
    return open_nodes(settings.control) if settings.is_one_of_several else nullcontext(None)


def _store(settings: Settings, folder: Path) -> Store:
    url, bytes_a_question = store_url(settings.store, folder), settings.query_memory or None
    return Store(url, settings.query_seconds, bytes_a_question, settings.log_sql)


@lru_cache(maxsize=1024)
def site_of(project: Project) -> Site:
    """What decides where this project's visitors come from."""
    subdomains = cast(Subdomains, project.subdomains)
    try:
        return read_site(project.hosts, subdomains, project.rules)
    except RulesError as error:  # they were checked, but perhaps by another version
        _logger.error("rules_ignored", project_id=project.project_id, error=str(error))
        return read_site(project.hosts, subdomains, "")


def _names(by_commas: str) -> list[str]:
    return [name.strip() for name in by_commas.split(",") if name.strip()]


def _threads(most: int, name: str, opened: ExitStack) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(most, f"threadline-{name}")
    opened.callback(pool.shutdown)
    return pool
