"""Finishing what was interrupted, by whoever comes next: the server, or a command."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from threadline.control import ControlError
from threadline.identity import states
from threadline.ingest import receipts, reclassify
from threadline.ingest.log import open_db
from threadline.store import REBUILD, Statements, unfinished

LOCK_FILE = "maintenance.lock"
LOOK_AGAIN_S = 0.1


class AtWork(ControlError):
    """Another process rebuilds or reclassifies this folder's store."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Be the only one that rebuilds or reclassifies; the lock ends with the process. Raises
    `AtWork`."""
    with os.fdopen(os.open(folder / LOCK_FILE, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AtWork(
                f"A rebuild or reclassify is at work in {folder}, or the server finishes one; wait"
                " for it and try again."
            ) from None
        yield


def rebuild_states(
    store: Statements,
    folder: Path,
    tables: Sequence[str],
    served: Callable[[], bool],
    progressed: Callable[[str], None] = lambda table: None,
) -> None:
    """Make these states of identity, or all, anew from the events. `served`: whether a server is
    there to carry out requests to forget. To be called `alone`."""
    states.rebuild(store, tables, lambda: _forgotten(folder, served), progressed)


def finish_rebuilds(store: Statements, folder: Path, served: Callable[[], bool]) -> list[str]:
    """Finish the rebuilds that were interrupted, and say which. To be called `alone`, for then
    nobody else is about to.

    A `reclassify` is not gone on with: who stopped it may have meant it. But what it has under way
    is waited for, so that the states follow the events as they are then.
    """
    reclassify.settle(store)
    tables = sorted({work.subject for work in unfinished(store) if work.name == REBUILD})
    if tables:
        rebuild_states(store, folder, tables, served)
    return tables


def _forgotten(folder: Path, served: Callable[[], bool]) -> list[str]:
    """All requests to forget that were carried out; waits for those under way."""
    if not (folder / "log.db").exists():
        return []
    with closing(open_db(folder)) as db:
        found = receipts.listed(db)
        # Without a server nobody is about to carry them out.
        while served() and any(receipt.finished_ms is None for receipt in found):
            time.sleep(LOOK_AGAIN_S)
            found = receipts.listed(db)
    return [receipt.receipt_id for receipt in found if receipt.finished_ms is not None]
