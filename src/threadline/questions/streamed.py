"""An answer as a file that is read while the engine still writes it."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

FIRST_BYTES = 64 * 1024


class EnginePipe:
    """A pipe out of the engine, with the part of a file that readers need. Nothing of the answer
    lies on the disk, however large it is."""

    def __init__(self, write: Callable[[Path], None]) -> None:
        """`write` writes the answer to a path, and runs on a thread of its own. Waits for the first
        bytes, and raises what keeps them from coming."""
        reading, writing = os.pipe()
        self._source = os.fdopen(reading, "rb", buffering=0)
        self._failure: BaseException | None = None
        self._closed = False
        self._thread = threading.Thread(
            target=self._write, args=(write, writing), name="threadline-export", daemon=True
        )
        self._thread.start()
        try:
            self._first = self._read(FIRST_BYTES)
        except BaseException:
            self._source.close()
            raise

    def _write(self, write: Callable[[Path], None], writing: int) -> None:
        try:
            write(Path(f"/dev/fd/{writing}"))
        except BaseException as error:  # noqa: BLE001 - whoever reads is told
            self._failure = error
        finally:
            os.close(writing)

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end. Raises what went wrong in the middle."""
        first, self._first = self._first[:size], self._first[size:]
        return first or self._read(size)

    def _read(self, size: int) -> bytes:
        piece = self._source.read(size)
        if not piece:
            self._thread.join()
            if self._failure:
                raise self._failure
        return piece

    def close(self) -> None:
        """Whatever is still to come is not wanted: the engine finds the pipe closed, and stops."""
        if not self._closed:
            self._closed = True
            self._source.close()
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
