"""Finishing what was interrupted, by whoever comes next: the server, or a command."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from threadline.control import Control, ControlError
from threadline.control.opened import open_nodes
from threadline.control.others import NOBODY, Others, Taken
from threadline.identity import states
from threadline.ingest import receipts, source_changes
from threadline.ingest.log import open_db
from threadline.jobs import EXCLUSIVE, Cancelled, JobHeld, hold, jobs_db, table
from threadline.jobs.locks import ADDING, INSERTING, is_held, wait_for
from threadline.settings import Settings
from threadline.store import REBUILD, Statements, finish, unfinished

LOOK_AGAIN_S = 0.1


class AtWork(ControlError):
    """Another process rebuilds or reclassifies this folder's store."""


@contextmanager
def others_of(settings: Settings) -> Iterator[Others]:
    """Who else may write into the store. Raises `ControlError`."""
    if not settings.is_one_of_several:
        yield NOBODY
        return
    with open_nodes(settings.control) as nodes:
        yield nodes.locks


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Be the only one that rebuilds or reclassifies, on any node; the lock ends with the process.
    Raises `AtWork`, and `ControlFileError` where nodes cannot agree."""
    folder = Path(settings.data)
    with ExitStack() as held:
        try:
            held.enter_context(hold(folder / EXCLUSIVE))
        except JobHeld:
            raise AtWork(
                f"A rebuild, reclassify or shard add is running in {folder}, or the server is "
                "finishing one; wait for it and try again. `threadline jobs` shows the progress."
            ) from None
        if is_held(folder / ADDING):
            raise AtWork(
                f"The server in {folder} changes over to more shards, as it was asked to; try again"
                " in a moment."
            )
        try:
            held.enter_context(held.enter_context(others_of(settings)).maintaining())
        except Taken:
            raise AtWork(
                "Another node rebuilds, reclassifies or deletes; wait for it and try again."
                " `threadline jobs` shows there how far it is."
            ) from None
        yield


def rebuild_states(
    store: Statements,
    settings: Settings,
    tables: Sequence[str],
    served: Callable[[], bool],
    progressed: Callable[[str], None] = lambda table: None,
) -> None:
    """Make these states of identity, or all, anew from the events. `served`: whether a server is
    there to carry out requests to forget. To be called `alone`.

    `progressed` may raise `Cancelled`: then those to come stay as they are, and those of them that
    were in order before are not left over for anybody to finish."""
    folder = Path(settings.data)
    needed = _listed(store)
    done: list[str] = []

    def begin(table: str) -> None:
        progressed(table)
        done.append(table)

    @contextmanager
    def no_inserts() -> Iterator[None]:
        with wait_for(folder / INSERTING), others.nobody_inserts():
            yield

    try:
        with others_of(settings) as others:
            states.rebuild(
                store,
                tables,
                lambda: (_forgotten(folder, served), others.forgotten()),
                begin,
                no_inserts,
                outliving(settings),
            )
    except Cancelled:
        for at in _listed(store) - needed - set(done):
            finish(store, REBUILD, at)
        raise


def outliving(settings: Settings) -> frozenset[str]:
    """Projects whose first touches outlive the events that they follow from."""
    if settings.control_is_missing:
        return frozenset()
    with Control.of(settings, create=False, only_revoking=True) as control:
        return frozenset(control.look().touches_kept)


def finish_rebuilds(
    store: Statements,
    settings: Settings,
    served: Callable[[], bool],
    progressed: Callable[[str], None] = lambda table: None,
) -> list[str]:
    """Finish the rebuilds that were interrupted, and say which. To be called `alone`, for then
    nobody else is about to. What a `reclassify` has under way is waited for, so that the states
    follow the events as they are then."""
    source_changes.settle(store)
    tables = sorted(_listed(store))
    if tables:
        rebuild_states(store, settings, tables, served, progressed)
    return tables


def end_alike(folder: Path, kind: str) -> None:
    """All interrupted jobs of this kind are done: another one did what was left of them."""
    with jobs_db(folder) as db:
        if db is not None:
            left = [job.job_id for job in table.open_of_kind(db, kind)]
            table.end(db, left, table.DONE)


def _listed(store: Statements) -> set[str]:
    return {mark.subject for mark in unfinished(store) if mark.name == REBUILD}


def _forgotten(folder: Path, served: Callable[[], bool]) -> list[str]:
    """All requests to forget that were carried out; waits for those under way."""
    if not (folder / "log.db").exists():
        return []
    with closing(open_db(folder)) as db:
        if not table.exists(db):  # of a version that has not been started since
            return []
        found = receipts.listed(db)
        # Without a server nobody is about to carry them out.
        while served() and any(receipt.finished_ms is None for receipt in found):
            time.sleep(LOOK_AGAIN_S)
            found = receipts.listed(db)
    return [receipt.receipt_id for receipt in found if receipt.finished_ms is not None]
