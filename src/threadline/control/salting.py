"""The salts of each day: made, given out, and destroyed when their day is over."""

import secrets
import threading
from collections.abc import Callable
from pathlib import Path

from threadline.contract.times import DAY_MS, format_day
from threadline.control import salts
from threadline.control.errors import log_line
from threadline.control.first_run import FirstRun
from threadline.control.snapshot import Snapshot


class Salting(FirstRun):
    """A control plane as far as it has salts."""

    def __init__(
        self,
        folder: Path,
        create: bool,
        only_revoking: bool,
        clock: Callable[[], int],
        url: str,
    ) -> None:
        """As of `Control`."""
        super().__init__(folder, create, only_revoking, clock, url)
        self._sparing = threading.Lock()
        self._spare_salts: dict[int, bytes] = {}
        self._salts_in_wal = True  # for all we know
        try:
            if self._db.is_shared and not only_revoking:
                self._share_salt()
        except BaseException:
            super().close()
            raise

    def salt(self) -> bytes:
        """Today's (UTC) salt. While the clock says a day that is not believed, the last one."""
        today = self._now_ms() // DAY_MS
        return self._salt_in(self.look(), today) or self._first_salt(today)

    def _salt_in(self, snapshot: Snapshot, today: int) -> bytes | None:
        clock = snapshot.clock or salts.first_look(today)
        return salts.salt_of(snapshot.salts, clock, today)

    def today(self) -> int:
        """The day, counted from 1970 (UTC), by which anything may be destroyed: a clock that jumped
        is not believed before it has said so for an hour."""
        clock = self._look_now().clock
        return clock.day if clock else self._now_ms() // DAY_MS

    def destroy_old_salts(self) -> None:
        """Those of the day before yesterday and older: from the file, and from the write-ahead file
        beside it. Nothing can be compared with their hashes any more."""
        today = self._now_ms() // DAY_MS
        snapshot = self._look_now()
        before = snapshot.clock or salts.first_look(today)
        clock = before.look(today)
        gone = salts.days_to_destroy(snapshot.salts, clock, today)
        missing = salts.missing_days(snapshot.salts, clock)
        if clock != snapshot.clock or gone or missing:
            with self._write() as db:
                salts.store_clock(db, clock)
                salts.make_salts(db, missing, self._spare_salts)
                db.executemany("DELETE FROM salts WHERE day = ?", [(day,) for day in gone])
            self._look_now()
            self._spare_salts = {}
        _say_what_is_doubted(before, clock)
        if gone or self._salts_in_wal:
            self._erase_from_wal()

    def _erase_from_wal(self) -> None:
        """Busy while another process reads; then again the next time."""
        with self._writing:
            self._salts_in_wal = self._db.erase_deleted()

    def _first_salt(self, today: int) -> bytes:
        """Before housekeeping has made any: written at once, or where somebody holds the file,
        kept in memory until it can be. Nor does a request wait for PostgreSQL."""
        if today not in self._spare_salts and self._try_to_make_salt(today):
            return self._snapshot.salts[today]
        with self._sparing:
            fresh = secrets.token_bytes(salts.SALT_BYTES)
            return self._spare_salts.setdefault(today, fresh)

    def _try_to_make_salt(self, today: int) -> bool:
        made = self._db.write_at_once(lambda db: salts.make_salts(db, [today], {}))
        return made and today in self._look_now().salts

    def _share_salt(self) -> None:
        """Before any request comes: one that came first to each of two nodes would have each of
        them make its own."""
        today = self._now_ms() // DAY_MS
        if self._salt_in(self._snapshot, today) is None:
            with self._write() as db:
                salts.make_salts(db, [today], {})
            self._look_now()


def _say_what_is_doubted(before: salts.Clock, after: salts.Clock) -> None:
    if after.looks == 1:
        log_line(
            "clock_doubted",
            clock_says=format_day(after.doubted_day),
            believed=format_day(after.day),
            what="Salts stay as they are until the clock has said so for an hour.",
        )
    elif before.looks and not after.looks:
        log_line("clock_believed", day=format_day(after.day))
