"""Who is at work: locks that end with the process that holds them, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Held by the one job that writes the derived tables or the events anew.
EXCLUSIVE = "maintenance.lock"
# Held by the server as long as it takes more shards in: it goes on where who asked it to is killed.
ADDING = "adding.lock"
# Held by whoever inserts events, for as long as an insert takes.
INSERTING = "inserting.lock"
# Held by each job while somebody is at work on it: one file a job, in this folder.
AT_WORK = "jobs"


class JobHeld(Exception):
    """Another process has it."""


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Raises `JobHeld`."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JobHeld(str(path)) from None
        yield


@contextmanager
def wait_for(path: Path) -> Iterator[None]:
    """Hold it as soon as nobody else does."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_held(path: Path) -> bool:
    """Whether somebody has it now."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def at_work(folder: Path, job_id: str) -> Iterator[None]:
    """Be the one who works on this job, as long as the block lasts. Raises `JobHeld`."""
    path = folder / AT_WORK / f"{job_id}.lock"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with hold(path):
        try:
            yield
        finally:
            with suppress(FileNotFoundError):
                path.unlink()


def is_at_work(folder: Path, job_id: str) -> bool:
    return is_held(folder / AT_WORK / f"{job_id}.lock")
