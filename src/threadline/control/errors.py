"""What goes wrong with the control plane, as a sentence with the way out."""

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from threadline.sqlite import way_out


class ControlError(Exception):
    """What was asked for cannot be done; the message says why and what to do."""


class ControlFileError(ControlError):
    """The file cannot be read or written now, whatever was asked for."""


@contextmanager
def said_plainly(path: Path) -> Iterator[None]:
    """Errors of this SQLite file, and of the disk, become a `ControlFileError`."""
    try:
        yield
    except sqlite3.Error as error:
        way = way_out(error)
        if way is None:
            raise
        raise ControlFileError(f"{path} {way}") from error
    except OSError as error:
        where = error.filename or path
        raise ControlFileError(
            f"{where}: {error.strerror}. Free some space if the disk is full; else run the command "
            "as the owner of the data folder."
        ) from error


def log_line(event: str, **fields: object) -> None:
    """A warning in the server's log; on stderr where there is none."""
    import structlog  # takes as long as the rest of a command that makes a key

    logger = structlog.get_logger("threadline.control")
    if not structlog.is_configured():
        logger = structlog.wrap_logger(structlog.PrintLogger(sys.stderr))
    logger.warning(event, **fields)
