"""Deduplication by event_ids: a table of those that came before, and filters in memory in front.

Nearly every id is new, and the filters say so without asking the store. They are Bloom filters:
what they do not hold is new for certain; what they may hold is looked up.

Days are those of a clock that only goes on while the writer runs (`_RunningClock`). The machine's
clock may jump ahead and back; were days dropped by it, one wrong hour would forget a week of ids.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from threadline.ingest.bloom import Bloom
from threadline.ingest.row import Hashes, Positions
from threadline.store import Store

DAY_S = 24 * 3600
# The writer looks at the clock every second. What goes ahead further than this was moved.
LONGEST_STEP_S = 3600.0
# What the column of the table can hold.
LATEST_S = datetime(2100, 1, 1, tzinfo=UTC).timestamp()

# Filters of all days together. Where that is not enough, guesses get worse: more is looked up.
MOST_BYTES = 512 * 1024**2
LEAST_IDS = 1 << 18
# Ids that are read into a filter at a time, in about a tenth of a second.
SLICE_IDS = 1_000_000
ALL = 2**64

KNOWN_IN = "hash IN {hashes:Array(UInt64)}"
# A server takes no more than 128 KiB for a bound value.
BOUND_AT_ONCE = 5000
KNOWN = f"SELECT DISTINCT hash FROM event_ids WHERE {KNOWN_IN}"
# Hashes are spread evenly and lie in order, so a slice of their range is a slice of the table.
SLICE = """
    SELECT hash FROM event_ids
    WHERE _partition_id = {day:String} AND hash BETWEEN {low:UInt64} AND {high:UInt64}"""
DAYS = """
    SELECT partition AS day, sum(rows) AS ids, toUnixTimestamp(max(max_time)) AS newest_s
    FROM system.parts
    WHERE database = currentDatabase() AND table = 'event_ids' AND active
    GROUP BY partition"""
STORED = np.dtype([("hash", "<u8"), ("received_at", "<u4")])


class Dedup:
    """What the writer asks before every block. Not for use from several threads.

    Memory: three bytes for each id that is remembered, for the ids of today up to twice that;
    `MOST_BYTES` at most.
    """

    def __init__(
        self, store: Store, days: int, running_s: Callable[[], float] = time.monotonic
    ) -> None:
        """`days`: how long an id is remembered at least, in days during which the writer runs.
        `running_s`: seconds that pass while it does."""
        self._store = store
        self._window_s = days * DAY_S
        self._running_s = running_s
        self._clock: _RunningClock | None = None
        self._days: dict[str, _Day] = {}

    def look_around(self) -> None:
        """What is to be done from time to time: a new day begins, an old one goes, and a slice of
        what was stored before the start is read. Raises `StoreError`."""
        now_s = (self._clock or self._open()).look()
        today = _day(now_s)
        if today not in self._days:
            self._drop_days_before(_day(now_s - self._window_s))
            self._days[today] = _Day(today, max([LEAST_IDS, *(d.ids for d in self._days.values())]))
        # Duplicates are mostly of what came last.
        for _, day in sorted(self._days.items(), reverse=True):
            if day.unread < ALL:
                day.read_slice(self._store.home, self._room)
                return

    def duplicates(self, hashes: Hashes) -> Positions:
        """Positions of the ids that came before or come a second time in here. Zero is not an
        id. Raises `StoreError`."""
        self.look_around()
        found, first_places = np.unique(hashes, return_index=True)
        again = hashes != 0
        again[first_places] = False
        maybe = np.zeros(len(found), dtype=bool)
        for day in self._days.values():
            maybe |= day.may_hold(found)
        for some in _in_turn(found[(found != 0) & maybe]):
            known = self._store.home.query(KNOWN, {"hashes": some})
            again |= np.isin(hashes, np.array([row["hash"] for row in known], dtype=np.uint64))
        return np.flatnonzero(again)

    def remember(self, hashes: Hashes, token: str) -> None:
        """Know these ids from now on. The same token again changes nothing. Raises `StoreError`."""

        def insert(body: bytes) -> None:
            names = list(STORED.names or ())
            self._store.home.insert("event_ids", names, "RowBinary", body, token, written=())

        self.remember_by(insert, hashes)

    def remember_by(self, insert: Callable[[bytes], None], hashes: Hashes) -> None:
        """The same, with what puts them into the store: ids and times, as `STORED`."""
        ids = hashes[hashes != 0]
        if not len(ids):
            return
        clock = self._clock or self._open()
        self.look_around()
        rows = np.empty(len(ids), dtype=STORED)
        rows["hash"] = ids
        rows["received_at"] = int(clock.now_s)
        insert(rows.tobytes())
        self._days[_day(clock.now_s)].add(ids, self._room)

    def learn(self, stored: bytes) -> None:
        """Another node has put these into the store, as `STORED`."""
        rows = np.frombuffer(stored, dtype=STORED)
        if not len(rows):
            return
        # All nodes' clocks go on together: no day is over for one that another still writes.
        (self._clock or self._open()).reach(float(rows["received_at"].max()))
        self.look_around()
        for day in np.unique(rows["received_at"] // DAY_S).tolist():
            of_day = rows["hash"][rows["received_at"] // DAY_S == day]
            name = _day(day * DAY_S)
            if name not in self._days:
                self._days[name] = _Day(name, LEAST_IDS)
            self._days[name].add(of_day, self._room)

    def forget(self, hashes: Hashes) -> None:
        """Take these ids for new should they come again. Raises `StoreError`."""
        for some in _in_turn(hashes):
            self._store.home.delete("event_ids", KNOWN_IN, {"hashes": some})

    def _open(self) -> "_RunningClock":
        """The clock goes on where the newest id was stored."""
        stored = self._store.home.query(DAYS, {})
        self._days = {row["day"]: _Day(row["day"], row["ids"], row["ids"]) for row in stored}
        newest_s = [row["newest_s"] for row in stored] or [min(max(_now(), 0.0), LATEST_S)]
        self._clock = _RunningClock(max(newest_s), self._running_s)
        return self._clock

    def _drop_days_before(self, oldest: str) -> None:
        for day in [day for day in self._days if day < oldest]:
            self._store.home.execute(f"ALTER TABLE event_ids DROP PARTITION {int(day)}")
            del self._days[day]

    @property
    def _room(self) -> int:
        return MOST_BYTES - sum(day.size_bytes for day in self._days.values())


class _RunningClock:
    """Seconds since 1970 at first, but only the time in which it runs counts.

    So two moments on it are never further apart than they were in truth, whatever is done to the
    machine's clock in between and however often the server is started: what goes after seven of
    its days was there for seven days at least.
    """

    def __init__(self, start_s: float, running_s: Callable[[], float]) -> None:
        self._running_s = running_s
        self._looked_s = running_s()
        self.now_s = start_s

    def look(self) -> float:
        """Go on to this moment."""
        looked_s = self._running_s()
        self.now_s += min(max(looked_s - self._looked_s, 0.0), LONGEST_STEP_S)
        self._looked_s = looked_s
        return self.now_s

    def reach(self, now_s: float) -> None:
        """It is this late, by another such clock."""
        self.now_s = max(self.now_s, now_s)


class _Day:
    """The ids of a day, in one filter, or several where there are more than were expected. From the
    hash `unread` on, those that were stored before the start are in the table alone so far."""

    def __init__(self, day: str, expected: int, stored: int = 0) -> None:
        self._day = day
        self._expected = expected
        self._filters: list[Bloom] = []
        self._step = ALL // (stored // SLICE_IDS + 1)
        self.ids = stored
        self.unread = 0 if stored else ALL

    @property
    def size_bytes(self) -> int:
        return sum(bloom.size_bytes for bloom in self._filters)

    def may_hold(self, hashes: Hashes) -> NDArray[np.bool_]:
        held = np.zeros(len(hashes), dtype=bool)
        if self.unread < ALL:
            held = hashes >= np.uint64(self.unread)
        for bloom in self._filters:
            held |= bloom.may_hold(hashes)
        return held

    def add(self, hashes: Hashes, room_bytes: int) -> None:
        """`room_bytes`: what another filter may take."""
        self._add(hashes, room_bytes)
        self.ids += len(hashes)

    def read_slice(self, store: Store, room_bytes: int) -> None:
        """The next of what was stored before the start."""
        end = min(self.unread + self._step, ALL)
        bound = {"day": self._day, "low": self.unread, "high": end - 1}
        found = store.query_bytes(SLICE, bound)
        self._add(np.frombuffer(found, dtype="<u8"), room_bytes)
        self.unread = end

    def _add(self, hashes: Hashes, room_bytes: int) -> None:
        if not self._filters or self._filters[-1].full:
            # Each is as large as all before it together, so that there are few.
            bloom = Bloom(max(LEAST_IDS, self.ids if self._filters else self._expected))
            if not self._filters or bloom.size_bytes <= room_bytes:
                self._filters.append(bloom)
        self._filters[-1].add(hashes)


def _in_turn(hashes: Hashes) -> Iterator[list[int]]:
    for start in range(0, len(hashes), BOUND_AT_ONCE):
        yield hashes[start : start + BOUND_AT_ONCE].tolist()


def _day(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y%m%d}"


def _now() -> float:
    return time.time()
