"""More shards for the cluster that a data folder's events lie in, whether its server runs or not.

Rows are copied by whoever was asked to, beside the server. What takes a moment, the server does
itself, between two blocks and between two questions: the last rows, and the larger cluster in the
place of the smaller one.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from threadline.control.opened import open_nodes
from threadline.identity import states
from threadline.ingest import source_changes
from threadline.ingest.recovery import rebuild_states
from threadline.jobs.locks import ADDING, JobHeld, hold
from threadline.runtime import events_store, moving
from threadline.runtime.folder import is_served
from threadline.runtime.services import Services
from threadline.settings import Settings
from threadline.store import REBUILD, Store, StoreBusy, StoreError, adding, begin, standing
from threadline.store.adding import Addition, MovedRound
from threadline.store.moving import FOLLOW
from threadline.store.versions import Version

# Once a round takes no longer, the rest is brought while events wait.
QUICK_S = 3.0
MOST_ROUNDS = 8
DELETIONS_S = 600.0
DELETIONS_HELD_S = 20.0
# For so long questions wait for those that have begun just now; and so much longer than one may
# take the change waits, beside others, for those that began earlier.
QUESTIONS_S = 5.0
# What is partial on each node. Counts are right wherever they were counted, so they stay for now.
TAKEN_ALONG = tuple(table for table in FOLLOW if not states.state(table).has_sums)


def check_alone(settings: Settings) -> None:
    """Raises `StoreError` where other nodes write into the store: they would go on with the smaller
    cluster."""
    if not settings.is_one_of_several:
        return
    with open_nodes(settings.control) as nodes:
        running = [each.name for each in nodes.listed() if not (each.stopped or each.is_silent)]
    if len(running) > is_served(Path(settings.data)):
        raise StoreError(
            f"Several Threadlines write into this store ({', '.join(running)}), and shards can "
            "be added only while one does. Stop the others; start them with the new "
            "THREADLINE_STORE afterwards."
        )


def check_named(folder: Path, now: str, url: str) -> None:
    """Raises `StoreError` where the folder's events are not in the store that is `now`; it may be
    noted already that they are in the larger cluster."""
    note = events_store.read(folder)
    is_noted = note is not None and note.store == events_store.name_of(url, folder)
    if not (note and is_noted and events_store.name_of(now, folder) in note.left):
        events_store.check_note(folder, now)


def copy(more: Addition, read: Callable[[int], None]) -> list[Version]:
    """Bring what the new shards are to have, while it changes; until little is left. `read` is
    called with how many bytes came. Raises `StoreError`."""
    source_changes.settle(more.store)
    known: list[Version] = []
    for _ in range(MOST_ROUNDS):
        began = time.monotonic()
        known = _bring(more, known, read)
        if time.monotonic() - began < QUICK_S:
            break
    return known


def switch(
    services: Services,
    url: str,
    known: Sequence[Version],
    gone: Callable[[], bool] = lambda: False,
) -> None:
    """Bring the rest, and be the larger cluster. Events are acknowledged meanwhile, questions wait.
    `gone`: whether who asked does not wait any more; then nothing is changed. Raises `StoreError`;
    `StoreBusy` where questions that run take too long."""
    # Who asked may be killed, and others be at work then: they see this lock.
    try:
        with hold(Path(services.settings.data) / ADDING):
            if not gone():
                _change_over(services, url, known, gone)
    except JobHeld:
        raise StoreBusy("Shards are being added already.") from None
    finally:
        if services.store.url == url:
            services.settings = msgspec.structs.replace(services.settings, store=url)


def _change_over(
    services: Services, url: str, known: Sequence[Version], gone: Callable[[], bool]
) -> None:
    store, settings = services.store, services.settings
    if store.url == url:  # a node went away before the first table was divided
        adding.divide(url)
        store.open()
        return
    with adding.addition(store, url) as more:
        standing.await_deletions(store, DELETIONS_S)
        store.gate.await_long(settings.query_seconds + QUESTIONS_S)
        with services.caught_up():
            check_alone(settings)  # one may have been started since
            _end(more, Path(settings.data), known, gone)


def switch_stopped(settings: Settings, more: Addition, known: Sequence[Version]) -> None:
    """The same where no server runs. Raises also `LogError`."""
    moving.drain(settings, more.store)
    standing.await_deletions(more.store, DELETIONS_S)
    _end(more, Path(settings.data), known)


def finish(store: Store, settings: Settings, progressed: Callable[[str], None]) -> None:
    """What is partial on each node follows from the events there again, and deleted rows go off the
    disk. To be called `alone`, with the larger cluster."""
    served = partial(is_served, Path(settings.data))
    rebuild_states(store, settings, FOLLOW, served, progressed)
    store.erase_deleted()


def _bring(more: Addition, known: Sequence[Version], read: Callable[[int], None]) -> list[Version]:
    brought = more.bring(known, read)
    _follow(more, brought, anew=not known or brought.deleted)
    return brought.versions


def _follow(more: Addition, brought: MovedRound, anew: bool) -> None:
    """`anew`: not only what came, as who was forgotten may be in what is there."""
    for node in more.added:
        for table in TAKEN_ALONG:
            if anew:
                node.execute(f"TRUNCATE TABLE {table}")
                states.add(node, table, "TRUE", {})
            elif brought.months:
                came = "has({months:Array(String)}, e._partition_id)"
                states.add(node, table, came, {"months": brought.months})


def _end(
    more: Addition,
    folder: Path,
    known: Sequence[Version],
    gone: Callable[[], bool] = lambda: False,
) -> None:
    """Nothing is inserted meanwhile."""
    store = more.store
    standing.await_deletions(store, DELETIONS_HELD_S)
    _bring(more, known, lambda size: None)
    with store.gate.closed(QUESTIONS_S):
        if gone():
            raise StoreError("Who asked for more shards is gone, so nothing is changed.")
        begin(store, REBUILD, FOLLOW)  # should nobody `finish` it, the server does
        events_store.note_moved(folder, store.url, more.url)
        more.divide()
