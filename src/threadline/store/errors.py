"""What can go wrong with the store, and which of ClickHouse's error codes mean what."""

from collections.abc import Iterator
from contextlib import contextmanager

from clickhouse_connect.driver.exceptions import (
    ClickHouseError,
    DatabaseError,
    OperationalError,
)
from urllib3.exceptions import HTTPError

# Values that it cannot take, now or ever.
REFUSALS = {
    6: "CANNOT_PARSE_TEXT",
    27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
    32: "ATTEMPT_TO_READ_AFTER_EOF",
    33: "CANNOT_READ_ALL_DATA",
    38: "CANNOT_PARSE_DATE",
    41: "CANNOT_PARSE_DATETIME",
    53: "TYPE_MISMATCH",
    69: "ARGUMENT_OUT_OF_BOUND",
    70: "CANNOT_CONVERT_TYPE",
    72: "CANNOT_PARSE_NUMBER",
    117: "INCORRECT_DATA",
    131: "TOO_LARGE_STRING_SIZE",
    321: "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
    349: "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
    469: "VIOLATED_CONSTRAINT",
}

# It is busy, full or cut off: the same may work in a while.
TROUBLES = {
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    209: "SOCKET_TIMEOUT",
    210: "NETWORK_ERROR",
    225: "NO_ZOOKEEPER",
    242: "TABLE_IS_READ_ONLY",
    243: "NOT_ENOUGH_SPACE",
    252: "TOO_MANY_PARTS",
    279: "ALL_CONNECTION_TRIES_FAILED",
    285: "TOO_FEW_LIVE_REPLICAS",
    286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
    319: "UNKNOWN_STATUS_OF_INSERT",
    394: "QUERY_WAS_CANCELLED",
    999: "KEEPER_EXCEPTION",
}

# A node that goes away in the middle of a packet ends what another reads from it, with the code of
# values that end too early.
OF_A_NODE = "while receiving packet from "

TIMEOUT_EXCEEDED = 159
MEMORY_LIMIT_EXCEEDED = 241
TABLE_ALREADY_EXISTS = 57
UNKNOWN_TABLE = 60
UNKNOWN_DATABASE = 81


class StoreError(Exception):
    """The store did not carry out a statement; the message is the engine's."""


class StoreRefused(StoreError):
    """And never will: what it was given cannot be stored."""


class StoreAway(StoreError):
    """It cannot be reached, or has too much to do: try again later."""


class StoreBusy(StoreAway):
    """It is there, but everything that may be asked of it at the same time is being asked."""


class QueryTimeout(StoreError):
    """The question took longer than it may."""


class QueryTooLarge(StoreAway):
    """The statement needed more memory than it may take; in a while, or for less, it may do."""


@contextmanager
def store_errors() -> Iterator[None]:
    """The driver's errors as ours."""
    try:
        yield
    except ClickHouseError as error:
        raise _kind(error)(_words(error)) from error
    except HTTPError as error:  # in the middle of an answer that is read as it comes
        raise StoreAway(f"ClickHouse broke off in the middle of an answer ({error}).") from error


def _kind(error: ClickHouseError) -> type[StoreError]:
    code = error.code if isinstance(error, DatabaseError) else None
    if code in REFUSALS:
        return StoreAway if OF_A_NODE in str(error) else StoreRefused
    if code == TIMEOUT_EXCEEDED:
        return QueryTimeout
    if code == MEMORY_LIMIT_EXCEEDED:
        return QueryTooLarge
    if code in TROUBLES or (code is None and isinstance(error, OperationalError)):
        return StoreAway
    return StoreError


def _words(error: ClickHouseError) -> str:
    """The engine's message. Of a server that is not reached the driver names its own objects; the
    reason lies at the bottom."""
    if not isinstance(error, OperationalError) or error.code is not None:
        return str(error)
    cause: BaseException = error
    while deeper := cause.__cause__ or cause.__context__:
        cause = deeper
    if not isinstance(cause, OSError):
        return str(error)
    return f"ClickHouse is not reached: {cause.strerror or cause}"
