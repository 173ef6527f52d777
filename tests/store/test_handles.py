"""An answer belongs to its question, whatever became of the one before it on the same handle."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from threadline.store import (
    READERS,
    Query,
    QueryTimeout,
    QueryTooLarge,
    Store,
    StoreAway,
    StoreBusy,
    StoreError,
    handles,
    store_url,
)
from threadline.store.connection import connect

# Each has sent a part of its answer when it fails.
HALF_ANSWERS = {
    "throws": "SELECT toUInt64(number) AS n, throwIf(number = 500000) AS t FROM numbers(1000000)",
    "takes too long": "SELECT toUInt64(number) AS n, toUInt8(sleepEachRow(0.001)) AS t"
    " FROM numbers(1000000) SETTINGS max_block_size = 100, max_execution_time = 1",
    "takes too much memory": "SELECT n, toUInt8(0) AS t FROM (SELECT toUInt64(number) AS n FROM"
    " numbers(1000) UNION ALL"
    " SELECT count() FROM (SELECT groupArray(number) FROM numbers(1000000000)))"
    " SETTINGS max_memory_usage = 20000000, max_threads = 1",
}
NEXT = "SELECT toUInt64(7) AS n, toUInt8(0) AS t"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with Store(store_url("chdb", folder), query_seconds=5) as opened:
        yield opened


@pytest.mark.parametrize("failing", HALF_ANSWERS.values(), ids=HALF_ANSWERS)
def test_a_half_answer_is_nobodys(store: Store, failing: str) -> None:
    for _ in range(READERS):
        with pytest.raises(StoreError):
            store.query(failing, {})
        for _ in range(READERS):
            assert store.query(NEXT, {}) == [{"n": 7, "t": 0}]
    asked: list[Query] = [(f"SELECT toUInt64({n}) AS n", {}) for n in range(3 * READERS)]
    assert store.query_all(*asked) == [[{"n": n}] for n in range(3 * READERS)]


@pytest.mark.parametrize("ask", [Store.query_bytes, Store.query])
def test_other_ways_of_asking(store: Store, ask: Callable[..., object]) -> None:
    with pytest.raises(StoreError):
        ask(store, HALF_ANSWERS["throws"], {})
    assert store.query(NEXT, {}) == [{"n": 7, "t": 0}]


def test_statements_too(store: Store) -> None:
    for _ in range(3):
        with pytest.raises(StoreError):
            store.execute("INSERT INTO event_ids (hash) SELECT throwIf(number = 3) FROM numbers(9)")
    store.insert("event_ids", ["hash"], "RowBinary", bytes(8), "token")
    assert store.query("SELECT count() AS ids FROM event_ids WHERE hash = 0", {}) == [{"ids": 1}]


def test_what_went_wrong_is_said(store: Store) -> None:
    with pytest.raises(QueryTimeout):
        store.query(HALF_ANSWERS["takes too long"], {})
    with pytest.raises(QueryTooLarge):
        store.query(HALF_ANSWERS["takes too much memory"], {})


def test_whoever_gives_up_leaves_nothing(store: Store) -> None:
    """A reader that stops in the middle of an answer, as when its request is cancelled."""

    class GaveUp(BaseException):
        """Not an `Exception`, as those that cancel are not."""

    def read_a_little() -> None:
        with (
            store._reader() as client,
            client.query_rows_stream("SELECT number AS n FROM numbers(10000000)") as rows,
        ):
            next(iter(rows))
            raise GaveUp

    for _ in range(READERS):
        with pytest.raises(GaveUp):
            read_a_little()
        assert store.query(NEXT, {}) == [{"n": 7, "t": 0}]


def test_a_failed_opening_leaves_no_closed_handle(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = 0

    def refuse_sometimes(*given: object) -> Client:
        nonlocal refused
        refused += 1
        if refused % 2:
            raise StoreAway("not now")
        return connect(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(handles, "connect", refuse_sometimes)
    store = Store(store_url("chdb", folder))
    with store:
        answers = []
        for _ in range(6 * READERS):
            try:
                answers.append(store.query(NEXT, {}))
            except StoreAway:
                continue
        assert refused, "nothing was refused, so nothing was shown"
        assert answers
        assert all(answer == [{"n": 7, "t": 0}] for answer in answers)


def test_who_waits_too_long_is_told(store: Store) -> None:
    """With all handles out, the next is refused after a while instead of waiting for ever."""
    gate, taken = threading.Event(), threading.Barrier(READERS + 1)

    def hold() -> None:
        with store._reader():
            taken.wait()
            gate.wait()

    holding = [threading.Thread(target=hold) for _ in range(READERS)]
    for thread in holding:
        thread.start()
    taken.wait()
    try:
        with pytest.raises(StoreBusy), store._reader(wait_s=0.01):
            raise AssertionError("there was none left")
        store.ping()  # whether it is there is asked on a handle of its own
    finally:
        gate.set()
        for thread in holding:
            thread.join()
    assert store.query(NEXT, {}) == [{"n": 7, "t": 0}]
