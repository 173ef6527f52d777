"""What goes wrong with PostgreSQL, as a sentence with the way out."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from threadline.control.errors import ControlError, ControlFileError

AWAY = (
    "does not answer: {said}. Look at that server, the network between, and what THREADLINE_CONTROL"
    " says."
)
OTHERS = (
    "has tables of these names that are not Threadline's. Name a database of its own in"
    " THREADLINE_CONTROL."
)
RIGHTS = (
    "refuses this: {said}. Its user has to own the database, or to be granted CREATE and USAGE on"
    " its schema and all rights on Threadline's tables."
)
# By SQLSTATE, or by the class that it begins with.
WAYS_OUT = {
    "08": AWAY,
    "57P": AWAY,
    "53300": "has no connection left: {said}. Raise max_connections, or use fewer nodes.",
    "53100": "cannot grow because its disk is full. Free some space there, then try again.",
    "53": "is out of resources: {said}. Look at that server, then try again.",
    "55P03": "is locked by another transaction, such as one in psql that was left open. Let it end,"
    " then try again.",
    "57014": "took too long and was stopped: {said}. Look at what else that server does.",
    "25P03": "ended a transaction in which nothing happened for long. Try again.",
    "25006": "is read-only: {said}. Name the primary server in THREADLINE_CONTROL; of several hosts"
    " `?target_session_attrs=read-write` takes it.",
    "42501": RIGHTS,
    "42P07": OTHERS,
    "42703": OTHERS,
    "42P01": "has not all tables of Threadline: {said}. Restore the database from a copy.",
    "58": "reports an error of its disk or system: {said}. Look at that server's log.",
    "XX": "reports that it is damaged or at fault: {said}. Look at that server's log.",
    "40": "could not finish because of another transaction: {said}. Try again.",
}
# Who cannot connect is told in words only.
CONNECTING = (
    (r"password authentication failed|no password supplied|authentication failed",
     "refuses the user or the password. Correct them in THREADLINE_CONTROL; in a password, %40"
     " stands for @, %2F for / and %3A for a colon."),
    (r'role "[^"]*" does not exist', "has no such user. Make it there: CREATE USER … PASSWORD …."),
    (r'database "[^"]*" does not exist',
     "does not exist. Make it there: CREATE DATABASE … OWNER …."),
    (r"no pg_hba\.conf entry",
     "lets nobody in from here: {said}. Add this machine to its pg_hba.conf."),
    (r"permission denied for database|not permitted to log in", RIGHTS),
    (r"too many (clients|connections)|remaining connection slots", WAYS_OUT["53300"]),
    (r"session is read-only|session is not read-only", WAYS_OUT["25006"]),
)  # fmt: skip


@contextmanager
def said_plainly(name: str) -> Iterator[None]:
    """Errors of PostgreSQL become a `ControlFileError`, but for those that are faults of ours."""
    try:
        yield
    except psycopg.DataError as error:
        if "NUL" not in str(error) and error.sqlstate != "22021":
            raise
        raise ControlError(
            "A text has the character NUL in it, which PostgreSQL does not keep. Leave it out."
        ) from error
    except psycopg.Error as error:
        way = _way_out(error)
        if way is None:
            raise
        raise ControlFileError(f"{name} {way.format(said=_first_line(error))}") from error


def _way_out(error: psycopg.Error) -> str | None:
    state = error.sqlstate
    if state is None:
        if not isinstance(error, psycopg.OperationalError):
            return None
        said = str(error)
        return next((way for words, way in CONNECTING if re.search(words, said)), AWAY)
    # The longest that fits: all of it, or a class.
    return next((WAYS_OUT[state[:n]] for n in (5, 3, 2) if state[:n] in WAYS_OUT), None)


def _first_line(error: psycopg.Error) -> str:
    """What the server or the library said. Neither repeats a password."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1 if lines[0].endswith(":") else 0].strip(" -.").removeprefix("FATAL: ")
