"""Each event once: within a request, across requests, across restarts; and replayed blocks."""

import random
import signal
import threading
from array import array
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import Json, Project, Server, ids, row_values
from threadline.identity import states
from threadline.ingest import row
from threadline.ingest.accept import event_id_hash
from threadline.ingest.log import ForgetRequest, Log
from threadline.ingest.writer import Writer
from threadline.store import Store, StoreError, store_url

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
    monkeypatch.setattr("threadline.ingest.failing.RETRY_S", (0.0,))
    with Store(store_url("chdb", folder)) as store:
        insert, refusals = store.insert, iter(range(3))

        def refuse_thrice(*arguments: Any, **named: Any) -> None:
            if next(refusals, None) is not None:
                raise StoreError("not now")
            insert(*arguments, **named)

        monkeypatch.setattr(store, "insert", refuse_thrice)
        log = Log(folder)
        writer = Writer(log, store)
        append(log, values("e1"))
        assert writer.catch_up(WAIT_S)
        assert stored(store) == ["e1"]
        writer.close()
        log.close()


def test_states_made_anew_after_an_insert_was_cut_off(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some have sums: the new ones have the events that came in before it was cut off, and know of
    no insert that these came with."""
    monkeypatch.setattr("threadline.ingest.failing.RETRY_S", (0.0,))
    with Store(store_url("chdb", folder)) as store:
        insert, cut_off = store.insert, iter([True])

        def cut_off_once(*arguments: Any, **named: Any) -> None:
            if next(cut_off, False):
                insert(*arguments, **named)
                raise StoreError("cut off")
            states.rebuild(store, [each.table for each in states.STATES if each.has_sums])
            insert(*arguments, **named)

        log = Log(folder)
        writer = Writer(log, store)
        append(log, values("e1"))
        assert writer.catch_up(WAIT_S)
        monkeypatch.setattr(store, "insert", cut_off_once)
        old = values("e2", timestamp=0, event_name="old")
        append(log, old, values("e3"), values("e4", project_id="other"))
        assert writer.catch_up(WAIT_S)
        assert stored(store) == ["e1", "e2", "e3", "e4"]
        assert [each for each in states.verify(store) if each[2:] != (0, 0, 0)] == []
        writer.close()
        log.close()


def test_a_store_that_is_away_leaves_events_in_the_log(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(store_url("chdb", folder)) as store:

        def refuse(*arguments: Any, **named: Any) -> None:
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
