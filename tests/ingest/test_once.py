"""Each event once: within a request, across requests, across restarts; and replayed blocks."""

import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.support import Project, Server, ids
from threadline.ingest.log import ForgetRequest, Log
from threadline.ingest.row import COLUMNS, EventRow
from threadline.ingest.writer import Writer
from threadline.store import Store, StoreError, store_url

WAIT_S = 30


def row(event_id: str, user_id: str | None = None, anonymous_id: str = "a") -> EventRow:
    fields: dict[str, object] = dict.fromkeys(COLUMNS, "")
    fields |= {
        "project_id": "p",
        "event_id": event_id,
        "anonymous_id": anonymous_id,
        "anonymous_id_made": False,
        "user_id": user_id,
        "timestamp": 1_777_644_000_000,
        "received_at": 1_777_644_000_000,
        "ip_hash": bytes(16),
    }
    return EventRow(**fields)  # type: ignore[arg-type]


def append(log: Log, *rows: EventRow) -> None:
    done: Future[None] = Future()
    log.append(list(rows), frozenset(row.event_id for row in rows), done)
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
        sender = Project.__new__(Project)
        sender.__dict__ |= {**project.__dict__, "_connection": None}
        for start in range(0, 200, 20):
            sender.batch(events[start : start + 20])

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(project.stored()) == 200


def test_a_restart_forgets_neither_events_nor_ids(folder: Path) -> None:
    with Server(folder) as server:
        project = Project(server)
        project.batch([{"event": "x", "event_id": f"e{n}", "anonymous_id": "a"} for n in range(50)])
        assert server.stop() == 0
    with Server(folder) as server:
        project.url, project._connection = server.url, None
        assert len(project.stored()) == 50
        project.batch([{"event": "x", "event_id": f"e{n}", "anonymous_id": "a"} for n in range(60)])
        assert len(project.stored()) == 60
        server.stop()


def test_what_is_acknowledged_survives_a_kill(folder: Path) -> None:
    with Server(folder) as server:
        project = Project(server)
        acknowledged = [project.track("x", anonymous_id="a")["event_id"] for _ in range(100)]
    with Server(folder) as server:
        project.url, project._connection = server.url, None
        assert sorted(ids(project.stored())) == sorted(acknowledged)
        server.stop()


def test_ids_are_remembered_for_the_whole_window(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day_ms = 86_400_000
    now_ms = 20_000 * day_ms
    monkeypatch.setattr("threadline.ingest.log._now_ms", lambda: now_ms)
    log = Log(folder, dedup_days=7)
    append(log, row("e1"))
    now_ms += 7 * day_ms
    append(log, row("e1"), row("e2"))
    assert log.depth_events == 2, "seven days later e1 is still known"
    now_ms += 14 * day_ms
    append(log, row("e1"))
    assert log.depth_events == 3, "three weeks later it is not"
    log.close()


def test_a_full_log_refuses_and_recovers(folder: Path) -> None:
    log = Log(folder, max_bytes=10)
    append(log, row("e1"))
    with pytest.raises(Exception, match="log is full"):
        append(log, row("e2"))
    block = log.next_block()
    assert block
    log.finish(block)
    append(log, row("e2"))
    log.close()


def test_a_block_replayed_after_a_crash_lands_once_states_included(folder: Path) -> None:
    with Store(store_url("chdb", folder)) as store:
        log = Log(folder)
        append(log, row("e1"), row("e2", user_id="u"))
        block = log.next_block()
        assert block
        columns = list(zip(*block.rows, strict=True))
        store.insert("events", COLUMNS, columns, block.token)
        log.close()  # the crash: the store has the block, the log does not know

        log = Log(folder)
        append(log, row("e3"))
        again = log.next_block()
        assert again == block, "the same entries under the same token, whatever came after"
        writer = Writer(log, store)
        assert writer.catch_up(WAIT_S)
        writer.close()
        log.close()
        assert stored(store) == ["e1", "e2", "e3"]
        # Rows of the states, not their minima, which a repeat would leave as they are.
        for table, rows in (("links", 1), ("user_touches", 1), ("visitor_touches", 2)):
            (counted,) = store.query(f"SELECT count() AS rows FROM {table}", {})
            assert counted["rows"] <= rows


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
        append(log, row("e1"))
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
            append(log, row("e1"))
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
            rows = [row("e1"), row("e2", user_id="u"), row("e3", anonymous_id="b")]
            append(log, *[_of(project, r) for r in rows])
            done: Future[None] = Future()
            log.append_forget(ForgetRequest("r1", project, user_id="u"), b"", done)
            done.result(WAIT_S)
            append(log, _of(project, row("e4", user_id="u")))

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


def _of(project_id: str, event: EventRow) -> EventRow:
    fields = {name: getattr(event, name) for name in COLUMNS}
    return EventRow(**{**fields, "project_id": project_id})
