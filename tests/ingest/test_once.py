"""Each event once: within a request, across requests, across restarts; and replayed blocks."""

import random
import signal
import threading
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import Json, Project, Server, ids, row_values
from threadline.ingest import row
from threadline.ingest.accept import event_id_hash
from threadline.ingest.bloom import Bloom
from threadline.ingest.log import ForgetRequest, Log
from threadline.ingest.seen import SeenIds
from threadline.ingest.writer import Writer
from threadline.store import Params, Store, StoreError, store_url

WAIT_S = 30


def values(event_id: str, **fields: row.Value) -> list[row.Value]:
    return row_values(event_id=event_id, **fields)


def append(log: Log, *rows: list[row.Value]) -> None:
    hashes = array("Q", (event_id_hash(log.id_key, str(r[0]), str(r[2])) for r in rows))
    done: Future[None] = Future()
    log.append(row.Rows.encode(rows, hashes), done)
    done.result(WAIT_S)


def stored(store: Store) -> list[str]:
    return [r["event_id"] for r in store.query("SELECT event_id FROM events ORDER BY event_id", {})]


def test_a_repeat_is_answered_like_the_first_and_stored_once(project: Project) -> None:
    event = {"event": "x", "event_id": "e1"}
    assert project.track(**event) == project.track(**event)
    assert project.batch([event, event, {"event": "x", "event_id": "e2"}])["count"] == 3
    assert sorted(ids(project.stored())) == ["e1", "e2"]


def test_repeats_at_the_same_time_count_once(server: Server, project: Project) -> None:
    events = [{"event": "x", "event_id": f"e{number}"} for number in range(200)]

    def send() -> None:
        sender = project.again()
        for start in range(0, 200, 20):
            sender.batch(events[start : start + 20])

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(project.stored()) == 200


