"""One process serves a data folder: the lock on it, and whose it is."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

LOCK_FILE = "server.json"


class FolderInUse(Exception):
    """Another process serves this data folder."""


class Running(msgspec.Struct):
    """What the lock file says of the server that holds it."""

    pid: int
    url: str


def running_server(folder: Path) -> Running | None:
    """The server that serves this folder now, if there is one."""
    try:
        with (folder / LOCK_FILE).open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return msgspec.json.decode(file.read(), type=Running)
    except (FileNotFoundError, msgspec.DecodeError):
        pass
    return None


@contextmanager
def folder_lock(folder: Path, url: str) -> Iterator[None]:
    """Hold the folder for the server at `url`. Raises `FolderInUse`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK_FILE
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held = running_server(folder)
            holder = f" (process {held.pid}, {held.url})" if held else ""
            raise FolderInUse(
                f"Another Threadline serves {folder}{holder}. Stop it, or give another --data."
            ) from None
        file.truncate()
        file.write(msgspec.json.encode(Running(os.getpid(), url)))
        file.flush()
        yield
