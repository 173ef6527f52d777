"""Which event_ids were seen before: a table in the store, and a filter in memory in front of it.

Nearly every id is new, and the filter says so without asking the store. It is a Bloom filter: what
it has not seen is new for certain; what it may have seen is looked up.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from threadline.ingest.row import Hashes, Positions
from threadline.store import Store

# Sixteen bits for an id keep wrong guesses near one in 500; the smallest filter is 16 MiB.
BITS_PER_ID = 16
LEAST_BITS = 1 << 27
MOST_BITS = 1 << 31
PROBES = 4

# Hashes are spread evenly and lie in order, so a slice of their range is a slice of the table.
SLICES = 16
SLICE = "SELECT hash FROM event_ids WHERE hash >= {low:UInt64} AND hash <= {high:UInt64}"
KNOWN_IN = "hash IN {hashes:Array(UInt64)}"
# A server takes no more than 128 KiB for a bound value.
BOUND_AT_ONCE = 5000
KNOWN = f"SELECT DISTINCT hash FROM event_ids WHERE {KNOWN_IN}"
DAYS = """
    SELECT DISTINCT partition FROM system.parts
    WHERE database = currentDatabase() AND table = 'event_ids' AND active"""


class SeenIds:
    """What the writer asks before every block. Not for use from several threads."""

    def __init__(self, store: Store, days: int) -> None:
        """`days`: how long an id is remembered at least."""
        self._store = store
        self._days = days
        self._today = ""
        self._filter: _Filter | None = None

    def repeats(self, hashes: Hashes) -> Positions:
        """Positions of the ids that were seen before or come a second time in here. Zero is not an
        id. Raises `StoreError`."""
        found, first_places = np.unique(hashes, return_index=True)
        again = hashes != 0
        again[first_places] = False
        maybe = found[(found != 0) & self._current_filter().may_hold(found)]
        for some in _in_turn(maybe):
            known = self._store.query(KNOWN, {"hashes": some})
            again |= np.isin(hashes, np.array([row["hash"] for row in known], dtype=np.uint64))
        return np.flatnonzero(again)

    def remember(self, hashes: Hashes, token: str) -> None:
        """Know these ids from now on. The same token again changes nothing. Raises `StoreError`."""
        ids = hashes[hashes != 0]
        if len(ids):
            self._store.insert("event_ids", ["hash"], "RowBinary", ids.tobytes(), token)
            self._current_filter().add(ids)

    def forget(self, hashes: Hashes) -> None:
        """Take these ids for new should they come again. Raises `StoreError`."""
        for some in _in_turn(hashes):
            self._store.delete("event_ids", KNOWN_IN, {"hashes": some})

    def _current_filter(self) -> "_Filter":
        today = f"{_now():%Y%m%d}"
        if today != self._today:
            self._drop_old_days()
            self._filter = None
            self._today = today
        if self._filter is None or self._filter.full:
            self._filter = self._read_filter()
        return self._filter

    def _drop_old_days(self) -> None:
        oldest = f"{_now() - timedelta(days=self._days):%Y%m%d}"
        for row in self._store.query(DAYS, {}):
            if row["partition"] < oldest:
                self._store.execute(f"ALTER TABLE event_ids DROP PARTITION {int(row['partition'])}")

    def _read_filter(self) -> "_Filter":
        (counted,) = self._store.query("SELECT count() AS ids FROM event_ids", {})
        read = _Filter(counted["ids"])
        width = 2**64 // SLICES
        for low in range(0, 2**64, width):
            bound = {"low": low, "high": low + width - 1}
            read.add(np.frombuffer(self._store.query_bytes(SLICE, bound), dtype="<u8"))
        return read


def _in_turn(hashes: Hashes) -> Iterator[list[int]]:
    for start in range(0, len(hashes), BOUND_AT_ONCE):
        yield hashes[start : start + BOUND_AT_ONCE].tolist()


def _now() -> datetime:
    return datetime.now(UTC)


class _Filter:
    def __init__(self, ids: int) -> None:
        bits = LEAST_BITS
        # Twice as many as there are: the filter is read anew only when their number has doubled.
        while bits < min(MOST_BITS, 2 * ids * BITS_PER_ID):
            bits *= 2
        self._mask = np.uint64(bits - 1)
        self._bytes = np.zeros(bits // 8, dtype=np.uint8)
        self._room = bits // BITS_PER_ID if bits < MOST_BITS else 2**63

    @property
    def full(self) -> bool:
        """Guesses get worse from here on."""
        return self._room < 0

    def add(self, hashes: Hashes) -> None:
        for place, bit in self._probes(hashes):
            np.bitwise_or.at(self._bytes, place, bit)
        self._room -= len(hashes)

    def may_hold(self, hashes: Hashes) -> NDArray[np.bool_]:
        held = np.ones(len(hashes), dtype=bool)
        for place, bit in self._probes(hashes):
            held &= (self._bytes[place] & bit) != 0
        return held

    def _probes(self, hashes: Hashes) -> list[tuple[Hashes, NDArray[np.uint8]]]:
        """Byte and bit of each probe: the hash plus multiples of its upper half."""
        step = (hashes >> np.uint64(32)) | np.uint64(1)
        spots = ((hashes + np.uint64(probe) * step) & self._mask for probe in range(PROBES))
        return [
            (spot >> np.uint64(3), np.uint8(1) << (spot & np.uint64(7)).astype(np.uint8))
            for spot in spots
        ]
