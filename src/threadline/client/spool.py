"""Events on their way, on disk: they outlive the process."""

import errno
import fcntl
import logging
import os
import threading
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from threadline.client.queue import OnUnfit, QueuedEvent, encode

SEGMENT_BYTES = 1024 * 1024
SUFFIX = ".ndjson"

_logger = logging.getLogger("threadline")


@dataclass(slots=True)
class _File:
    """`descriptor` holds the lock. `events`: those that were not taken yet."""

    path: Path
    descriptor: int
    events: int = 0
    bytes: int = 0


class Spool:
    """A folder of files, one event a line. `put` returns when the operating system has the line,
    so events survive the end of the process, but not that of the machine.

    Each process writes files of its own and holds a lock on each; files without a lock are of
    processes that are gone, and belong to whoever finds them. A file is deleted when all of it has
    arrived; what of it had arrived before a crash is sent again, and counts once by its event_id.
    """

    outlives = True

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Raises `OSError` where the folder cannot be written."""
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        _make_private(folder)
        self._clear()
        self._adopt()

    def _clear(self) -> None:
        self._writing: _File | None = None
        self._finished: deque[_File] = deque()
        self._reading: Iterator[bytes] | None = None  # of the first that is finished
        self._bytes = 0

    def put(self, event: QueuedEvent) -> QueuedEvent | None:
        line = encode(event) + b"\n"
        with self._lock:
            if self._bytes + len(line) > self._max_bytes:
                return event
            file = self._writing = self._writing or self._begin()
            _append(file, line)
            self._bytes += len(line)
            if file.bytes >= SEGMENT_BYTES:
                self._finish()
        return None

    def take(self, max_events: int, max_bytes: int, unfit: OnUnfit) -> list[bytes]:
        taken: list[bytes] = []
        size = 0
        while len(taken) < max_events and size < max_bytes:
            line = self._next_line()
            if line is None:
                break
            taken.append(line)
            size += len(line)
        return taken

    def arrived(self) -> None:
        """Of a file, only when all of it has."""
        if self._reading is None and self._finished and self._finished[0].events == 0:
            with self._lock:
                file = self._finished.popleft()
                self._bytes -= file.bytes
            file.path.unlink(missing_ok=True)
            os.close(file.descriptor)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self.close()  # the parent's own copies hold the locks on

    def close(self) -> None:
        with self._lock:
            self._finish()
            for file in self._finished:
                os.close(file.descriptor)
            self._clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __len__(self) -> int:
        with self._lock:
            written = self._writing.events if self._writing else 0
            return written + sum(file.events for file in self._finished)

    def _next_line(self) -> bytes | None:
        """The next event; none at the end of a file, too, so that no batch spans two."""
        with self._lock:
            if self._reading is None:
                if not self._finished:
                    self._finish()
                if not self._finished:
                    return None
                self._reading = _lines(self._finished[0].path)
            line = next(self._reading, None)
            file = self._finished[0]
            if line is None:
                self._reading = None
                file.events = 0
            else:
                file.events = max(0, file.events - 1)
        return line

    def _begin(self) -> _File:
        path = self._folder / f"{uuid.uuid4().hex}{SUFFIX}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return _File(path, descriptor)

    def _finish(self) -> None:
        if self._writing is not None:
            self._finished.append(self._writing)
            self._writing = None

    def _adopt(self) -> None:
        """Files of processes that are gone."""
        for path in sorted(self._folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime):
            try:
                descriptor = os.open(path, os.O_RDWR)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except FileNotFoundError:
                continue
            except PermissionError:  # of another user, as are its events
                _logger.warning("the spool file %s cannot be opened: it is another user's", path)
                continue
            except BlockingIOError:
                os.close(descriptor)
                continue
            os.fchmod(descriptor, 0o600)
            events = sum(1 for _ in _lines(path)) if path.exists() else 0
            if not events:  # sent by another in the meantime
                path.unlink(missing_ok=True)
                os.close(descriptor)
                continue
            file = _File(path, descriptor, events, os.fstat(descriptor).st_size)
            self._bytes += file.bytes
            self._finished.append(file)


def _make_private(folder: Path) -> None:
    """Only this user may read what people did."""
    for part in [*reversed(folder.parents), folder]:
        if not part.exists():
            part.mkdir(0o700, exist_ok=True)
    with os.scandir(folder):  # it is a folder, and may be read
        pass
    if folder.stat().st_mode & 0o077:
        _logger.warning("others may look into the spool %s; chmod 700 ends that", folder)


def _append(file: _File, line: bytes) -> None:
    written = os.write(file.descriptor, line)
    if written < len(line):  # half a line would spoil the next one
        os.ftruncate(file.descriptor, file.bytes)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file.path))
    file.events += 1
    file.bytes += len(line)


def _lines(path: Path) -> Iterator[bytes]:
    """The events of a file. The last line of a process that was killed may be half a line."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"}\n"):
                yield line[:-1]