def test_three_times_from_eight_connections_across_a_restart_count_once(folder: Path) -> None:
    """Every connection sends a third of all events three times over, in an order of its own; the
    server is killed in between."""
    events = [
        {
            "event": "signup" if number % 10 == 9 else "$pageview",
            "event_id": f"e{number}",
            "anonymous_id": f"a{number // 10}",
            "user_id": f"u{number // 10}" if number % 10 == 9 else None,
            "timestamp": f"2026-05-01T10:{number // 60 % 60:02}:{number % 60:02}Z",
        }
        for number in range(600)
    ]
    batches = [events[start : start + 30] for start in range(0, 600, 30)] * 3

    def send(project: Project, part: list[list[Json]]) -> None:
        sender = project.again()
        for batch in part:
            sender.batch(batch)

    def send_all(project: Project, batches: list[list[Json]]) -> None:
        shuffled = random.Random(7).sample(batches, len(batches))
        parts = [shuffled[number::8] for number in range(8)]
        threads = [threading.Thread(target=send, args=(project, part)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with Server(folder) as server:
        project = Project(server)
        send_all(project, batches[:30])
        server.stop(signal.SIGKILL)
    with Server(folder) as server:
        project = project.again(server)
        send_all(project, batches[30:])
        assert len(project.stored()) == 600
        assert len(project.stored(event="signup")) == 60
        users = project.pages("/v1/users", conversion="signup")
        assert [user["seconds_to_conversion"] for user in users] == [9] * 60
        assert len(project.journey("u0")) == 10
        (times,) = project.ask("/v1/time-to-conversion", conversion="signup")["rows"]
        assert times["persons"] == 60
        server.stop()


def test_a_restart_forgets_neither_events_nor_ids(folder: Path) -> None:
    with Server(folder) as server:
        project = Project(server)
        project.batch([{"event": "x", "event_id": f"e{n}", "anonymous_id": "a"} for n in range(50)])
        assert server.stop() == 0
    with Server(folder) as server:
        project = project.again(server)
        assert len(project.stored()) == 50
        project.batch([{"event": "x", "event_id": f"e{n}", "anonymous_id": "a"} for n in range(60)])
        assert len(project.stored()) == 60
        server.stop()


def test_what_is_acknowledged_survives_a_kill(folder: Path) -> None:
    with Server(folder) as server:
        project = Project(server)
        acknowledged = [project.track("x", anonymous_id="a")["event_id"] for _ in range(100)]
    with Server(folder) as server:
        project = project.again(server)
        assert sorted(ids(project.stored())) == sorted(acknowledged)
        server.stop()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(store_url("chdb", tmp_path_factory.mktemp("ids"))) as store:
        yield store


@pytest.fixture
def empty(opened: Store) -> Store:
    """A store that knows no ids."""
    opened.execute("TRUNCATE TABLE event_ids")
    return opened


class Clocks:
    """A machine's clocks, moved by hand: the one on the wall, and how long it has been running."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.wall_s = datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp()
        self.running_s = 0.0
        patch.setattr("threadline.ingest.seen._now", lambda: self.wall_s)

    def seen(self, store: Store, days: int = 7) -> SeenIds:
        """As after a start."""
        return SeenIds(store, days, lambda: self.running_s)

    def run(self, seen: SeenIds, days: float) -> None:
        """Time goes by, and the writer looks around."""
        for _ in range(round(days * 24)):
            self.wall_s += 3600
            self.running_s += 3600
            seen.look_around()


def hashes(*ids: int) -> row.Hashes:
    return np.array(ids, dtype=np.uint64)


def known(seen: SeenIds, *ids: int) -> list[int]:
    """Those that are repeats."""
    return [ids[place] for place in seen.repeats(hashes(*ids)).tolist()]


def partitions(store: Store) -> list[str]:
    sql = "SELECT DISTINCT _partition_id AS day FROM event_ids ORDER BY day"
    return [found["day"] for found in store.query(sql, {})]


def test_ids_are_remembered_for_the_whole_window_and_then_dropped(
    empty: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks = Clocks(monkeypatch)
    seen = clocks.seen(empty)
    for day in range(12):
        seen.remember(hashes(day + 1), f"block {day}")
        clocks.run(seen, days=1)
        window = range(max(0, day - 6), day + 1)
        assert set(known(seen, *range(1, 14))) >= {number + 1 for number in window}
    assert known(seen, *range(1, 14)) == list(range(6, 13)), "no more than a day longer"
    assert partitions(empty) == [f"202605{day:02}" for day in range(6, 13)]
    assert known(clocks.seen(empty), *range(1, 14)) == list(range(6, 13)), "after a start"


@pytest.mark.parametrize("restart", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize(
    "moves",
    [(9, -9), (-1, 1), (-30, 30), (9, -18, 9), (3650, -3650), (-20_000, 20_000), (1,) * 40],
    ids=["nine ahead", "one back", "thirty back", "both", "years ahead", "1971", "day after day"],
)
def test_a_clock_that_is_moved_forgets_no_id(
    moves: tuple[int, ...], restart: bool, empty: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches come before, between and after; six days later all are known. What is only faked may
    move the running clock, too, so it moves along here."""
    clocks = Clocks(monkeypatch)
    seen = clocks.seen(empty)
    seen.remember(hashes(1, 2, 3), "before")
    for number, days in enumerate(moves):
        clocks.wall_s += days * 86_400
        clocks.running_s += days * 86_400
        if restart:
            seen = clocks.seen(empty)
        assert known(seen, 1, 2, 3) == [1, 2, 3]
        seen.remember(hashes(100 + number), f"block {number}")
    every = [1, 2, 3, *(100 + number for number in range(len(moves)))]
    clocks.run(seen, days=5)
    assert known(seen, *every, 9) == every
    seen = clocks.seen(empty)
    assert known(seen, *every, 9) == every


def test_a_new_day_reads_nothing_again(empty: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One filter a day: at midnight one begins, and an old one goes; nothing is read from the
    table."""
    clocks = Clocks(monkeypatch)
    asked: list[str] = []
    seen = clocks.seen(empty)
    seen.remember(hashes(*range(1, 1000)), "block")
    with monkeypatch.context() as listening:
        for name in ("query", "query_bytes"):
            answer = getattr(empty, name)

            def listen(sql: str, bound: Params, answer: Callable[..., Any] = answer) -> Any:
                asked.append(sql)
                return answer(sql, bound)

            listening.setattr(empty, name, listen)
        for day in range(10):
            clocks.run(seen, days=1)
            seen.remember(hashes(2000 + day), f"block {day}")
        assert asked == []
        assert known(seen, 1, 2009) == [2009]
        assert len(asked) == 1, "only what may be known is looked up"


def test_filters_that_are_full_or_not_yet_read_forget_nothing(
    empty: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More ids than were expected, several times over; then a start that reads them in slices, and
    ids that come while it does. Once with memory enough, once without."""
    monkeypatch.setattr("threadline.ingest.seen.LEAST_IDS", 100)
    monkeypatch.setattr("threadline.ingest.seen.SLICE_IDS", 500)
    clocks = Clocks(monkeypatch)
    spread = np.random.default_rng(1).integers(1, 2**64 - 1, 6000, dtype=np.uint64)
    old, new, never = spread[:4000], spread[4000:5000], spread[5000:]
    for most_bytes in (512 * 1024**2, 1000):
        monkeypatch.setattr("threadline.ingest.seen.MOST_BYTES", most_bytes)
        empty.execute("TRUNCATE TABLE event_ids")
        seen = clocks.seen(empty)
        for start in range(0, 4000, 250):
            seen.remember(old[start : start + 250], f"block {start}")
        assert len(seen.repeats(old)) == 4000
        seen = clocks.seen(empty)
        for start in range(0, 1000, 100):
            assert len(seen.repeats(spread)) == 4000 + start
            seen.remember(new[start : start + 100], f"new block {start}")
        assert len(seen.repeats(spread)) == 5000
        assert len(seen.repeats(never)) == 0


def test_a_filter_has_all_that_was_added_and_little_else() -> None:
    spread = np.random.default_rng(1).integers(0, 2**64 - 1, 200_000, dtype=np.uint64)
    added, others = spread[:100_000], spread[100_000:]
    bloom = Bloom(100_000)
    for some in np.array_split(np.concatenate([added, added[:1000]]), 7):
        bloom.add(some)
    assert bloom.may_hold(added).all()
    assert bloom.may_hold(others).mean() < 1 / 500
    assert bloom.full


def test_a_full_log_refuses_and_recovers(folder: Path) -> None:
    log = Log(folder, max_bytes=10)
    append(log, values("e1"))
    with pytest.raises(Exception, match="log is full"):
        append(log, values("e2"))
    block = log.next_block()
    assert block
    log.finish(block)
    append(log, values("e2"))
    log.close()


def test_a_block_replayed_after_a_crash_lands_once_states_included(folder: Path) -> None:
    with Store(store_url("chdb", folder)) as store:
        log = Log(folder)
        append(log, values("e1"), values("e2", user_id="u"))
        block = log.next_block()
        assert block
        log.settle(block, np.array([], dtype=np.intp))
        store.insert("events", row.COLUMNS, "MsgPack", block.rows.body, block.token)
        log.close()  # the crash: the store has the block, the log does not know

        log = Log(folder)
        append(log, values("e3"))
        again = log.next_block()
        assert again
        assert (again.token, again.rows) == (block.token, block.rows), "whatever came after"
        writer = Writer(log, store)
        assert writer.catch_up(WAIT_S)
        writer.close()
        log.close()
        assert stored(store) == ["e1", "e2", "e3"]
        # Rows of the states, not their minima, which a repeat would leave as they are.
        states = {"links": 1, "device_users": 1, "user_touches": 1, "visitor_touches": 2}
        for table, rows in states.items():
            (counted,) = store.query(f"SELECT count() AS rows FROM {table}", {})
            assert counted["rows"] <= rows


def test_a_crash_between_events_and_states_is_mended_by_the_replay(folder: Path) -> None:
    """The views missed the block. It comes again: the events stay as they are, the states get
    it; a third time nothing happens."""
    states = ["links", "device_users", "visitor_touches", "user_touches"]
    body = b"".join(map(row.encode, [values("e1"), values("e2", user_id="u")]))
    with Store(store_url("chdb", folder)) as store:

        def counts() -> list[int]:
            counted = [
                store.query(f"SELECT count() AS rows FROM {name}", {})
                for name in ("events", *states)
            ]
            return [rows["rows"] for (rows,) in counted]

        for state in states:
            store.execute(f"DETACH TABLE {state}_mv SYNC")
        store.insert("events", row.COLUMNS, "MsgPack", body, "block 1")
        assert counts() == [2, 0, 0, 0, 0]
        for state in states:
            store.execute(f"ATTACH TABLE {state}_mv")
        for _ in range(2):
            store.insert("events", row.COLUMNS, "MsgPack", body, "block 1")
            assert counts() == [2, 1, 1, 1, 1]


def test_a_store_that_refuses_is_asked_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threadline.ingest.writer.RETRY_S", (0.0,))
    with Store(store_url("chdb", folder)) as store:
        insert, refusals = store.insert, iter(range(3))

        def refuse_thrice(*arguments: object) -> None:
            if next(refusals, None) is not None:
                raise StoreError("not now")
            insert(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(store, "insert", refuse_thrice)
        log = Log(folder)
        writer = Writer(log, store)
        append(log, values("e1"))
        assert writer.catch_up(WAIT_S)
        assert stored(store) == ["e1"]
        writer.close()
        log.close()


def test_a_store_that_is_away_leaves_events_in_the_log(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(store_url("chdb", folder)) as store:

        def refuse(*arguments: object) -> None:
            raise StoreError("away")

        with monkeypatch.context() as away:
            away.setattr(store, "insert", refuse)
            log = Log(folder)
            writer = Writer(log, store)
            append(log, values("e1"))
            assert not writer.catch_up(timeout_s=0.05), "a bounded wait"
            writer.close()
            log.close()
        log = Log(folder)
        assert log.depth_events == 1
        writer = Writer(log, store)
        assert writer.catch_up(WAIT_S)
        assert stored(store) == ["e1"]
        writer.close()
        log.close()


def test_forgetting_starts_again_after_a_crash(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever statement the crash comes after, the second attempt ends in the same place."""
    statements = 4
    for survived in range(statements):
        place = folder / str(survived)
        with Store(store_url("chdb", folder / "store")) as store:
            log = Log(place)
            project = f"p{survived}"
            append(
                log,
                values("e1", project_id=project),
                values("e2", user_id="u", project_id=project),
                values("e3", anonymous_id="b", project_id=project),
            )
            done: Future[None] = Future()
            log.append_forget(ForgetRequest("r1", project, user_id="u"), b"", done)
            done.result(WAIT_S)
            append(log, values("e4", user_id="u", project_id=project))

            execute, left = store.execute, iter(range(survived))

            def crash_then(*arguments: object) -> None:
                if next(left, None) is None:  # noqa: B023
                    raise StoreError("crash")
                execute(*arguments)  # type: ignore[arg-type] # noqa: B023

            with monkeypatch.context() as crashing:
                crashing.setattr(store, "execute", crash_then)
                writer = Writer(log, store)
                writer.catch_up(timeout_s=0.2)
                writer.close()
            log.close()

            log = Log(place)
            writer = Writer(log, store)
            assert writer.catch_up(WAIT_S)
            writer.close()
            (receipt,) = log.receipts()
            assert (receipt.events, receipt.finished_ms is not None) == (2, True)
            log.close()
            bound = {"project_id": project}
            left_ids = store.query(
                "SELECT event_id FROM events WHERE project_id = {project_id:String}"
                " ORDER BY event_id",
                bound,
            )
            assert [r["event_id"] for r in left_ids] == ["e3", "e4"]
            (links,) = store.query(
                "SELECT count() AS found FROM links WHERE project_id = {project_id:String}", bound
            )
            assert links["found"] == 1, "the new life of u, in e4"
