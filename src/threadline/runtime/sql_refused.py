"""What is said of a statement that is not answered, or took too much."""

import re

from threadline.questions.sql_tables import COLUMNS
from threadline.questions.statement import STITCHED, NotAllowed, place_of
from threadline.store import QueryTimeout, QueryTooLarge, StoreAway, StoreError


class SqlRefused(Exception):
    """The statement is not answered; the message says why, and what to do."""


class SqlLimit(SqlRefused):
    """It was being answered, and took more than it may."""


class Explained:
    """What the engine says of a statement, in words for who wrote it."""

    def __init__(self, text: str, seconds: int) -> None:
        self._text, self._seconds = text, seconds

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, NotAllowed):
            raise SqlRefused(f"{error} {_columns()}") from error
        if isinstance(error, QueryTimeout):
            raise too_long(self._seconds) from error
        if isinstance(error, QueryTooLarge):
            raise SqlLimit(
                "The query takes more than its memory limit; ask for fewer rows, columns or groups."
            ) from error
        if isinstance(error, StoreError) and not isinstance(error, StoreAway):
            raise SqlRefused(_explained(str(error), self._text)) from error


NESTED = re.compile(r"maximum parse depth|stack size too large|too deep|TOO_DEEP", re.IGNORECASE)


def too_long(seconds: int) -> SqlLimit:
    """More than it may, of time."""
    return SqlLimit(f"The query took longer than {seconds} s; ask for less, or give it more time.")


def _columns() -> str:
    return f"Columns of {STITCHED}: {', '.join(COLUMNS[STITCHED])}."


def _explained(message: str, text: str) -> str:
    """The engine's message without what is not the user's: the query around theirs."""
    if "Multi-statements" in message:
        return f"Only one SELECT is answered at a time, and this is several. {_columns()}"
    if NESTED.search(message):
        return f"The query is nested too deeply; write it in fewer levels. {_columns()}"
    if "parseQueryToJSON" in message and "Syntax error" not in message:
        return f"Only SELECT is answered. {_columns()}"
    if "Syntax error" in message:
        place = place_of(message, text)
        if place:
            line, column, near = place
            near = f"near {near!r}" if near else "at its end"
            return (
                f"Syntax error in line {line}, column {column}, {near}. "
                f"Only SELECT is answered, in ClickHouse's SQL. {_columns()}"
            )
    said = re.sub(r"^.*?DB::Exception: ", "", " ".join(message.split()))
    said = re.split(r":? In scope | \(version |: While processing |: while executing ", said)[0]
    hint = _columns() if "UNKNOWN_IDENTIFIER" in message or "MISSING_COLUMNS" in message else ""
    return f"{said.rstrip('. ')}. {hint}".rstrip()
