"""What comes in pieces, under a path that the embedded engine reads as a file, so that nothing of
it lies on the disk."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def piped(chunks: Iterator[bytes]) -> Iterator[Path]:
    """The path, as long as the block lasts, at whose end it raises what the pieces raised."""
    failed: list[BaseException] = []
    with TemporaryDirectory(prefix="threadline-") as folder:
        path = Path(folder) / "pipe"
        os.mkfifo(path, 0o600)

        def feed() -> None:
            try:
                with path.open("wb") as pipe:
                    for chunk in chunks:
                        pipe.write(chunk)
            except BrokenPipeError:
                pass  # the reader has given up, and says why
            except BaseException as error:  # noqa: BLE001 - raised where the pieces are waited for
                failed.append(error)

        feeding = threading.Thread(target=feed, name="threadline-pipe", daemon=True)
        feeding.start()
        try:
            yield path
        finally:
            # If it was never opened by the reader, whoever feeds it still waits for that.
            with suppress(OSError):
                os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
            feeding.join()
    if failed:
        raise failed[0]
