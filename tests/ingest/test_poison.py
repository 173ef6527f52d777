"""What the store refuses, and what the disk damaged, never stands in the way of the rest."""

import sqlite3
from array import array
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ingest.test_once import WAIT_S, append, stored, values
from threadline.ingest import dead_letters, row
from threadline.ingest.dedup import Dedup
from threadline.ingest.log import ForgetRequest, Log, open_db
from threadline.ingest.writer import Writer
from threadline.store import Store, store_url

# The engine itself refuses these, as it would refuse whatever it cannot hold.
FORBID = "ALTER TABLE events ADD CONSTRAINT no_poison CHECK event_name != 'poison'"
ALLOW = "ALTER TABLE events DROP CONSTRAINT no_poison"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with Store(store_url("chdb", folder)) as opened:
        opened.execute(FORBID)
        yield opened


def letters(folder: Path) -> list[dead_letters.DeadLetter]:
    db = open_db(folder)
    found = dead_letters.listed(db)
    db.close()
    return found


def write_all(log: Log, store: Store) -> None:
    writer = Writer(log, store)
    assert writer.catch_up(WAIT_S)
    writer.close()


def test_poison_becomes_a_dead_letter_and_its_block_lands(folder: Path, store: Store) -> None:
    log = Log(folder)
    good = [values(f"e{number:03}") for number in range(100)]
    bad = [values("bad1", event_name="poison"), values("bad2", event_name="poison")]
    append(log, *good[:30], bad[0], *good[30:90], bad[1], *good[90:])
    append(log, good[7], values("after"))
    write_all(log, store)
    log.close()
    assert stored(store) == ["after", *(f"e{number:03}" for number in range(100))]
    found = letters(folder)
    assert sorted(letter.event_id for letter in found) == ["bad1", "bad2"]
    assert all("no_poison" in letter.reason for letter in found)


def test_a_crash_between_the_parts_of_a_refused_block_doubles_nothing(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(folder)
    rows = [values(f"e{number}") for number in range(8)]
    append(log, *rows, values("bad", event_name="poison"))

    class Crash(BaseException):
        pass

    insert, calls = store.insert, iter(range(4))

    def crash_later(*arguments: Any, **named: Any) -> None:
        if next(calls, None) is None:
            raise Crash
        insert(*arguments, **named)

    monkeypatch.setattr("threading.excepthook", lambda arguments: None)
    with monkeypatch.context() as crashing:
        crashing.setattr(store, "insert", crash_later)
        writer = Writer(log, store)
        writer._thread.join()
    log.close()
    assert 0 < len(stored(store)) < 8, "some parts had landed"

    store.execute(ALLOW)  # even though the block as a whole would be taken now
    log = Log(folder)
    write_all(log, store)
    log.close()
    assert stored(store) == ["bad", *(f"e{number}" for number in range(8))]
    assert letters(folder) == []


def test_a_dead_letter_can_be_retried_or_dropped(folder: Path, store: Store) -> None:
    log = Log(folder)
    append(log, values("bad1", event_name="poison"), values("bad2", event_name="poison"))
    write_all(log, store)
    first, second = letters(folder)
    db = open_db(folder)
    assert dead_letters.drop(db, first.letter_id) == 1
    store.execute(ALLOW)
    assert dead_letters.mark(db, None) == 1
    assert log.requeue_dead_letters() == 1
    db.close()
    write_all(log, store)
    log.close()
    assert stored(store) == [second.event_id]
    assert letters(folder) == []


def test_dead_letters_of_a_forgotten_person_go_too(folder: Path, store: Store) -> None:
    log = Log(folder)
    append(
        log,
        values("bad1", event_name="poison", user_id="ada"),
        values("bad2", event_name="poison", user_id="bob"),
        values("bad3", event_name="poison", anonymous_id="her phone"),
        values("good", user_id="ada", anonymous_id="her phone"),
    )
    done: Future[None] = Future()
    log.append_forget(ForgetRequest("r", "p", user_id="ada"), b"", done)
    done.result(WAIT_S)
    write_all(log, store)
    log.close()
    assert [letter.event_id for letter in letters(folder)] == ["bad2"]


def test_a_damaged_record_is_set_aside_and_the_rest_goes_on(folder: Path, store: Store) -> None:
    log = Log(folder)
    for number in range(3):
        append(log, values(f"e{number}"))
    log.close()
    db = sqlite3.connect(folder / "log.db", isolation_level=None)
    db.execute("UPDATE records SET body = zeroblob(length(body)) WHERE seq = 2")
    db.close()
    log = Log(folder)
    write_all(log, store)
    log.close()
    assert stored(store) == ["e0", "e2"]
    (letter,) = letters(folder)
    assert "checksum" in letter.reason


def test_repeats_settled_before_a_crash_stay_settled(folder: Path, store: Store) -> None:
    """A block's own ids may be known when it is written again; that must not empty it."""
    log = Log(folder)
    append(log, values("e1"))
    write_all(log, store)
    append(log, values("e1"), values("e2"))
    block = log.next_block()
    assert block
    log.settle(block, np.array([0]))
    ids = block.rows.event_hashes()
    Dedup(store, days=7).remember(ids, "the insert of ids before the crash")
    log.close()
    log = Log(folder)
    write_all(log, store)
    log.close()
    assert stored(store) == ["e1", "e2"]


text = st.text(max_size=40)
whole_row = st.tuples(
    *[
        st.one_of(st.none(), text)
        if name == "user_id"
        else st.integers(0, 2**47)
        if name in ("timestamp", "received_at")
        else st.booleans()
        if name == "anonymous_id_generated"
        else st.binary(min_size=16, max_size=16)
        if name == "ip_hash"
        else text
        for name in row.COLUMNS
    ]
).map(list)


@given(rows=st.lists(whole_row, min_size=1, max_size=20), data=st.data())
def test_rows_come_out_of_the_log_as_they_went_in(
    rows: list[list[row.Value]], data: st.DataObject
) -> None:
    encoded = row.Rows.encode(rows, array("Q", range(len(rows))))
    assert [row.decode(encoded.part(n, n + 1)) for n in range(encoded.size)] == rows
    left_out = data.draw(st.sets(st.integers(0, len(rows) - 1)))
    some = encoded.without(np.array(sorted(left_out), dtype=np.intp))
    kept = [number for number in range(len(rows)) if number not in left_out]
    assert [row.decode(some.part(n, n + 1)) for n in range(some.size)] == [rows[n] for n in kept]
    assert some.event_hashes().tolist() == kept
    cut = data.draw(st.integers(0, len(rows)))
    halves = [encoded.part(0, cut), encoded.part(cut, encoded.size)]
    assert b"".join(halves) == encoded.body
    with pytest.raises(msgspec.DecodeError):
        row.decode(encoded.part(0, 1)[:-1])
