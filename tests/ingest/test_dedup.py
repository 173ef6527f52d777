"""Ids are known for as long as is promised, whatever is done to the machine's clock, and filters in
front of them forget none."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from threadline.ingest import row
from threadline.ingest.bloom import Bloom
from threadline.ingest.dedup import Dedup
from threadline.store import Params, Store, store_url


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
        patch.setattr("threadline.ingest.dedup._now", lambda: self.wall_s)

    def dedup(self, store: Store, days: int = 7) -> Dedup:
        """As after a start."""
        return Dedup(store, days, lambda: self.running_s)

    def run(self, dedup: Dedup, days: float) -> None:
        """Time goes by, and the writer looks around."""
        for _ in range(round(days * 24)):
            self.wall_s += 3600
            self.running_s += 3600
            dedup.look_around()


def hashes(*ids: int) -> row.Hashes:
    return np.array(ids, dtype=np.uint64)


def known(dedup: Dedup, *ids: int) -> list[int]:
    """Those that are repeats."""
    return [ids[place] for place in dedup.duplicates(hashes(*ids)).tolist()]


def partitions(store: Store) -> list[str]:
    sql = "SELECT DISTINCT _partition_id AS day FROM event_ids ORDER BY day"
    return [found["day"] for found in store.query(sql, {})]


def test_ids_are_remembered_for_the_whole_window_and_then_dropped(
    empty: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks = Clocks(monkeypatch)
    dedup = clocks.dedup(empty)
    for day in range(12):
        dedup.remember(hashes(day + 1), f"block {day}")
        clocks.run(dedup, days=1)
        window = range(max(0, day - 6), day + 1)
        assert set(known(dedup, *range(1, 14))) >= {number + 1 for number in window}
    assert known(dedup, *range(1, 14)) == list(range(6, 13)), "no more than a day longer"
    assert partitions(empty) == [f"202605{day:02}" for day in range(6, 13)]
    assert known(clocks.dedup(empty), *range(1, 14)) == list(range(6, 13)), "after a start"


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
    dedup = clocks.dedup(empty)
    dedup.remember(hashes(1, 2, 3), "before")
    for number, days in enumerate(moves):
        clocks.wall_s += days * 86_400
        clocks.running_s += days * 86_400
        if restart:
            dedup = clocks.dedup(empty)
        assert known(dedup, 1, 2, 3) == [1, 2, 3]
        dedup.remember(hashes(100 + number), f"block {number}")
    every = [1, 2, 3, *(100 + number for number in range(len(moves)))]
    clocks.run(dedup, days=5)
    assert known(dedup, *every, 9) == every
    dedup = clocks.dedup(empty)
    assert known(dedup, *every, 9) == every


def test_a_new_day_reads_nothing_again(empty: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One filter a day: at midnight one begins, and an old one goes; nothing is read from the
    table."""
    clocks = Clocks(monkeypatch)
    asked: list[str] = []
    dedup = clocks.dedup(empty)
    dedup.remember(hashes(*range(1, 1000)), "block")
    with monkeypatch.context() as listening:
        for name in ("query", "query_bytes"):
            answer = getattr(empty, name)

            def listen(sql: str, bound: Params, answer: Callable[..., Any] = answer) -> Any:
                asked.append(sql)
                return answer(sql, bound)

            listening.setattr(empty, name, listen)
        for day in range(10):
            clocks.run(dedup, days=1)
            dedup.remember(hashes(2000 + day), f"block {day}")
        assert asked == []
        assert known(dedup, 1, 2009) == [2009]
        assert len(asked) == 1, "only what may be known is looked up"


def test_filters_that_are_full_or_not_yet_read_forget_nothing(
    empty: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More ids than were expected, several times over; then a start that reads them in slices, and
    ids that come while it does. Once with memory enough, once without."""
    monkeypatch.setattr("threadline.ingest.dedup.LEAST_IDS", 100)
    monkeypatch.setattr("threadline.ingest.dedup.SLICE_IDS", 500)
    clocks = Clocks(monkeypatch)
    spread = np.random.default_rng(1).integers(1, 2**64 - 1, 6000, dtype=np.uint64)
    old, new, never = spread[:4000], spread[4000:5000], spread[5000:]
    for most_bytes in (512 * 1024**2, 1000):
        monkeypatch.setattr("threadline.ingest.dedup.MOST_BYTES", most_bytes)
        empty.execute("TRUNCATE TABLE event_ids")
        dedup = clocks.dedup(empty)
        for start in range(0, 4000, 250):
            dedup.remember(old[start : start + 250], f"block {start}")
        assert len(dedup.duplicates(old)) == 4000
        dedup = clocks.dedup(empty)
        for start in range(0, 1000, 100):
            assert len(dedup.duplicates(spread)) == 4000 + start
            dedup.remember(new[start : start + 100], f"new block {start}")
        assert len(dedup.duplicates(spread)) == 5000
        assert len(dedup.duplicates(never)) == 0


def test_a_filter_has_all_that_was_added_and_little_else() -> None:
    spread = np.random.default_rng(1).integers(0, 2**64 - 1, 200_000, dtype=np.uint64)
    added, others = spread[:100_000], spread[100_000:]
    bloom = Bloom(100_000)
    for some in np.array_split(np.concatenate([added, added[:1000]]), 7):
        bloom.add(some)
    assert bloom.may_hold(added).all()
    assert bloom.may_hold(others).mean() < 1 / 500
    assert bloom.full
