"""How events of files get in: to the server that runs, else into the log itself."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec

from threadline.cli.keys import chosen_project
from threadline.cli.opening import open_store
from threadline.cli.server import Server
from threadline.contract.bodies import Event
from threadline.control import Control, Project
from threadline.ingest.accept import accept
from threadline.ingest.context import IngestContext
from threadline.ingest.importing import Warned, WayIn
from threadline.ingest.lines import CheckedEvents
from threadline.ingest.undoing import id_key
from threadline.runtime.folder import running_server
from threadline.runtime.services import Services, site_of
from threadline.settings import Settings

CONNECTIONS = 2
# The log may be this far ahead of the store.
AHEAD_EVENTS = 500_000
CATCH_UP_S = 60.0


@contextmanager
def way_in(chosen: Settings, wanted: str | None) -> Iterator[tuple[Project, WayIn]]:
    """Over HTTP with a key that lives for this command if a server runs, else the log itself."""
    folder = Path(chosen.data)
    with Control.of(chosen) as control:
        project = chosen_project(control, wanted)
        server = running_server(folder)
        if server:
            with (
                control.temporary_key(project.project_id, "sk") as key,
                ThreadPoolExecutor(CONNECTIONS) as pool,
                open_store(chosen) as store,
            ):
                to = Server(server.url, key)
                key_of_ids = id_key(folder, control.event_id_key)
                yield (
                    project,
                    WayIn(lambda events: pool.submit(_post, to, events), store, key_of_ids),
                )
            return
    with Services(chosen) as services:
        services.writer.catch_up(CATCH_UP_S)
        yield project, WayIn(_Append(services, project), services.store, services.log.id_key)


class _Append:
    """Into the log of this very process."""

    def __init__(self, services: Services, project: Project) -> None:
        self._services = services
        self._project = project

    def __call__(self, events: CheckedEvents) -> "Future[Warned]":
        while self._services.log.depth_events > AHEAD_EVENTS:
            self._services.writer.catch_up(timeout_s=0.1)
        context = IngestContext(
            project_id=self._project.project_id,
            site=site_of(self._project),
            scrub=self._services.scrub,
            browser_key=False,
            address="",
            address_hash=bytes(16),
            user_agent="",
            country="",
            salt=self._services.control.salt(),
            id_key=self._services.log.id_key,
            now_ms=time.time_ns() // 1_000_000,
            placeholders=self._services.placeholders,
            country_of=self._services.country_of,
            keeping=self._project.keeping,
        )
        on_disk: Future[None] = Future()
        accepted = accept(events, context, in_batch=True, checked=events.checked)
        self._services.log.append(accepted.rows, on_disk)
        if ids := accepted.placeholder_ids:
            self._services.count_placeholder_ids(self._project.project_id, ids)
        warned: Future[Warned] = Future()
        codes = Counter(notice.code for notice in accepted.warnings)
        on_disk.add_done_callback(partial(_pass_on, warned, codes))
        return warned


def _pass_on(warned: "Future[Warned]", codes: Warned, on_disk: "Future[None]") -> None:
    """The rows are on disk, or failed to get there."""
    if error := on_disk.exception():
        warned.set_exception(error)
    else:
        warned.set_result(codes)


def _post(server: Server, events: list[Event]) -> Warned:
    reply = server.post("/v1/batch", msgspec.json.encode({"events": events}))
    return Counter(notice["code"] for notice in reply.get("warnings", ()))
