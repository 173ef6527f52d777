"""One process serves a data folder: the lock on it, and whose it is."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from threadline.private import make_folder

LOCK_FILE = "server.json"


TEMPORARY = "tmp"


class FolderInUse(Exception):
    """Another process serves this data folder."""


class ServerStarting(Exception):
    """A server has the folder, but does not answer yet."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"The server on {folder} is still starting; try again in a few seconds.")


class Running(msgspec.Struct):
    """What the lock file says of the server that holds it."""

    pid: int
    url: str


def running_server(folder: Path) -> Running | None:
    """The server that serves this folder now, if there is one.

    Raises `ServerStarting` in the moment between taking the folder and saying who has it.
    """
    try:
        with (folder / LOCK_FILE).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return msgspec.json.decode(file.read(), type=Running)
    except FileNotFoundError:
        pass
    except msgspec.DecodeError:
        raise ServerStarting(folder) from None
    return None


def is_served(folder: Path) -> bool:
    """Whether a server serves this folder now. Raises as `running_server`."""
    return running_server(folder) is not None


@contextmanager
def temporary_files(folder: Path) -> Iterator[None]:
    """Have temporary files made in the folder, as long as the block lasts: the engine's driver puts
    every block of events into one. What a killed process left there is removed."""
    own, before = folder / TEMPORARY, tempfile.tempdir
    shutil.rmtree(own, ignore_errors=True)
    make_folder(own)
    tempfile.tempdir = str(own)
    try:
        yield
    finally:
        tempfile.tempdir = before
        shutil.rmtree(own, ignore_errors=True)


def server_at(port: int, where: Path) -> Path | None:
    """The folder inside `where` whose server has this port."""
    locks = where.glob(f"*/{LOCK_FILE}")
    # A link to it is another name of the same.
    for lock in sorted(locks, key=lambda found: (found.parent.is_symlink(), found)):
        try:
            server = running_server(lock.parent)
        except (OSError, ServerStarting):
            continue
        if server and urlsplit(server.url).port == port:
            return lock.parent
    return None


@contextmanager
def folder_lock(folder: Path, url: str) -> Iterator[None]:
    """Hold the folder for the server at `url`; nobody else may look into it.

    Raises `FolderInUse`, `OSError`.
    """
    make_folder(folder)
    path = folder / LOCK_FILE
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(folder)
            raise FolderInUse(
                f"Another Threadline serves {folder}{holder}. Stop it, or give another --data."
            ) from None
        file.truncate()
        file.write(msgspec.json.encode(Running(os.getpid(), url)))
        file.flush()
        yield


def _holder(folder: Path) -> str:
    try:
        held = running_server(folder)
    except ServerStarting:
        held = None
    if not held:
        return ""
    return f" (process {held.pid}, {held.url or 'a command that needs it for itself'})"
