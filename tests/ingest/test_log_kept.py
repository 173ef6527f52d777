"""The log's file: lost, replaced, cut or damaged, that is said; and no one waits for lookers-on."""

import shutil
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.ingest.test_once import WAIT_S, append, stored, values
from tests.support import Server
from threadline.ingest import continuity, dead_letters, row
from threadline.ingest.log import ForgetRequest, Log, LogError, open_db
from threadline.ingest.writer import Writer
from threadline.metrics import Metrics
from threadline.store import Store, StoreAway, StoreError, store_url

DAY_MS = 86_400_000


def write(folder: Path, store: Store, *event_ids: str) -> tuple[list[str], float]:
    """Through a log and a writer of their own; how logs were lost, by the log lines, and how many
    by the metric."""
    metrics = Metrics()
    with capture_logs() as lines:
        log = Log(folder)
        writer = Writer(log, store, metrics=metrics)
        append(log, *map(values, event_ids))
        assert writer.catch_up(WAIT_S)
        writer.close()
        log.close()
    lost = [str(line["how"]) for line in lines if line["event"] == "log_lost"]
    (gauge,) = metrics.logs_lost.collect()
    return lost, gauge.samples[0].value


def copy_log(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for path in source.glob("log.db*"):
        shutil.copy(path, target / path.name)


@pytest.mark.parametrize("lost", ["removed", "from elsewhere"])
def test_another_log_is_not_accepted_in_silence(folder: Path, lost: str) -> None:
    with Store(store_url("chdb", folder)) as store:
        assert write(folder, store, "e1", "e2") == ([], 0)
        assert write(folder, store, "e3") == ([], 0), "the same log"
        for path in folder.glob("log.db*"):
            path.unlink()
        if lost == "from elsewhere":
            Log(folder / "elsewhere").close()
            copy_log(folder / "elsewhere", folder)
        assert write(folder, store, "e1") == ([continuity.REPLACED], 1)
        assert stored(store) == ["e1", "e1", "e2", "e3"], "as the line says, ids count again"
        assert write(folder, store, "e4") == ([], 1), "said once; the metric stays"
        (loss,) = [continuity.latest_loss(store, 7, now_ms=loss_ms(store))]
        assert loss
        assert "count again" in loss.meaning
        assert "put both back" in loss.way_out
        assert continuity.latest_loss(store, 7, now_ms=loss.at_ms + 8 * DAY_MS) is None


def loss_ms(store: Store) -> int:
    (row,) = store.query("SELECT toUnixTimestamp64Milli(max(at)) AS ms FROM logs", {})
    return int(row["ms"])


def test_a_log_without_its_newest_part_is_not_accepted_in_silence(folder: Path) -> None:
    with Store(store_url("chdb", folder)) as store:
        assert write(folder, store, "e1") == ([], 0)
        copy_log(folder, folder / "before")
        received_ms = 4_000_000_000_000
        log = Log(folder)
        writer = Writer(log, store)
        append(log, values("e2", received_at=received_ms))
        assert writer.catch_up(WAIT_S)
        writer.close()
        log.close()
        for path in folder.glob("log.db*"):
            path.unlink()
        copy_log(folder / "before", folder)
        assert write(folder, store, "e3", "e4") == ([continuity.CUT], 1)
        assert stored(store) == ["e1", "e2", "e3", "e4"], "not taken for what had the number before"
        assert write(folder, store, "e2") == ([], 1)
        assert stored(store) == ["e1", "e2", "e3", "e4"], "ids are known as before"


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + bytes(range(256)) * 64])
def test_a_damaged_log_says_what_to_do(folder: Path, content: bytes) -> None:
    folder.mkdir()
    (folder / "log.db").write_bytes(content)
    with pytest.raises(LogError, match=r"log.db is damaged .* move both away"):
        Log(folder)


def test_a_server_with_a_damaged_log_ends_with_one_line(folder: Path) -> None:
    folder.mkdir()
    (folder / "log.db").write_bytes(b"no database")
    with pytest.raises(AssertionError, match=r"log\.db is damaged") as failed:
        Server(folder)
    assert "Traceback" not in str(failed.value)


def test_who_looks_on_waits_for_nobody(folder: Path) -> None:
    log = Log(folder)
    done: Future[None] = Future()
    log.append_forget(ForgetRequest("r1", "p", user_id="u"), b"", done)
    done.result(WAIT_S)
    counted: list[int] = []

    def look() -> None:
        counted.append(log.count_unfinished_forgets())
        counted.append(log.count_forgets_on_disk())
        counted.append(log.count_dead_letters())
        counted.append(len(log.receipts()))

    with log._lock:
        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        looking.join(WAIT_S)
        assert counted == [1, 0, 0, 1]
    log.close()


def test_what_is_acknowledged_never_goes_back(folder: Path) -> None:
    log = Log(folder)
    append(log, values("e1"), values("e2"))
    last = log.acked_seq
    log._count(0, 0, acked_seq=last - 1)
    assert log.acked_seq == last

    def count() -> None:
        for _ in range(2000):
            log._count(1, 10)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.depth_events == 2 + 4 * 2000
    log.close()


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (StoreAway("not reached"), "store_away"),
        (StoreError("never"), "store_failed"),
        (ValueError("a bug"), "writer_failed"),
    ],
)
def test_a_failure_is_called_what_it_is_and_said_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, what: str
) -> None:
    monkeypatch.setattr("threadline.ingest.failing.RETRY_S", (0.0,))
    monkeypatch.setattr("threadline.ingest.failing.SAY_AGAIN_S", 0.0)
    metrics = Metrics()
    with Store(store_url("chdb", folder)) as store, capture_logs() as lines:
        insert, failures = store.insert, iter(range(3))

        def fail(*arguments: Any, **named: Any) -> None:
            if arguments[0] == "events" and next(failures, None) is not None:
                raise error
            insert(*arguments, **named)

        monkeypatch.setattr(store, "insert", fail)
        log = Log(folder)
        writer = Writer(log, store, metrics=metrics)
        append(log, values("e1"))
        assert writer.catch_up(WAIT_S)
        writer.close()
        log.close()
    said = [line for line in lines if line["event"] == what]
    assert [line["attempts"] for line in said] == [1, 2, 3]
    counted = f'threadline_write_failures_total{{kind="{what}"}} 3.0'
    assert counted in metrics.text().decode()


def test_a_letter_for_another_try_does_not_overtake_a_request_to_forget(folder: Path) -> None:
    with Store(store_url("chdb", folder)) as store:
        log = Log(folder)
        db = open_db(folder)
        body = row.encode(values("bad", user_id="ada"))
        dead_letters.set_aside(db, dead_letters.RefusedEvent("l", "p", "bad", "x", body), "no")
        done: Future[None] = Future()
        log.append_forget(ForgetRequest("r1", "p", user_id="ada"), b"", done)
        done.result(WAIT_S)
        assert dead_letters.mark(db, None) == 1
        db.close()
        assert log.requeue_dead_letters() == 0
        writer = Writer(log, store)
        assert writer.catch_up(WAIT_S)
        assert log.requeue_dead_letters() == 0
        assert log.count_dead_letters() == 0
        writer.close()
        log.close()
        assert stored(store) == []
